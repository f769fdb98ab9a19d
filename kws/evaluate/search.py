"""Search: each keyword's threshold, so that together they stay within a rate of false alarms."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kws.errors import DataError
from kws.evaluate import alarm_tail
from kws.sensitivity import logit, sigmoid

LOGITS = np.arange(-1.5, 9.01, 0.1)
GRID: NDArray[np.float64] = 1 / (1 + np.exp(-LOGITS))
"""Thresholds that are tried: 0.18 to 0.9999, evenly spaced in log-odds."""
SPREAD = 4
"""Misses are averaged over so many steps of the grid on either side."""

LAST_TENTH = 0.1
"""False alarms an hour: what a higher threshold saves must be worth the misses it costs."""
STEEPEST = 0.03
"""The share of a keyword's utterances in noise that the last tenth of a false alarm may cost."""

Table = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Expected share of misses, and false alarms, at each threshold of GRID."""


@dataclass(frozen=True)
class Trade:
    """What a keyword's threshold costs in noise for the last tenth of a false alarm an hour.

    per_hour: false alarms expected. missed: share of the utterances in noise. lower: the threshold
    that gives LAST_TENTH false alarms an hour more; costs: by how much more is missed than there.
    """

    threshold: float
    per_hour: float
    missed: float
    lower: float
    costs: float


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
    _check_hours(hours, per_hour)
    for name, peaks in said.items():
        if not len(peaks):
            raise DataError(f"no recording says {name!r}: its threshold can't be found")
    expected = alarm_tail.expected(alarms, LOGITS)
    tables = {name: (_misses(said[name]), expected[name]) for name in said}
    chosen = _spend(tables, _cheapest(tables, per_hour * hours), per_hour * hours)
    return {name: round(float(GRID[at]), 4) for name, at in chosen.items()}


def shared_threshold(
    alarms: Mapping[str, NDArray[np.float64]], *, hours: float, per_hour: float
) -> float:
    """Return the lowest threshold, the same for all keywords, that stays within the rate.

    alarms, hours: as `thresholds` takes them. Thresholds of their own fit keywords to the handful
    of events that a few hours hold: on other hours they give more false alarms and more misses than
    one for all, where the scores of all keywords come from one softmax.
    Raises DataError: hours too few to speak of such a rate.
    """
    _check_hours(hours, per_hour)
    every = {"": np.concatenate([np.zeros(0), *alarms.values()])}
    expected = alarm_tail.expected(every, LOGITS)[""]
    within = np.flatnonzero(expected <= per_hour * hours)
    return round(float(GRID[within[0] if len(within) else -1]), 4)


def _check_hours(hours: float, per_hour: float) -> None:
    if per_hour * hours < 1:
        raise DataError(
            f"{hours:.2f} h of audio without keywords can't support {per_hour:g} false alarms an "
            f"hour: ask for {1 / max(hours, 1e-9):.2g} or more, or give more audio"
        )


def expected_alarms(alarms: NDArray[np.float64], threshold: float) -> float:
    """Return how many of such peaks are to be expected over a threshold (see `thresholds`)."""
    return float(np.interp(logit(threshold), LOGITS, alarm_tail.expected({"": alarms}, LOGITS)[""]))


def trades(
    noisy: Mapping[str, NDArray[np.float64]],
    alarms: Mapping[str, NDArray[np.float64]],
    levels: Mapping[str, float],
    *,
    hours: float,
) -> dict[str, Trade]:
    """Return what thresholds cost in noise.

    noisy: by keyword, how high the score rose at each of its utterances in noise; alarms, hours: as
    `thresholds` takes them.
    """
    expected, found = alarm_tail.expected(alarms, LOGITS), {}
    for name, level in levels.items():
        at = int(np.abs(LOGITS - logit(level)).argmin())
        missed = _misses(noisy[name])
        lower = float(_lower(expected[name], LAST_TENTH * hours)[at])
        found[name] = Trade(
            level,
            round(float(expected[name][at]) / hours, 3),
            round(float(missed[at]), 4),
            round(sigmoid(lower), 4),
            round(float(missed[at] - np.interp(lower, LOGITS, missed)), 4),
        )
    return found


def _lower(alarms: NDArray[np.float64], more: float) -> NDArray[np.float64]:
    """Return for each place in GRID the log-odds that give so many more false alarms."""
    lower: NDArray[np.float64] = np.interp(alarms + more, alarms[::-1], LOGITS[::-1])
    return lower


def _highest(tables: Mapping[str, Table]) -> dict[str, int]:
    """Return the highest place of each keyword that may be taken."""
    return {name: int(np.flatnonzero(np.isfinite(table[0]))[-1]) for name, table in tables.items()}


def _misses(peaks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share missed at each threshold: counted, and averaged over its neighbours."""
    counted = np.searchsorted(np.sort(peaks), GRID, side="left").astype(np.float64)
    padded = np.pad(counted / len(peaks), SPREAD, mode="edge")
    return np.convolve(padded, np.full(2 * SPREAD + 1, 1 / (2 * SPREAD + 1)), mode="valid")


def _cheapest(tables: Mapping[str, Table], budget: float) -> dict[str, int]:
    """Return the place in GRID of each keyword's threshold, at the lowest price in the budget."""
    low, high = 1e-4, 1e4
    best = _highest(tables)
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
