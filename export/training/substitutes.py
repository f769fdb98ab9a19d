"""Substitutes: what stands in for recordings that nobody gave. It teaches less than they would."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from export.training.material import Recording
from export.training.recordings import RATE, Pcm
from export.training.strips import Word
from kws.flow import Samples

NOISE_S = 20.0
NOISES = 20
ROOMS = 24
FRAME = RATE // 100


def pcm(audio: Samples) -> Pcm:
    """Return float32 in [-1, 1] as int16."""
    whole: Pcm = np.rint(audio.clip(-1, 1) * 32767).astype(np.int16)
    return whole


def noise(seed: int) -> list[Recording]:
    """Return noise that falls by 0 to 9 dB an octave, swells, hums and clicks."""
    rng = np.random.default_rng([seed, 1])
    made = [_one_noise(rng) for _ in range(NOISES)]
    return [Recording(pcm(each), f"noise {n}", f"noise {n}") for n, each in enumerate(made)]


def _one_noise(rng: np.random.Generator) -> Samples:
    count = round(NOISE_S * RATE)
    spectrum = np.fft.rfft(rng.standard_normal(count))
    frequency = np.fft.rfftfreq(count, 1 / RATE).clip(20)
    audio = np.fft.irfft(spectrum * frequency ** -rng.uniform(0, 1.5), count)
    audio /= np.sqrt(np.mean(audio**2))
    time = np.arange(count) / RATE
    if rng.random() < 0.5:
        audio *= 1 + 0.8 * np.sin(2 * np.pi * rng.uniform(0.1, 4) * time + rng.uniform(0, 6))
    if rng.random() < 0.3:
        mains = rng.choice([50, 60, rng.uniform(80, 900)])
        hum = sum(np.sin(2 * np.pi * mains * k * time + k) / k for k in range(1, 8))
        audio += hum * rng.uniform(0.3, 3)
    for at in rng.integers(0, count - RATE // 10, size=int(rng.integers(0, 40))):
        length = int(rng.integers(20, RATE // 10))
        fall = np.exp(-np.arange(length) / rng.uniform(10, length / 3 + 10))
        audio[at : at + length] += rng.standard_normal(length) * fall * rng.uniform(2, 15)
    loud: Samples = (audio / np.abs(audio).max() * rng.uniform(0.05, 0.9)).astype(np.float32)
    return loud


def rooms(seed: int) -> list[NDArray[np.float32]]:
    """Return room responses: a direct sound, and noise that dies away in 0.15 to 0.8 s."""
    rng = np.random.default_rng([seed, 2])
    made = []
    for _ in range(ROOMS):
        time = np.arange(RATE // 2) / RATE
        tail = rng.standard_normal(len(time)) * np.exp(-6.9 * time / rng.uniform(0.15, 0.8))
        tail[: int(rng.integers(16, 160))] = 0
        tail *= 10 ** (rng.uniform(-12, 6) / 20) / np.sqrt(np.sum(tail**2))
        tail[0] = 1
        made.append((tail / np.sqrt(np.sum(tail**2))).astype(np.float32))
    return made


def halves(words: Sequence[Word], unknown: int, rng: np.random.Generator) -> list[Word]:
    """Return what is left of words where only their first or last half is said: other words."""
    made = []
    for word in words:
        length = word.last - word.first
        early = word.first + round(rng.uniform(0.35, 0.5) * length)
        late = word.first + round(rng.uniform(0.5, 0.65) * length)
        begun, ended = _faded(word.audio[:early]), _faded(word.audio[late:])
        made += [
            Word(begun, word.first, len(begun), unknown),
            Word(ended, 0, max(1, word.last - late), unknown),
        ]
    return [word for word in made if len(word.audio) > RATE // 20]


def fragments(
    speech: Sequence[Pcm], count: int, unknown: int, rng: np.random.Generator
) -> list[Word]:
    """Return single words, more or less: pieces of speech cut where it is quietest."""
    made: list[Word] = []
    usable = [audio for audio in speech if len(audio) > RATE]
    while usable and len(made) < count:
        audio = usable[rng.integers(len(usable))]
        levels = np.square(
            audio[: len(audio) // FRAME * FRAME].reshape(-1, FRAME).astype(np.float32)
        ).mean(1)
        first = _quietest(levels, int(rng.integers(0, len(levels) - 60)))
        last = _quietest(levels, first + int(rng.integers(25, 110)))
        cut = _faded(audio[first * FRAME : last * FRAME])
        if len(cut) > RATE // 6:
            made.append(Word(cut, 0, len(cut), unknown))
    return made


def _quietest(levels: NDArray[np.float32], at: int) -> int:
    """Return the quietest frame within 80 ms of one."""
    first = min(max(0, at - 8), len(levels) - 1)
    return first + int(levels[first : at + 9].argmin())


def _faded(audio: Pcm) -> Pcm:
    faded = audio.astype(np.float32)
    length = min(160, len(audio))
    ramp = np.linspace(0, 1, length, dtype=np.float32)
    faded[:length] *= ramp
    faded[len(faded) - length :] *= ramp[::-1]
    return faded.astype(np.int16)
