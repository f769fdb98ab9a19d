"""Intervals: how far a count can be trusted."""

from __future__ import annotations

import math
from collections.abc import Callable

Z = 1.959964
"""95 % of a normal distribution lies within so many deviations."""


def wilson(hits: int, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson, 1927), 0..1; (0, 1) for no trials."""
    if not count:
        return 0.0, 1.0
    share, spread = hits / count, Z * Z / count
    centre = (share + spread / 2) / (1 + spread)
    half = Z / (1 + spread) * math.sqrt(share * (1 - share) / count + spread / count / 4)
    return max(0.0, centre - half), min(1.0, centre + half)


def poisson(events: int) -> tuple[float, float]:
    """Return the exact 95 % interval of a Poisson mean, given a count (Garwood, 1936)."""
    low = 0.0 if events == 0 else _mean_where(lambda m: 1 - _below(events, m), 0.025)
    return low, _mean_where(lambda m: 1 - _below(events + 1, m), 0.975)


def _below(events: int, mean: float) -> float:
    """Return the probability of fewer than `events` at this mean."""
    term, total = math.exp(-mean), 0.0
    for k in range(events):
        total += term
        term *= mean / (k + 1)
    return total


def _mean_where(probability: Callable[[float], float], wanted: float) -> float:
    low, high = 0.0, 700.0  # exp(-700) is the smallest that float64 holds
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if probability(middle) < wanted else (low, middle)
    return low
