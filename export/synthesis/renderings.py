"""Texts in many voices, at many speeds and pitches."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from export.synthesis.speaking import Samples, say
from export.synthesis.voices import Voice, installed
from kws.errors import DataError

SPEEDS = (0.8, 1.25)
PITCHES = (-3.0, 3.0)
PER_VOICE = 60
"""More of one voice would be near-duplicates: closer than 5 % in speed and half a semitone."""

_STEP = (0.754877666, 0.569840291)
"""What each point of the R2 sequence adds: no two points of a square come close (Roberts)."""

Manner = tuple[Voice, float, float]
"""Who speaks, how fast, how high."""


def said(text: str, most: int, seed: int = 1) -> list[Samples]:
    """Return at most `most` renderings of `text`, float32 [n] at 16 kHz.

    Every voice in turn, at speeds of 0.8 to 1.25 and pitches 3 semitones either way; the same
    seed gives the same. Voices that can't say the text are left out.

    Raises DataError: none can, or none is here.
    """
    renderings = spoken((text, *manner) for manner in manners(everyone(), most, seed))
    heard = [audio for audio in renderings if not isinstance(audio, DataError)]
    refused = [audio for audio in renderings if isinstance(audio, DataError)]
    if refused and not heard:
        raise refused[0]
    return heard


def everyone() -> list[Voice]:
    """Return the installed voices. Raises DataError: there is none."""
    voices = installed()
    if not voices:
        raise DataError("no speech synthesiser is here: install espeak-ng, flite or festival")
    return voices


def spoken(lines: Iterable[tuple[str, Voice, float, float]]) -> list[Samples | DataError]:
    """Return what each line (text, voice, speed, pitch) sounds like, or why it doesn't."""

    def one(line: tuple[str, Voice, float, float]) -> Samples | DataError:
        text, voice, speed, pitch = line
        try:
            return say(voice, text, speed=speed, pitch=pitch)
        except DataError as error:
            return error

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return list(pool.map(one, lines))


def manners(voices: list[Voice], most: int, seed: int) -> list[Manner]:
    """Return who speaks and how: at most PER_VOICE ways a voice, no two of them alike."""
    rng = np.random.default_rng(seed)
    ways = {voice: _ways(rng.random(2)) for voice in voices}
    turns = _turns(voices, rng)
    count = min(most, PER_VOICE * len(voices))
    return [(voice, *next(ways[voice])) for _, voice in zip(range(count), turns, strict=False)]


def _turns(voices: list[Voice], rng: np.random.Generator) -> Iterator[Voice]:
    """Take the programs in turn: more often the more voices they have, but not in proportion.

    espeak-ng has dozens, and all of them buzz alike.
    """
    left = dict.fromkeys(voices, PER_VOICE)
    programs: dict[str, list[Voice]] = {voice.program: [] for voice in voices}
    for voice in rng.permutation(len(voices)):
        programs[voices[voice].program].append(voices[voice])
    turns = dict.fromkeys(programs, 0)
    while any(left.values()):
        open_to = [name for name, them in programs.items() if any(left[voice] for voice in them)]
        name = min(open_to, key=lambda name: (turns[name] + 0.5) / len(programs[name]) ** 0.5)
        voice = programs[name][turns[name] % len(programs[name])]
        turns[name] += 1
        left[voice] -= 1
        yield voice


def _ways(start: NDArray[np.float64]) -> Iterator[tuple[float, float]]:
    """Yield speeds and pitches that lie far apart, from a random start."""
    low, high = SPEEDS
    point = start
    while True:
        speed = low * (high / low) ** point[0]
        pitch = PITCHES[0] + (PITCHES[1] - PITCHES[0]) * point[1]
        yield round(float(speed), 3), round(float(pitch), 2)
        point = (point + _STEP) % 1
