"""Substitutes: what stands in for recordings that nobody gave. It teaches less than they would."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from export.training.own.material import Recording
from export.training.recordings import RATE, Pcm
from kws.flow import Samples

NOISE_S = 20.0
NOISES = 20
ROOMS = 24


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
