"""Search: each keyword's threshold, so that together they stay within a rate of false alarms."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from kws.errors import DataError
from kws.sensitivity import logit, sigmoid

LOGITS = np.arange(-1.5, 9.01, 0.1)
GRID: NDArray[np.float64] = 1 / (1 + np.exp(-LOGITS))
"""Thresholds that are tried: 0.18 to 0.9999, evenly spaced in log-odds."""
TAIL = 12
"""So many of a keyword's highest peaks say how the number of its false alarms falls off."""
SHARED = 15
"""As many peaks the mean of all keywords counts for, where a keyword has few of its own."""
DOUBT = 60
"""Of so many peaks, all keywords' together, half of a tail's shape is believed."""
LIGHTEST = -0.3
"""The lowest shape of a tail: few peaks can't prove that it ends at once."""
SPREAD = 4
"""Misses are averaged over so many steps of the grid on either side."""

Table = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Expected share of misses, and false alarms, at each threshold of GRID."""


def moved(threshold: float, step: float) -> float:
    """Return a threshold with `step` added to its log-odds."""
    return sigmoid(logit(threshold) + step)


def thresholds(
    said: Mapping[str, NDArray[np.float64]],
    alarms: Mapping[str, NDArray[np.float64]],
    *,
    hours: float,
    per_hour: float,
) -> dict[str, float]:
    """Return thresholds: as few misses as so many false alarms an hour, together, allow.

    said: by keyword, how high the score rose at each of its utterances; alarms: its peaks in
    `hours` of audio without keywords. Misses and false alarms are tabled over thresholds; then
    one price of a false alarm is sought, the same for every keyword (the slope that their
    trade-offs share), at which, each choosing its cheapest threshold, all stay within the rate.
    A miss counts as a share of its keyword's utterances: a word of few recordings is no cheaper.
    Raises DataError: hours too few to speak of such a rate; a keyword that was never said.
    """
    if per_hour * hours < 1:
        raise DataError(
            f"{hours:.2f} h of audio without keywords can't support {per_hour:g} false alarms an "
            f"hour: ask for {1 / max(hours, 1e-9):.2g} or more, or give more audio"
        )
    for name, peaks in said.items():
        if not len(peaks):
            raise DataError(f"no recording says {name!r}: its threshold can't be found")
    expected = _alarms(alarms)
    tables = {name: (_misses(said[name]), expected[name]) for name in said}
    chosen = _spend(tables, _cheapest(tables, per_hour * hours), per_hour * hours)
    return {name: round(float(GRID[at]), 4) for name, at in chosen.items()}


def expected_alarms(alarms: NDArray[np.float64], threshold: float) -> float:
    """Return how many of such peaks are to be expected over a threshold (see `thresholds`)."""
    return float(np.interp(logit(threshold), LOGITS, _alarms({"": alarms})[""]))


def _misses(peaks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share missed at each threshold: counted, and averaged over its neighbours."""
    counted = np.searchsorted(np.sort(peaks), GRID, side="left").astype(np.float64)
    padded = np.pad(counted / len(peaks), SPREAD, mode="edge")
    return np.convolve(padded, np.full(2 * SPREAD + 1, 1 / (2 * SPREAD + 1)), mode="valid")


def _alarms(alarms: Mapping[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    """Return the false alarms expected of each keyword at each threshold.

    Few peaks pass a good threshold, and the very highest of them is luck: over the `TAIL` highest
    the number is taken to fall off, in log-odds, as a generalised Pareto distribution does (peaks
    over a threshold; Pickands, "Statistical inference using extreme order statistics", 1975), below
    it is counted. All keywords share its shape, found by the method of moments (Hosking and Wallis,
    "Parameter and quantile estimation for the generalized Pareto distribution", 1987); where a
    keyword has few peaks, their common scale counts, too.
    """
    levels = {name: np.sort(_log_odds(peaks))[::-1] for name, peaks in alarms.items()}
    tails = {name: each[: min(TAIL, len(each) - 1) + 1] for name, each in levels.items()}
    excess = {name: tail[:-1] - tail[-1] for name, tail in tails.items() if len(tail) > 1}
    shape = _shape(list(excess.values()))
    mean = float(np.concatenate([np.zeros(0), *excess.values()]).mean()) if excess else 1.0
    expected = {}
    for name, each in levels.items():
        counted = np.searchsorted(-each, -LOGITS, side="right").astype(np.float64)
        if name in excess:
            over, base = excess[name], tails[name][-1]
            average = (over.sum() + SHARED * mean) / (len(over) + SHARED)
            falling = len(over) * _survival(LOGITS - base, max(average, 1e-3), shape)
            counted = np.where(base <= LOGITS, falling, counted)
        expected[name] = counted
    return expected


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


def _cheapest(tables: Mapping[str, Table], budget: float) -> dict[str, int]:
    """Return the place in GRID of each keyword's threshold, at the lowest price in the budget."""
    low, high = 1e-4, 1e4
    best = dict.fromkeys(tables, len(GRID) - 1)
    for _ in range(60):
        price = math.sqrt(low * high)
        chosen = {
            name: int((table[0] + price * table[1]).argmin()) for name, table in tables.items()
        }
        if _total(tables, chosen) <= budget:
            best, high = chosen, price
        else:
            low = price
    return best


def _spend(tables: Mapping[str, Table], chosen: Mapping[str, int], budget: float) -> dict[str, int]:
    """Spend what one price for all leaves of the budget, where a false alarm saves most misses."""
    spent = dict(chosen)
    while True:
        left = budget - _total(tables, spent)
        offers = []
        for name, at in spent.items():
            misses, alarms = tables[name]
            saved, cost = misses[at] - misses[:at], alarms[:at] - alarms[at]
            fits = np.flatnonzero((cost <= left) & (saved > 0))
            if len(fits):
                worth = saved[fits] / np.maximum(cost[fits], 1e-9)
                offers.append((float(worth.max()), name, int(fits[worth.argmax()])))
        if not offers:
            return spent
        _, name, place = max(offers)
        spent[name] = place


def _total(tables: Mapping[str, Table], chosen: Mapping[str, int]) -> float:
    return float(sum(tables[name][1][at] for name, at in chosen.items()))


def rates_in(hours: float, wanted: Sequence[float]) -> list[float]:
    """Return those rates of false alarms per hour that so many hours can speak of."""
    return [rate for rate in wanted if rate * hours >= 1]
