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
TAIL = 30
"""So many of the highest peaks say how the number of false alarms falls off."""
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
    tables = {name: (_misses(said[name]), _alarms(alarms[name])) for name in said}
    chosen = _spend(tables, _cheapest(tables, per_hour * hours), per_hour * hours)
    return {name: round(float(GRID[at]), 4) for name, at in chosen.items()}


def expected_alarms(alarms: NDArray[np.float64], threshold: float) -> float:
    """Return how many of such peaks are to be expected over a threshold (see `thresholds`)."""
    return float(np.interp(logit(threshold), LOGITS, _alarms(alarms)))


def _misses(peaks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share missed at each threshold: counted, and averaged over its neighbours."""
    counted = np.searchsorted(np.sort(peaks), GRID, side="left").astype(np.float64)
    padded = np.pad(counted / len(peaks), SPREAD, mode="edge")
    return np.convolve(padded, np.full(2 * SPREAD + 1, 1 / (2 * SPREAD + 1)), mode="valid")


def _alarms(peaks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the false alarms expected at each threshold.

    Few peaks pass a good threshold, and the very highest of them is luck: over the `TAIL`
    highest the number is taken to fall exponentially in log-odds (peaks over a threshold;
    Pickands, "Statistical inference using extreme order statistics", 1975), below it is counted.
    """
    levels = np.sort([logit(float(peak)) for peak in peaks])[::-1]
    counted = np.searchsorted(-levels, -LOGITS, side="right").astype(np.float64)
    if len(levels) < 2:
        return counted
    tail = min(TAIL, len(levels) - 1)
    base = levels[tail]
    scale = max(float(np.mean(levels[:tail] - base)), 1e-3)
    expected = tail * np.exp(-np.maximum(LOGITS - base, 0) / scale)
    return np.where(base <= LOGITS, expected, counted)


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
