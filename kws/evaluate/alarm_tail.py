"""Alarm tail: how many false alarms to expect over thresholds that few peaks ever passed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from kws.sensitivity import logit

TAIL = 12
"""So many of a keyword's highest peaks say how the number of its false alarms falls off."""
SHARED = 15
"""As many peaks the mean of all keywords counts for, where a keyword has few of its own."""
DOUBT = 60
"""Of so many peaks, all keywords' together, half of a tail's shape is believed."""
LIGHTEST = -0.3
"""The lowest shape of a tail: few peaks can't prove that it ends at once."""


def expected(
    alarms: Mapping[str, NDArray[np.float64]], levels: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Return the false alarms expected of each keyword at each threshold.

    alarms: by keyword, the peaks of its score where it was not said. levels: log-odds.

    Few peaks pass a good threshold, and the very highest of them is luck: over the `TAIL` highest
    the number is taken to fall off, in log-odds, as a generalised Pareto distribution does (peaks
    over a threshold; Pickands, "Statistical inference using extreme order statistics", 1975), below
    it is counted. All keywords share its shape, found by the method of moments (Hosking and Wallis,
    "Parameter and quantile estimation for the generalized Pareto distribution", 1987); where a
    keyword has few peaks, their common scale counts, too.
    """
    peaks = {name: np.sort(_log_odds(each))[::-1] for name, each in alarms.items()}
    tails = {name: each[: min(TAIL, len(each) - 1) + 1] for name, each in peaks.items()}
    excess = {name: tail[:-1] - tail[-1] for name, tail in tails.items() if len(tail) > 1}
    shape = _shape(list(excess.values()))
    mean = float(np.concatenate([np.zeros(0), *excess.values()]).mean()) if excess else 1.0
    found = {}
    for name, each in peaks.items():
        counted = np.searchsorted(-each, -levels, side="right").astype(np.float64)
        if name in excess:
            over, base = excess[name], tails[name][-1]
            average = (over.sum() + SHARED * mean) / (len(over) + SHARED)
            falling = len(over) * _survival(levels - base, max(average, 1e-3), shape)
            counted = np.where(base <= levels, falling, counted)
        found[name] = counted
    return found


def _log_odds(peaks: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([logit(float(peak)) for peak in peaks], np.float64)


def _shape(excess: Sequence[NDArray[np.float64]]) -> float:
    """Return the shape that tails share, each in units of its mean: 0 is exponential."""
    scaled = [over / over.mean() for over in excess if len(over) > 1 and over.mean() > 0]
    if not scaled:
        return 0.0
    joined = np.concatenate(scaled)
    shape = 0.5 * (1 - joined.mean() ** 2 / max(float(joined.var()), 1e-9))
    # Drawn towards the exponential, the fewer peaks there are: a wrong shape costs false alarms.
    return float(np.clip(shape, LIGHTEST, 0)) * len(joined) / (len(joined) + DOUBT)


def _survival(over: NDArray[np.float64], mean: float, shape: float) -> NDArray[np.float64]:
    """Return the share of peaks that lie so far over the base; `mean`: of what lies over it."""
    over = np.maximum(over, 0)
    if shape > -1e-3:
        return np.exp(-over / mean)
    scale = mean * (1 - shape)
    share: NDArray[np.float64] = np.maximum(1 + shape * over / scale, 0) ** (-1 / shape)
    return share
