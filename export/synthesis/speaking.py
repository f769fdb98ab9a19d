"""Has one voice say one text."""

from __future__ import annotations

import subprocess
import tempfile
import unicodedata
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from export.synthesis.voices import PROGRAMS, Voice
from kws.errors import DataError

RATE = 16_000
Samples = NDArray[np.float32]

SPEEDS = (0.5, 2.0)
PITCHES = (-6.0, 6.0)
"""Semitones. What every program can do without sounding broken."""

PATIENCE_S = 120

_WORDS_PER_MINUTE = 150
_SEMITONE_IN_ESPEAK = 6.2
"""Its pitch runs from 0 to 99 around 50: about -6 to +8 semitones, measured."""
_DEAF_TO_PITCH = {"rms"}
"""flite's voice whose model ignores f0_shift."""


def say(voice: Voice, text: str, *, speed: float = 1.0, pitch: float = 0) -> Samples:
    """Return `text` as the voice says it: float32 [n] at 16 kHz, its own silence cut off.

    speed: a factor, 0.5 to 2; pitch: semitones, -6 to 6. Where a program can't shift the pitch,
    resampling does, and the voice's throat grows or shrinks with it.

    Raises DataError: the program is missing, fails, or says nothing.
    """
    if not (SPEEDS[0] <= speed <= SPEEDS[1] and PITCHES[0] <= pitch <= PITCHES[1]):
        raise DataError(f"{voice}: speed {speed} or pitch {pitch} is beyond 0.5 to 2, -6 to 6")
    throat = 2 ** (pitch / 12) if pitch and not _shifts_pitch(voice) else 1.0
    with tempfile.TemporaryDirectory() as folder:
        wav, written = Path(folder) / "said.wav", Path(folder) / "text.txt"
        plain = _plain(voice, text)
        written.write_text(plain, encoding="utf-8")
        command = _command(voice, written, wav, speed / throat, pitch if throat == 1 else 0)
        try:
            answer = subprocess.run(
                command, input=plain.encode(), check=True, capture_output=True, timeout=PATIENCE_S
            )
            audio, rate = soundfile.read(wav, dtype="float32")
        except FileNotFoundError:
            raise DataError(f"{voice}: {voice.program} is not installed") from None
        except subprocess.CalledProcessError as error:
            raise DataError(f"{voice} could not say {text!r}{_why(error.stderr)}") from None
        except soundfile.LibsndfileError:  # it wrote nothing, and thinks that is right
            raise DataError(f"{voice} could not say {text!r}{_why(answer.stderr)}") from None
        except subprocess.TimeoutExpired:
            raise DataError(f"{voice} took over {PATIENCE_S} s to say {text!r}") from None
    if not len(audio):
        raise DataError(f"{voice}, {text!r}: nothing was said")
    return trim_silence(soxr.resample(audio, rate * throat, RATE), f"{voice}, {text!r}")


def _plain(voice: Voice, text: str) -> str:
    """Return the text as the program can read it: only espeak-ng knows more than ASCII."""
    known = text
    if voice.program != "espeak-ng":
        known = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    if not any(letter.isalnum() for letter in known):  # some would click or hum
        raise DataError(f"{voice} could not say {text!r}: it has no letter that {voice} knows")
    return known


def _shifts_pitch(voice: Voice) -> bool:
    match voice.program:
        case "espeak-ng":
            return True
        case "flite":
            return voice.name not in _DEAF_TO_PITCH
        case _:  # only festival's diphone voices take their pitch from a regression's target
            return voice.name.endswith("_diphone")


def _command(voice: Voice, text: Path, wav: Path, speed: float, pitch: float) -> list[str]:
    """Return what to run; all but flite read the text from their standard input."""
    factor = 2 ** (pitch / 12)
    match voice.program:
        case "flite":
            options = ["--setf", f"duration_stretch={1 / speed:.4f}"] if speed != 1 else []
            options += ["--setf", f"f0_shift={factor:.4f}"] if pitch else []
            return ["flite", "-voice", voice.name, *options, "-f", str(text), "-o", str(wav)]
        case "espeak-ng":
            words = round(_WORDS_PER_MINUTE * speed)
            options = ["-p", str(round(50 + _SEMITONE_IN_ESPEAK * pitch))] if pitch else []
            return [
                *("espeak-ng", "-v", voice.name, "-s", str(words), *options),
                *("--stdin", "-w", str(wav)),
            ]
        case "festival":
            return _festival(voice, wav, speed, factor)
    raise DataError(f"{voice}: the programs are {', '.join(PROGRAMS)}")


def _festival(voice: Voice, wav: Path, speed: float, factor: float) -> list[str]:
    command = ["text2wave", "-o", str(wav), "-eval", f"(voice_{voice.name})"]
    if speed != 1:
        command += ["-eval", f"(Parameter.set 'Duration_Stretch {1 / speed:.4f})"]
    if factor != 1:
        mean = "(cadr (assoc 'target_f0_mean int_lr_params))"
        target = f"(list 'target_f0_mean (* {factor:.4f} {mean}))"
        command += ["-eval", f"(set! int_lr_params (cons {target} int_lr_params))"]
    return command


def _why(stderr: bytes) -> str:
    lines = stderr.decode(errors="replace").split("\n")
    found = [line.strip() for line in lines if line.strip()]
    return f": {found[0]}" if found else ""


def trim_silence(audio: Samples, what: str) -> Samples:
    """Cut what lies more than 50 ms before the first or after the last sample over -50 dBFS.

    Raises DataError: there is no such sample.
    """
    loud = np.flatnonzero(np.abs(audio) > 10 ** (-50 / 20))
    if not len(loud):
        raise DataError(f"{what}: nothing was said")
    margin = RATE // 20
    return audio[max(0, loud[0] - margin) : loud[-1] + margin]
