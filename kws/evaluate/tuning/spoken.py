"""Spoken: whether something was said, where, and how loud; whatever a model makes of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kws.evaluate.truth import FRAME_S, word_bounds
from kws.flow import Samples
from kws.levels import frames_db, rms_db

QUIETEST_DB = -50.0
"""dBFS of the loudest 10 ms: what is quieter is lost in the noise of many microphones."""
STANDS_OUT_DB = 12.0
"""So far the loudest 10 ms of a word stand over the quietest tenth."""
SHORTEST_S = 0.08
"""A key or a click is shorter than any word."""
FULL_SCALE, TOO_MANY = 0.999, 3
"""So many samples at full scale are clipped."""


@dataclass(frozen=True)
class Spoken:
    """What was said. Seconds from the audio's begin; level_db: RMS in dBFS."""

    start_s: float
    end_s: float
    level_db: float


def find(audio: Samples, rate: int) -> Spoken | None:
    """Return what was said in audio, float32 [n] mono at `rate` Hz; None: nothing was."""
    bounds = word_bounds(audio, rate)
    if bounds is None or bounds[1] - bounds[0] < SHORTEST_S * rate:
        return None
    levels = frames_db(audio, round(FRAME_S * rate))
    quiet = float(np.sort(levels)[: max(1, len(levels) // 10)].mean())
    if levels.max() - quiet < STANDS_OUT_DB:
        return None
    start, end = bounds
    return Spoken(start / rate, end / rate, rms_db(audio[start:end]))


def trouble(audio: Samples, rate: int, found: Spoken | None, *, clipped: int) -> str | None:
    """Return why an utterance should be repeated, None where it is fine.

    clipped: samples at full scale. Whether it was recognised doesn't matter: repeating what was
    not would hide misses.
    """
    if found is None:
        return "nothing was heard"
    if clipped >= TOO_MANY:
        return "too loud: it was clipped; keep away a little, or turn the microphone down"
    if frames_db(audio, round(FRAME_S * rate)).max() < QUIETEST_DB:
        return "too quiet; come closer, or turn the microphone up"
    return None
