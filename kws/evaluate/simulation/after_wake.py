"""A wake word and what follows it: a command, another word, nothing, or speech that goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kws.evaluate.simulation.standard import FLOOR_DB, PEAK, SNR_DB, active_level
from kws.evaluate.truth import word_bounds
from kws.flow import Samples

LEAD_S = 0.8
"""Quiet before the wake word."""
PAUSE_S = (0.15, 0.8)
"""Shortest and longest pause between the wake word and what follows."""
REST_S = 1.0
"""What is simulated beyond the wake window."""
MARGIN_S, FADE_S = 0.3, 0.02
"""What is left of a clip on either side of its word, for weak sounds lie outside the bounds of a
word; and the ramps at both ends of that."""


@dataclass(frozen=True)
class Scene:
    """audio: float32 [n]. kind: what follows. said: the command that follows; empty: none.

    wake: the wake word; wake_end_s: where it ends. noisy: with noise behind all of it.
    """

    audio: Samples
    kind: str
    wake: str
    wake_end_s: float
    said: str = ""
    noisy: bool = False


def scene(
    rng: np.random.Generator,
    wake: tuple[str, Samples],
    following: Samples | None,
    rate: int,
    *,
    kind: str,
    window_s: float,
    said: str = "",
    noise: Samples | None = None,
    snr_db: float = SNR_DB,
) -> Scene:
    """Return a wake word, a pause, and what follows, as loud as the wake word was said.

    wake: label and clip, float32 [n] at `rate` Hz. following: a clip, or speech; None: nothing.
    window_s: how long commands count; the scene lasts a second longer. noise: float32, as long
    as the scene or longer, `snr_db` under the wake word; None: quiet, but for a floor of noise.
    """
    word, level, _, end = _word(wake[1], rate)
    begin = round(LEAD_S * rate)
    wake_end = begin + end
    audio = np.zeros(wake_end + round((window_s + REST_S) * rate))
    audio[begin : begin + len(word)] += word[: len(audio) - begin]
    if following is not None:
        cut, own, start, _ = _word(following, rate)
        at = wake_end + round(rng.uniform(*PAUSE_S) * rate) - start
        room = audio[at : at + len(cut)]
        room += cut[: len(room)] * (level / own)
    if noise is not None:
        behind = noise[: len(audio)].astype(np.float64)
        loud = max(active_level(behind, rate), 10 ** (FLOOR_DB / 20))
        audio += behind * level / loud * 10 ** (-snr_db / 20)
    audio += rng.normal(0, 10 ** (FLOOR_DB / 20), len(audio))
    audio *= min(1.0, PEAK / float(np.abs(audio).max()))
    return Scene(audio.astype(np.float32), kind, wake[0], wake_end / rate, said, noise is not None)


def speech(
    rng: np.random.Generator, utterances: Sequence[Samples], seconds: float, rate: int
) -> Samples:
    """Return utterances drawn one after another, float32, of so many seconds at least."""
    parts, wanted = [], round(seconds * rate)
    while wanted > 0:
        parts.append(utterances[int(rng.integers(len(utterances)))])
        wanted -= len(parts[-1])
    return np.concatenate(parts)


def _word(clip: Samples, rate: int) -> tuple[NDArray[np.float64], float, int, int]:
    """Return a clip cut around its word, the word's level, and where it begins and ends in that."""
    margin = round(MARGIN_S * rate)
    first, last = word_bounds(clip, rate) or (0, len(clip))
    cut = clip[max(0, first - margin) : last + margin].astype(np.float64)
    ramp = np.linspace(0, 1, round(FADE_S * rate))[: len(cut)]
    cut[: len(ramp)] *= ramp
    cut[len(cut) - len(ramp) :] *= ramp[::-1]
    level = max(float(np.sqrt(np.mean(clip[first:last].astype(np.float64) ** 2))), 1e-4)
    before = max(0, first - margin)
    return cut, level, first - before, last - before
