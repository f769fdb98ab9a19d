"""Sensitivity: how eagerly a keyword is heard, 0 to 100; 50 is what ships.

Every 25 points allow 4 times as many false alarms an hour, or a quarter of them. Which threshold
that is, a model card's operating points say: thresholds that were measured at some rates. Between
two of them a threshold's log-odds are interpolated against the logarithm of the rate. Beyond the
outermost they go on at the slope of the last two, kept within bounds: what lies there was never
measured. A keyword without operating points moves at a fixed slope, 25 points for a factor of 4
in the odds of its threshold.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

SHIPPED, LOWEST, HIGHEST = 50.0, 0.0, 100.0
"""The sensitivity of the thresholds that ship; the strictest; the most open."""
POINTS, FACTOR = 25.0, 4.0
"""So many points change the false alarms an hour by such a factor."""
SLOPE = 1.0
"""Without two operating points: what a threshold's log-odds lose for each step in ln(FA/h)."""
GENTLEST, STEEPEST = 0.5, 1.5
"""Bounds of the slope beyond the operating points. There a single false alarm may have set it."""
MOST_ODDS = math.log((1 - 1e-6) / 1e-6)
"""Log-odds lie between minus and plus this: float32 tells no score closer to 0 or 1 from them."""

Point: TypeAlias = tuple[float, float]
"""False alarms an hour, over 0, and a keyword's threshold there."""


def logit(share: float) -> float:
    """Return the log-odds of a probability, within what float32 can tell from 0 and 1."""
    held = min(max(share, 1e-6), 1 - 1e-6)
    return math.log(held / (1 - held))


def sigmoid(log_odds: float) -> float:
    """Return the probability of such log-odds."""
    return 1 / (1 + math.exp(-log_odds))


def to_threshold(shipped: float, sensitivity: float, points: Iterable[Point] = ()) -> float:
    """Return a keyword's threshold at a sensitivity, 0 to 100.

    It falls as the sensitivity rises, and is `shipped` itself at 50. points: its operating
    points, in any order; `shipped` need not be one of them.
    """
    if sensitivity == SHIPPED:
        return shipped
    curve = _curve(shipped, points)
    rate = curve.rate(logit(shipped)) + (sensitivity - SHIPPED) / POINTS * math.log(FACTOR)
    found = sigmoid(min(max(curve.level(rate), -MOST_ODDS), MOST_ODDS))
    return max(found, shipped) if sensitivity < SHIPPED else min(found, shipped)


def to_sensitivity(shipped: float, threshold: float, points: Iterable[Point] = ()) -> float:
    """Return the sensitivity at which a keyword has this threshold; 0 or 100 where none is so far.

    The inverse of `to_threshold`.
    """
    if threshold == shipped:
        return SHIPPED
    curve = _curve(shipped, points)
    steps = (curve.rate(logit(threshold)) - curve.rate(logit(shipped))) / math.log(FACTOR)
    return min(max(SHIPPED + POINTS * steps, LOWEST), HIGHEST)


def measured_range(shipped: float, points: Iterable[Point]) -> tuple[float, float] | None:
    """Return between which sensitivities operating points measured thresholds; None: at none.

    Thresholds outside are extrapolated, and their false alarms a guess.
    """
    knots = _falling(points)
    if not knots:
        return None
    return (
        to_sensitivity(shipped, knots[0][1], knots),
        to_sensitivity(shipped, knots[-1][1], knots),
    )


@dataclass(frozen=True)
class _Curve:
    """A keyword's threshold, in log-odds, over ln(FA/h): falling lines between knots.

    before, after: by how much the level falls for each step in ln(FA/h) beyond the knots.
    """

    rates: tuple[float, ...]
    levels: tuple[float, ...]
    before: float
    after: float

    def level(self, rate: float) -> float:
        if rate < self.rates[0]:
            return self.levels[0] + self.before * (self.rates[0] - rate)
        if rate > self.rates[-1]:
            return self.levels[-1] - self.after * (rate - self.rates[-1])
        return float(np.interp(rate, self.rates, self.levels))

    def rate(self, level: float) -> float:
        if level > self.levels[0]:
            return self.rates[0] - (level - self.levels[0]) / self.before
        if level < self.levels[-1]:
            return self.rates[-1] + (self.levels[-1] - level) / self.after
        return float(np.interp(level, self.levels[::-1], self.rates[::-1]))


def _curve(shipped: float, points: Iterable[Point]) -> _Curve:
    knots = _falling(points) or [(1.0, shipped)]
    rates = tuple(math.log(rate) for rate, _ in knots)
    levels = tuple(logit(threshold) for _, threshold in knots)
    if len(knots) == 1:
        return _Curve(rates, levels, SLOPE, SLOPE)
    slopes = [(levels[i] - levels[i + 1]) / (rates[i + 1] - rates[i]) for i in (0, len(knots) - 2)]
    before, after = (min(max(slope, GENTLEST), STEEPEST) for slope in slopes)
    return _Curve(rates, levels, before, after)


def _falling(points: Iterable[Point]) -> list[Point]:
    """Return the points whose threshold is lower than at every stricter rate, strictest first.

    A rate at which a threshold did not fall says that nothing more was gained there for all
    keywords together, not that this one would give as few false alarms if it did.
    """
    knots: list[Point] = []
    for rate, threshold in sorted(points):
        last = knots[-1] if knots else None
        if last is None or (
            math.log(rate) > math.log(last[0]) and logit(threshold) < logit(last[1])
        ):
            knots.append((rate, threshold))
    return knots
