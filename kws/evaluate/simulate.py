"""Simulated streams: clips laid out in time, with the truth of where each word lies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from kws.evaluate.match import Word
from kws.evaluate.truth import word_bounds
from kws.flow import Samples

GAP_S, MEAN_GAP_S = 0.8, 1.2
FLOOR_DB = -70.0
"""Level of the noise everywhere: real microphones never deliver zeros."""


def clean(
    clips: Iterable[tuple[str, Samples]], rate: int, *, seed: int = 1
) -> Iterator[tuple[Samples, Word]]:
    """Yield the recipe `clean` piece by piece: each clip with the gap before it, and its truth.

    Gaps last 0.8 s plus an exponential with mean 1.2 s. `clips`: label and float32 [n].
    """
    rng = np.random.default_rng(seed)
    at = 0
    for label, clip in clips:
        gap = round((GAP_S + rng.exponential(MEAN_GAP_S)) * rate)
        piece = rng.normal(0, 10 ** (FLOOR_DB / 20), gap + len(clip)).astype(np.float32)
        piece[gap:] += clip
        bounds = word_bounds(clip, rate)
        start, end = bounds or (0, len(clip))
        begin = at + gap
        yield piece, Word(label, (begin + start) / rate, (begin + end) / rate, bounds is not None)
        at += len(piece)
