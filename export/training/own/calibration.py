"""Thresholds of own words: how often a score is reached where nobody says the word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kws.sensitivity import logit, sigmoid

TAIL = 0.02
"""The share of windows, the highest, over which the fall of the scores is fitted."""
FEWEST = 12
"""As many windows at least are fitted."""
SHAPE = -0.05
"""Of the tail: it ends a little sooner than an exponential one, as the whole calibration split's
does."""
HOPS_AN_EVENT = 1.5
"""So many windows one after another pass where a false alarm is: one event."""
LOWEST, HIGHEST = 0.35, 0.9995
"""Thresholds lie between these: under the first a word is as likely as not another."""


@dataclass(frozen=True)
class Tail:
    """How many false alarms an hour a word has at a threshold, beyond what was counted.

    The highest log-odds are taken to fall off over `base` as a generalised Pareto distribution does
    (peaks over a threshold; Pickands, 1975), with the shape SHAPE: `rate` windows an hour lie over
    it, by `scale` on average.
    """

    base: float
    scale: float
    rate: float

    def per_hour(self, level: float) -> float:
        """Return the false alarms an hour to be expected over a level in log-odds."""
        over = max(0.0, level - self.base) / (self.scale * (1 - SHAPE))
        left: float = max(0.0, 1 + SHAPE * over) ** (-1 / SHAPE)
        return self.rate / HOPS_AN_EVENT * left

    def level(self, per_hour: float) -> float:
        """Return the level in log-odds over which so many false alarms an hour are expected."""
        ratio = self.rate / HOPS_AN_EVENT / per_hour
        if ratio <= 1:
            return self.base
        over: float = (ratio**SHAPE - 1) / SHAPE
        return self.base + over * self.scale * (1 - SHAPE)


def fit(scores: NDArray[np.float32], windows_per_hour: float) -> Tail:
    """Return the tail of a word's scores [n] over windows without it, drawn at random."""
    levels = np.sort([logit(float(np.clip(each, 1e-6, 1 - 1e-6))) for each in scores])[::-1]
    count = min(len(levels) - 1, max(FEWEST, round(TAIL * len(levels))))
    base = float(levels[count])
    scale = max(0.2, float(np.mean(levels[:count] - base)))
    return Tail(base, scale, count / len(levels) * windows_per_hour)


def thresholds(tails: Mapping[str, Tail], per_hour: float) -> dict[str, float]:
    """Return thresholds at which all words together have so many false alarms an hour.

    Each word has the same share of them.
    """
    share = per_hour / max(1, len(tails))
    found = {}
    for name, tail in tails.items():
        found[name] = round(min(HIGHEST, max(LOWEST, sigmoid(tail.level(share)))), 4)
    return found
