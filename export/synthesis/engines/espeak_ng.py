"""espeak-ng: its voices buzz; they speak only where no better voice is here."""

from export.synthesis.program_engine import ProgramEngine

ENGINE = ProgramEngine("espeak-ng")
