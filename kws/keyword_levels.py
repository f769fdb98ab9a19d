"""Keyword levels: each keyword's threshold, from its card, an override file and what is asked for.

A threshold may be asked for as such, as a sensitivity, or by the rate of false alarms at which
the card measured it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from kws.card import Card
from kws.errors import ConfigError
from kws.overrides import Overrides
from kws.sensitivity import HIGHEST, LOWEST, Point, to_sensitivity, to_threshold

Levels: TypeAlias = float | Mapping[str, float]
"""One for all keywords, or by keyword."""

DEFAULT = 0.5
"""Where a card has no threshold for a keyword."""


SAME_THRESHOLD, SAME_SENSITIVITY = 1e-6, 0.06
"""Levels no further apart are the same: sensitivities are shown rounded to 0.1."""


@dataclass(frozen=True)
class LevelRequest:
    """What somebody asks for, by keyword; a threshold or a sensitivity wins over a rate.

    Which of the two is meant where a keyword has both, `one_level_each` finds out.
    """

    threshold: Mapping[str, float] = field(default_factory=dict)
    sensitivity: Mapping[str, float] = field(default_factory=dict)
    false_alarms: Mapping[str, float] = field(default_factory=dict)

    def over(self, before: LevelRequest) -> LevelRequest:
        """Return what holds if this is asked for after something else."""
        anew = {*self.threshold, *self.sensitivity}
        threshold, sensitivity = (
            {name: value for name, value in each.items() if name not in anew}
            for each in (before.threshold, before.sensitivity)
        )
        return LevelRequest(
            {**threshold, **self.threshold},
            {**sensitivity, **self.sensitivity},
            {**before.false_alarms, **self.false_alarms},
        )


@dataclass(frozen=True)
class Shipped:
    """A keyword's threshold as its card says, and the card's operating points for it.

    after_wake: it is a command's after a wake word, of which operating points say nothing.
    """

    threshold: float = DEFAULT
    points: tuple[Point, ...] = ()
    after_wake: bool = False

    def at(self, sensitivity: float) -> float:
        """Return the threshold at a sensitivity."""
        return to_threshold(self.threshold, sensitivity, self.points)

    def sensitivity(self, threshold: float) -> float:
        """Return the sensitivity that has this threshold."""
        return to_sensitivity(self.threshold, threshold, self.points)


def shipped(
    cards: Sequence[Card], armed: Mapping[str, str], *, after_wake: bool = False
) -> dict[str, Shipped]:
    """Return what the cards say of every armed keyword; of several cards the last that knows it.

    after_wake: commands count only after a wake word.
    """
    found = dict.fromkeys(armed, Shipped())
    for one in cards:
        for name in armed:
            points = tuple(
                (point.false_alarms_per_hour, point.thresholds[name])
                for point in one.operating_points
                if name in point.thresholds
            )
            if after_wake and armed[name] == "keyword" and name in one.after_wake:
                found[name] = Shipped(one.after_wake[name].value, after_wake=True)
            elif name in one.thresholds:
                found[name] = Shipped(one.thresholds[name].value, points)
            elif points:
                found[name] = Shipped(points=points)
    return found


def by_keyword(
    armed: Iterable[str],
    *,
    threshold: Levels | None = None,
    sensitivity: Levels | None = None,
    false_alarms: Levels | None = None,
) -> LevelRequest:
    """Return a request for every armed keyword: what names it wins over what is for all.

    Raises ConfigError: out of range; two of a threshold, a sensitivity and a rate for all.
    """
    if _for_all(threshold) and _for_all(sensitivity):
        raise ConfigError("give either one threshold for all or one sensitivity, not both")
    for what, wanted in {"threshold": threshold, "sensitivity": sensitivity}.items():
        if false_alarms is not None and _for_all(false_alarms) and _for_all(wanted):
            raise ConfigError(f"give either one {what} for all or false alarms per hour, not both")
    levels = dict(threshold) if isinstance(threshold, Mapping) else {}
    eager = dict(sensitivity) if isinstance(sensitivity, Mapping) else {}
    for name in armed:
        if name in levels or name in eager:
            continue
        if threshold is not None and not isinstance(threshold, Mapping):
            levels[name] = threshold
        elif sensitivity is not None and not isinstance(sensitivity, Mapping):
            eager[name] = sensitivity
    _check("threshold", levels, 0, 1)
    _check("sensitivity", eager, LOWEST, HIGHEST)
    if isinstance(false_alarms, Mapping):
        return LevelRequest(levels, eager, false_alarms)
    return LevelRequest(
        levels, eager, {} if false_alarms is None else dict.fromkeys(armed, false_alarms)
    )


def one_level_each(
    wanted: LevelRequest, base: Mapping[str, Shipped], now: Mapping[str, float], where: str = ""
) -> LevelRequest:
    """Return the request with a threshold or a sensitivity for each keyword, not both.

    Where a keyword has both, as in what GET /v1/thresholds answers, the one that differs from what
    holds is meant; the threshold, where they agree. now: the thresholds that hold. where: what
    errors begin with. Raises ConfigError: both differ, and contradict each other.
    """
    threshold, sensitivity = dict(wanted.threshold), dict(wanted.sensitivity)
    for name in [name for name in threshold if name in sensitivity and name in base]:
        level, eager = threshold[name], sensitivity[name]
        if _same_sensitivity(base[name], level, eager):
            del sensitivity[name]
        elif is_same_threshold(level, now[name]):
            del threshold[name]
        elif _same_sensitivity(base[name], now[name], eager):
            del sensitivity[name]
        else:
            raise ConfigError(
                f"{where}{name}: the threshold {level:g} and the sensitivity {eager:g} contradict "
                "each other; give one of them"
            )
    return LevelRequest(threshold, sensitivity, wanted.false_alarms)


def is_same_threshold(one: float, other: float) -> bool:
    """Return whether two thresholds are the same but for the rounding of whoever wrote them."""
    return abs(one - other) <= SAME_THRESHOLD


def _same_sensitivity(base: Shipped, threshold: float, sensitivity: float) -> bool:
    return abs(base.sensitivity(threshold) - sensitivity) <= SAME_SENSITIVITY


def merge(
    base: Mapping[str, Shipped],
    request: LevelRequest,
    overrides: Overrides,
    rates: Mapping[str, float],
) -> dict[str, float]:
    """Return the threshold of every keyword in `base`.

    Later ones win: the card's, the override file's, `rates`, those at a rate of false alarms (see
    `at_rates`), the request's. Raises ConfigError: one lies outside 0..1.
    """
    levels = {name: each.threshold for name, each in base.items()}
    for sensitivity, thresholds in (
        (overrides.sensitivity, overrides.thresholds),
        ({}, rates),
        (request.sensitivity, request.threshold),
    ):
        levels |= {name: base[name].at(s) for name, s in sensitivity.items() if name in base}
        levels |= {name: level for name, level in thresholds.items() if name in base}
    _check("threshold", levels, 0, 1)
    return levels


def at_rates(base: Mapping[str, Shipped], wanted: Mapping[str, float]) -> dict[str, float]:
    """Return the thresholds of the operating points at these rates, by keyword.

    A command after a wake word keeps its own threshold: rates were measured without one.
    Raises ConfigError: there is no such operating point.
    """
    levels: dict[str, float] = {}
    lacking: dict[float, list[str]] = {}
    for name, rate in wanted.items():
        if name not in base or base[name].after_wake:
            continue
        found = [level for at, level in base[name].points if math.isclose(at, rate)]
        if found:
            levels[name] = found[-1]
        else:
            lacking.setdefault(rate, []).append(name)
    for rate, names in lacking.items():
        rates = sorted({at for each in base.values() for at, _ in each.points})
        known = ", ".join(f"{at:g}" for at in rates) or "none"
        raise ConfigError(
            f"the model has no operating point at {rate:g} false alarms per hour "
            f"for {', '.join(sorted(names))}; its points: {known}"
        )
    return levels


def _for_all(wanted: Levels | None) -> bool:
    return wanted is not None and not isinstance(wanted, Mapping)


def _check(what: str, levels: Mapping[str, float], low: float, high: float) -> None:
    for name, level in levels.items():
        if not low <= level <= high:
            raise ConfigError(f"{what} {name}={level} lies outside {low:g}..{high:g}")
