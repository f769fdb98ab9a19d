"""Speech synthesisers: whichever of flite, espeak-ng and festival this computer has."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from kws.errors import DataError

RATE = 16_000
Samples = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Voice:
    """Somebody who can speak: a program, and its name for the voice."""

    program: str
    name: str

    def __str__(self) -> str:
        return f"{self.program}-{self.name}"


VOICES = [
    Voice("flite", "awb"),
    Voice("flite", "kal16"),
    Voice("flite", "rms"),
    Voice("flite", "slt"),
    Voice("espeak-ng", "en-us"),
    Voice("espeak-ng", "en-us+f3"),
    Voice("espeak-ng", "en-gb-x-rp"),
    Voice("festival", "kal_diphone"),
]
"""English voices of Debian's packages flite, espeak-ng and festival."""


def installed() -> list[Voice]:
    """Return the voices whose program is here."""
    return [voice for voice in VOICES if shutil.which(_PROGRAMS[voice.program])]


def say(voice: Voice, text: str) -> Samples:
    """Return `text` as the voice says it: float32 [n] at 16 kHz, its own silence cut off.

    Raises DataError: the program is missing, fails, or says nothing.
    """
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "said.wav"
        try:
            subprocess.run(
                _command(voice, text, wav), input=text, text=True, check=True, capture_output=True
            )
            audio, rate = soundfile.read(wav, dtype="float32")
        except FileNotFoundError:
            raise DataError(f"{voice}: {voice.program} is not installed") from None
        except (subprocess.CalledProcessError, soundfile.LibsndfileError) as error:
            raise DataError(f"{voice} could not say {text!r}: {error}") from None
    return _trimmed(soxr.resample(audio, rate, RATE), f"{voice}, {text!r}")


_PROGRAMS = {"flite": "flite", "espeak-ng": "espeak-ng", "festival": "text2wave"}


def _command(voice: Voice, text: str, wav: Path) -> list[str]:
    if voice.program == "flite":
        return ["flite", "-voice", voice.name, "-t", text, "-o", str(wav)]
    if voice.program == "espeak-ng":
        return ["espeak-ng", "-v", voice.name, "-s", "150", "-w", str(wav), text]
    return ["text2wave", "-o", str(wav), "-eval", f"(voice_{voice.name})"]  # reads the text


def _trimmed(audio: Samples, what: str) -> Samples:
    """Cut what lies more than 50 ms before or after the last sample over -50 dBFS."""
    loud = np.flatnonzero(np.abs(audio) > 10 ** (-50 / 20))
    if not len(loud):
        raise DataError(f"{what}: nothing was said")
    margin = RATE // 20
    return audio[max(0, loud[0] - margin) : loud[-1] + margin]
