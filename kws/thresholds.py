"""Thresholds: which keywords are armed, at which levels; from cards, a file, and options."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TypeAlias

import msgspec

from kws import card
from kws.card import Card
from kws.errors import ConfigError
from kws.origin import Strict

Names: TypeAlias = str | Iterable[str]

DEFAULT = 0.5
"""Where a card has no threshold for a keyword."""


class Overrides(Strict, frozen=True):
    """A small JSON file that replaces thresholds and decision parameters of a card."""

    thresholds: dict[str, float] = msgspec.field(default_factory=dict)
    decision: dict[str, float] = msgspec.field(default_factory=dict)


def read_overrides(path: str | os.PathLike[str] | Overrides | None) -> Overrides:
    """Read an override file; None is an empty one, and what was read is returned as it is.

    Raises ConfigError.
    """
    if isinstance(path, Overrides) or path is None:
        return path or Overrides()
    try:
        found = msgspec.json.decode(Path(path).read_bytes(), type=Overrides)
    except OSError as error:
        raise ConfigError(f"{path}: can't be read ({error.strerror})") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: is no override file: {error}") from None
    for name, value in found.decision.items():
        if not 0 <= value <= card.DECISION_MOST_S.get(name, -1):
            raise ConfigError(f"{path}: decision parameter {name}={value} makes no sense")
    return found


def write_overrides(path: Path, overrides: Overrides) -> None:
    """Write an override file, whole or not at all. Raises ConfigError."""
    path = path.resolve()  # a link stays one
    partial = path.with_name(f"{path.name}.partial")
    try:
        partial.write_bytes(msgspec.json.format(msgspec.json.encode(overrides), indent=2) + b"\n")
        partial.replace(path)
    except OSError as error:
        raise ConfigError(f"{path}: can't be written ({error.strerror})") from None


@dataclass(frozen=True)
class Playback:
    """The own speaker talks, up to `until_s` of the audio clock.

    Wake words rest, or need `raise_to`; words in `live` are heard.
    """

    live: frozenset[str]
    raise_to: float | None
    until_s: float


class Settings:
    """What is armed, and at which levels. May change at any time.

    rules: each model's decision parameters. needs_wake: keywords count only after a wake word.
    playback: what changes for a while; None: nothing.
    """

    def __init__(
        self,
        cards: Sequence[Card],
        *,
        keywords: Names | None = None,
        threshold: float | Mapping[str, float] | None = None,
        false_alarms: float | None = None,
        wake: Names | None = None,
        overrides: str | os.PathLike[str] | Overrides | None = None,
    ) -> None:
        changed = read_overrides(overrides)
        self._cards, self._wake, self._changed = cards, wake, changed
        self.needs_wake = wake is not None
        self.rules = [msgspec.structs.replace(one.decision, **changed.decision) for one in cards]
        self.playback: Playback | None = None
        self._roles = find_roles(cards, keywords, wake)
        self._levels = merge(
            cards,
            self._roles,
            threshold=threshold,
            false_alarms=false_alarms,
            overrides=changed,
        )

    @property
    def roles(self) -> dict[str, str]:
        """`keyword` or `wake` for every keyword that is armed now."""
        playing = self.playback
        if playing is None or playing.raise_to is not None:
            return self._roles
        return {n: r for n, r in self._roles.items() if r != "wake" or n in playing.live}

    @property
    def levels(self) -> dict[str, float]:
        """The thresholds that hold now."""
        levels, playing = {name: self._levels[name] for name in self.roles}, self.playback
        if playing is not None and playing.raise_to is not None:
            for name, role in self.roles.items():
                if role == "wake" and name not in playing.live:
                    levels[name] = max(levels[name], playing.raise_to)
        return levels

    @property
    def free(self) -> frozenset[str]:
        """Commands that need no wake word now."""
        return frozenset() if self.playback is None else self.playback.live

    def play(self, live: Iterable[str], raise_to: float | None, until_s: float) -> Playback:
        """Return what is to hold while the own speaker talks. Raises ConfigError."""
        if raise_to is not None and not 0 <= raise_to <= 1:
            raise ConfigError(f"threshold {raise_to:g} lies outside 0..1")
        return Playback(frozenset(known(live, self._roles, "keyword")), raise_to, until_s)

    def ended(self, now_s: float) -> bool:
        """Whether that has lasted as long as it may."""
        return self.playback is not None and now_s >= self.playback.until_s

    def check(self, keyword: str) -> None:
        """Raise ConfigError, with the near names, where there is no such keyword."""
        known(keyword, [label.name for one in self._cards for label in one.keywords], "keyword")

    def set_threshold(self, threshold: float | Mapping[str, float]) -> None:
        """Replace the thresholds of all, or of those that are named. Raises ConfigError."""
        if isinstance(threshold, Mapping):
            known(threshold, self._roles, "keyword")
            threshold = {**self._levels, **threshold}
        self._levels = merge(self._cards, self._roles, threshold=threshold)

    def set_keywords(self, keywords: Names | None) -> None:
        """Arm these and no others; None is all. Known thresholds stay. Raises ConfigError."""
        self._roles = find_roles(self._cards, keywords, self._wake)
        kept = {name: level for name, level in self._levels.items() if name in self._roles}
        self._levels = merge(self._cards, self._roles, threshold=kept, overrides=self._changed)


def find_roles(
    cards: Sequence[Card],
    keywords: Names | None = None,
    wake: Names | None = None,
) -> dict[str, str]:
    """Return the armed keywords with their role, `keyword` or `wake`.

    keywords: None is all. wake: the words that commands must follow; the cards' other wake
    words are then off, unless named as keywords. Raises ConfigError for unknown names.
    """
    spotted = {label.name: label.role for one in cards for label in one.keywords}
    if not spotted:
        raise ConfigError(
            "the model names no keyword to spot; `kws classify` takes it, "
            "with --embedding where it gives embeddings only"
        )
    waking = known(wake, spotted, "wake word") if wake is not None else []
    if keywords is not None:
        armed = known(keywords, spotted, "keyword")
    else:
        armed = [name for name, role in spotted.items() if role == "keyword" or not waking]
    if not armed and not waking:
        raise ConfigError(f"no keyword is armed; there are {', '.join(spotted)}")
    heard = {name: "keyword" if waking else str(spotted[name]) for name in armed}
    return heard | dict.fromkeys(waking, "wake")


def merge(
    cards: Sequence[Card],
    armed: Mapping[str, str],
    *,
    threshold: float | Mapping[str, float] | None = None,
    false_alarms: float | None = None,
    overrides: Overrides | None = None,
) -> dict[str, float]:
    """Return the threshold of every armed keyword.

    Later ones win: 0.5, the card's, the override file's, the operating point's for so many
    false alarms per hour, the user's. Raises ConfigError.
    """
    if false_alarms is not None and isinstance(threshold, int | float):
        raise ConfigError("give either one threshold for all or false alarms per hour, not both")
    levels = dict.fromkeys(armed, DEFAULT)
    for one in cards:
        levels |= {name: level.value for name, level in one.thresholds.items() if name in armed}
    if overrides is not None:
        levels |= {name: v for name, v in overrides.thresholds.items() if name in armed}
    if false_alarms is not None:
        levels |= _operating_point(cards, armed, false_alarms)
    if isinstance(threshold, Mapping):
        known(threshold, armed, "keyword")
        levels |= threshold
    elif threshold is not None:
        levels = dict.fromkeys(levels, threshold)
    for name, level in levels.items():
        if not 0 <= level <= 1:
            raise ConfigError(f"threshold {name}={level} lies outside 0..1")
    return levels


def _operating_point(
    cards: Sequence[Card], armed: Mapping[str, str], wanted: float
) -> dict[str, float]:
    points = [point for one in cards for point in one.operating_points]
    levels: dict[str, float] = {}
    for point in points:
        if math.isclose(point.false_alarms_per_hour, wanted):
            levels |= point.thresholds
    if set(armed) - set(levels):
        rates = sorted({point.false_alarms_per_hour for point in points})
        rates_known = ", ".join(f"{rate:g}" for rate in rates) or "none"
        raise ConfigError(
            f"the model has no operating point at {wanted:g} false alarms per hour "
            f"for {', '.join(sorted(set(armed) - set(levels)))}; its points: {rates_known}"
        )
    return {name: level for name, level in levels.items() if name in armed}


def known(wanted: Names, names: Iterable[str], what: str) -> list[str]:
    """Return the wanted names; raise ConfigError, with the near ones, where one is unknown."""
    names = list(names)
    found = [wanted] if isinstance(wanted, str) else list(wanted)
    for name in found:
        if name not in names:
            near = get_close_matches(str(name), names, n=3, cutoff=0.5)
            hint = f"did you mean {', '.join(near)}?" if near else f"there are {', '.join(names)}"
            raise ConfigError(f"unknown {what} {name!r}; {hint}")
    return found
