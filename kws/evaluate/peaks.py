"""Peaks: how high a keyword's score rises where it was said, and where it was not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kws.evaluate.match import TOLERANCE_S, Word

APART_S = 1.0
"""Peaks closer than this are one false alarm."""
LOWEST = 0.1
"""Peaks under this are of no interest to anybody."""


def smoothed(values: NDArray[np.float32], hops: int) -> NDArray[np.float32]:
    """Return the mean over the last `hops` hops, [hops, labels]; zeros before the first."""
    hops = max(1, hops)
    padded = np.concatenate([np.zeros_like(values[: hops - 1]), values])
    windows = np.lib.stride_tricks.sliding_window_view(padded, hops, 0)
    mean: NDArray[np.float32] = windows.mean(2, dtype=np.float32)
    return mean


def word_peaks(
    score: NDArray[np.float32], ends_s: NDArray[np.float64], words: Sequence[Word], name: str
) -> NDArray[np.float64]:
    """Return the highest score while each word of this name could still be matched."""
    return np.array(
        [
            score[(ends_s >= word.start_s) & (ends_s <= word.end_s + TOLERANCE_S)].max(initial=0)
            for word in words
            if word.label == name
        ],
        np.float64,
    )


def alarm_peaks(
    score: NDArray[np.float32], ends_s: NDArray[np.float64], lowest: float = LOWEST
) -> NDArray[np.float64]:
    """Return the peaks from `lowest` on that lie a second apart, the highest first."""
    candidates = np.flatnonzero(score >= lowest)
    candidates = candidates[np.argsort(-score[candidates], kind="stable")]
    taken: list[int] = []
    blocked = np.zeros(len(score), bool)
    for at in candidates:
        if not blocked[at]:
            taken.append(int(at))
            first, last = np.searchsorted(ends_s, [ends_s[at] - APART_S, ends_s[at] + APART_S])
            blocked[first:last] = True
    return score[taken].astype(np.float64)
