"""Recordings that an export is calibrated and verified on: a user's folder, or the default set."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

import numpy as np
import soundfile
import soxr

from kws.errors import DataError
from kws.flow import Samples
from kws.mixing import mixed

RATE = 16_000
"""Of the default clips, in Hz."""
AUDIO = Path(__file__).parent / "clips" / "clips.ogg"
INDEX = AUDIO.with_suffix(".json")
"""Where in AUDIO each clip lies; `python -m export.clips` makes both."""
ENDINGS = frozenset({".wav", ".flac", ".ogg", ".opus", ".mp3"})
MOST = 256
"""Clips that are read of a folder; more cost time, and change no figure's first digit."""
LONGEST_S = 10.0
"""What is heard of a long recording, from its start."""

SILENCE = "silence"
PAUSE_S = 0.25
LEVELS_DB = (0.0, -7.0, 7.0)
SNRS_DB = (40.0, 30.0, 20.0)
"""Each clip gets one of these levels over the stored one, and one of these distances to noise."""

Thing = TypeVar("Thing")


@dataclass(frozen=True)
class Clip:
    """A recording: float32 [n], mono, in [-1, 1].

    label: what is heard in it, where that is known. name: for people.
    """

    samples: Samples
    label: str | None
    name: str


def default(rate: int = RATE) -> list[Clip]:
    """Return the default set at `rate` Hz: words of 1 s, sentences of up to 5 s, silence, noise.

    All of it is synthesised. It is the same at every call, at several levels and in some noise.
    """
    clips = [*_spoken(), *_silences()]
    return [Clip(_resampled(clip.samples, RATE, rate), clip.label, clip.name) for clip in clips]


def read(folder: Path, rate: int, most: int = MOST) -> list[Clip]:
    """Return at most `most` recordings below `folder`, evenly chosen by name, at `rate` Hz.

    The label is the name of the folder in which a recording lies, `folder` itself aside.
    Raises DataError: there are none, or one can't be used.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: is no folder of recordings")
    paths = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in ENDINGS and path.is_file() and not path.name.startswith(".")
    )
    if not paths:
        raise DataError(
            f"{folder}: holds no recordings; put {', '.join(sorted(ENDINGS))} files there"
        )
    return [_read(path, folder, rate) for path in evenly(paths, most)]


def evenly(things: Sequence[Thing], most: int) -> list[Thing]:
    """Return at most so many, evenly chosen."""
    chosen = np.linspace(0, len(things) - 1, min(most, len(things))).round().astype(int)
    return [things[index] for index in chosen]


def halves(clips: Sequence[Clip]) -> tuple[list[Clip], list[Clip]]:
    """Split clips into those to calibrate on and those to verify on.

    A label that is there more than once is in both; a single clip serves for both.
    """
    ordered = sorted(clips, key=lambda clip: (clip.label or "", clip.name))
    return ordered[::2], ordered[1::2] or ordered


def _read(path: Path, folder: Path, rate: int) -> Clip:
    try:
        with soundfile.SoundFile(os.fsencode(path) if os.name == "posix" else path) as file:
            own = file.samplerate
            audio = file.read(round(LONGEST_S * own), dtype="float32", always_2d=True)
    except (OSError, soundfile.SoundFileError) as error:
        raise DataError(f"{path}: can't be read as audio: {error}") from None
    if not len(audio):
        raise DataError(f"{path}: is empty; remove it")
    if not np.isfinite(audio).all():
        raise DataError(f"{path}: holds samples that are no numbers; remove it")
    mono = mixed(audio)
    inner = path.relative_to(folder)
    label = inner.parent.name or None
    return Clip(_resampled(mono, own, rate), label, inner.as_posix())


def _resampled(audio: Samples, own: int, rate: int) -> Samples:
    if own == rate:
        return audio
    resampled: Samples = soxr.resample(audio, own, rate).astype(np.float32)
    return resampled


@cache
def _stored() -> tuple[Samples, list[dict[str, str | int | None]]]:
    try:
        audio, _ = soundfile.read(AUDIO, dtype="float32")
        return audio, json.loads(INDEX.read_text(encoding="utf-8"))
    except (OSError, ValueError, soundfile.SoundFileError) as error:
        raise DataError(f"{AUDIO}: the default clips can't be read: {error}") from None


def _spoken() -> list[Clip]:
    audio, index = _stored()
    random = np.random.default_rng(1)
    made = []
    for number, entry in enumerate(index):
        start, samples = int(entry["start"] or 0), int(entry["samples"] or 0)
        said = audio[start : start + samples]
        label = entry["label"]
        room = RATE - samples if label else round(2 * PAUSE_S * RATE)
        before = int(random.integers(0, room + 1))
        level_db, snr_db = LEVELS_DB[number % 3], SNRS_DB[number // 3 % 3]
        padded = np.pad(said, (before, room - before))
        noise = _noise(random, len(padded), colour=number % 3)
        loud = np.sqrt(np.mean(said**2)) * 10 ** (-snr_db / 20)
        mixed = ((padded + loud * noise) * 10 ** (level_db / 20)).clip(-1, 1)
        made.append(
            Clip(mixed.astype(np.float32), str(label) if label else None, str(entry["name"]))
        )
    return made


def _silences() -> list[Clip]:
    """Return a second each of digital silence, of noise, and of mains hum."""
    random = np.random.default_rng(2)
    made = [Clip(np.zeros(RATE, np.float32), SILENCE, "silence")]
    for colour, name in enumerate(("white", "pink", "brown")):
        for level_db in (-60, -45, -30):
            noise = _noise(random, RATE, colour) * 10 ** (level_db / 20)
            made.append(Clip(noise.astype(np.float32), SILENCE, f"{name} noise {level_db} dBFS"))
    time = np.arange(RATE) / RATE
    hum = sum(np.sin(2 * np.pi * 50 * k * time + k) / k for k in range(1, 12))
    hum = 0.01 * hum + 1e-4 * random.standard_normal(RATE)
    return [*made, Clip(hum.astype(np.float32), SILENCE, "hum")]


def _noise(random: np.random.Generator, samples: int, colour: int) -> Samples:
    """Return noise of unit power that falls by 0, 3 or 6 dB an octave (`colour` 0, 1, 2)."""
    spectrum = np.fft.rfft(random.standard_normal(samples))
    frequency = np.arange(len(spectrum)).clip(1)
    shaped = np.fft.irfft(spectrum * frequency ** (-colour / 2), samples)
    shaped -= shaped.mean()
    noise: Samples = (shaped / np.sqrt(np.mean(shaped**2))).astype(np.float32)
    return noise
