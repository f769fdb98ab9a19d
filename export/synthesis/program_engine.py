"""A speech program of the system as a voice engine."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from export.synthesis.renderings import manners, spoken
from export.synthesis.speaking import Samples
from export.synthesis.voices import PROGRAMS, Voice, installed
from kws.errors import DataError


@dataclass(frozen=True)
class ProgramEngine:
    """espeak-ng, flite or festival, with all of its English voices."""

    name: str
    neural: bool = False

    def _cast(self) -> list[Voice]:
        return [voice for voice in installed() if voice.program == self.name]

    def voices(self) -> list[str]:
        """Return the names of its English voices."""
        return [voice.name for voice in self._cast()]

    def missing(self) -> str:
        """Return how to install it, where it is not here."""
        if shutil.which(PROGRAMS[self.name]) is None:
            return f"not installed; apt install {self.name}"
        return ""

    def add(self, source: Path | None) -> None:
        """Say how it is installed: it is the system's. Raises DataError, always."""
        raise DataError(f"{self.name} is a program of the system: apt install {self.name}")

    def render(
        self, text: str, count: int, seed: int, phonemes: Sequence[str] = ()
    ) -> Iterator[Samples]:
        """Yield renderings by each voice in turn; phonemes: not used."""
        lines = [(text, *manner) for manner in manners(self._cast(), count, seed)]
        said = spoken(lines)
        heard = [audio for audio in said if not isinstance(audio, DataError)]
        refused = [each for each in said if isinstance(each, DataError)]
        if refused and not heard:  # another voice may know the letters
            raise refused[0]
        yield from heard
