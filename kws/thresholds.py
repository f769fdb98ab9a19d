"""Thresholds: which keywords are armed, at which levels; from cards, a file, and options."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from kws.card import Card
from kws.errors import ConfigError, KwsWarning
from kws.keyword_levels import (
    LevelRequest,
    Levels,
    at_rates,
    by_keyword,
    is_same_threshold,
    merge,
    one_level_each,
    shipped,
)
from kws.overrides import Overrides, read_overrides
from kws.roles import Names, find_roles, known, near


def check_words(
    overrides: Overrides, cards: Sequence[Card], path: str | os.PathLike[str] | None
) -> None:
    """Warn of words that no model knows: a slip, or what was tuned for another model.

    path: that of the override file.
    """
    names = [label.name for one in cards for label in one.keywords]
    for word in sorted({*overrides.thresholds, *overrides.sensitivity} - {*names}):
        text = f"{path}: unknown keyword {word!r} is ignored; {near(word, names)}"
        warnings.warn(text, KwsWarning, stacklevel=2)


def settle_overrides(
    overrides: Overrides,
    cards: Sequence[Card],
    wake: Names | None,
    path: str | os.PathLike[str] | None,
) -> Overrides:
    """Return the overrides with a threshold or a sensitivity for each keyword, not both.

    Where one has both, the one that differs from the card's is meant. path: that of the override
    file. Raises ConfigError: both differ, and contradict each other.
    """
    names = [label.name for one in cards for label in one.keywords]
    base = shipped(cards, find_roles(cards, names, wake), after_wake=wake is not None)
    found = one_level_each(
        LevelRequest(overrides.thresholds, overrides.sensitivity),
        base,
        {name: each.threshold for name, each in base.items()},
        "" if path is None else f"{path}: ",
    )
    return msgspec.structs.replace(
        overrides, thresholds=dict(found.threshold), sensitivity=dict(found.sensitivity)
    )


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

    threshold, sensitivity, false_alarms: one for all, or by keyword. rules: each model's decision
    parameters. needs_wake: keywords count only after a wake word. request: what was asked for.
    playback: what changes for a while; None: nothing.
    """

    def __init__(
        self,
        cards: Sequence[Card],
        *,
        keywords: Names | None = None,
        threshold: Levels | None = None,
        sensitivity: Levels | None = None,
        false_alarms: Levels | None = None,
        wake: Names | None = None,
        overrides: str | os.PathLike[str] | Overrides | None = None,
    ) -> None:
        wake = wake if wake is None or isinstance(wake, str) else list(wake)
        changed, path = read_overrides(overrides), None
        if not isinstance(overrides, Overrides):
            check_words(changed, cards, path := overrides)
        changed = settle_overrides(changed, cards, wake, path)
        self._cards, self._wake, self._changed = cards, wake, changed
        self.needs_wake = wake is not None
        self.rules = [msgspec.structs.replace(one.decision, **changed.decision) for one in cards]
        self.playback: Playback | None = None
        self._roles = find_roles(cards, keywords, wake)
        self._arrange(
            self._roles,
            self._asked(threshold=threshold, sensitivity=sensitivity, false_alarms=false_alarms),
        )

    def _asked(self, **wanted: Levels | None) -> LevelRequest:
        """Return what is asked of the armed keywords. Raises ConfigError."""
        for each in wanted.values():
            if isinstance(each, Mapping):
                known(each, self._roles, "keyword")
        base = shipped(self._cards, self._roles, after_wake=self.needs_wake)
        now = {name: each.threshold for name, each in base.items()}
        return one_level_each(by_keyword(self._roles, **wanted), base, now)

    def _arrange(self, roles: dict[str, str], request: LevelRequest) -> None:
        """Arm these keywords, at these levels; where that makes no sense, nothing changes."""
        base = shipped(self._cards, roles, after_wake=self.needs_wake)
        in_the_open = shipped(self._cards, roles)
        rates = at_rates(base, request.false_alarms)
        self._levels = merge(base, request, self._changed, rates)
        self._open = merge(in_the_open, request, self._changed, rates)
        self._roles, self.request, self._base, self._base_open = roles, request, base, in_the_open

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
        playing, free = self.playback, self.free
        levels = {n: (self._open if n in free else self._levels)[n] for n in self.roles}
        if playing is not None and playing.raise_to is not None:
            for name, role in self.roles.items():
                if role == "wake" and name not in playing.live:
                    levels[name] = max(levels[name], playing.raise_to)
        return levels

    @property
    def sensitivities(self) -> dict[str, float]:
        """The same as sensitivities, 0 to 100; 50 is what ships."""
        free, levels = self.free, self.levels
        bases = {n: (self._base_open if n in free else self._base)[n] for n in levels}
        return {name: bases[name].sensitivity(level) for name, level in levels.items()}

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
        playing = self.playback  # another thread may end it
        return playing is not None and now_s >= playing.until_s

    def check(self, keyword: str) -> None:
        """Raise ConfigError, with the near names, where there is no such keyword."""
        known(keyword, [label.name for one in self._cards for label in one.keywords], "keyword")

    def differences(self, wanted: LevelRequest) -> LevelRequest:
        """Return a request with one level for each keyword, relative to the levels that hold now.

        A keyword for which it asks both the threshold and the sensitivity that hold is left out.
        Raises ConfigError: there is no such keyword; the two of one contradict each other.
        """
        known([*wanted.threshold, *wanted.sensitivity], self._roles, "keyword")
        found = one_level_each(wanted, self._base, self._levels)
        both = {*wanted.threshold} & {*wanted.sensitivity}
        return LevelRequest(
            {
                name: level
                for name, level in found.threshold.items()
                if name not in both or not is_same_threshold(level, self._levels[name])
            },
            found.sensitivity,
        )

    def set_threshold(self, threshold: Levels) -> None:
        """Replace the thresholds of all, or of those that are named. Raises ConfigError."""
        self._arrange(self._roles, self._asked(threshold=threshold).over(self.request))

    def set_sensitivity(self, sensitivity: Levels) -> None:
        """Replace them by those of a sensitivity, 0 to 100. Raises ConfigError."""
        self._arrange(self._roles, self._asked(sensitivity=sensitivity).over(self.request))

    def set_keywords(self, keywords: Names | None) -> None:
        """Arm these and no others; None is all. What was asked for stays. Raises ConfigError."""
        self._arrange(find_roles(self._cards, keywords, self._wake), self.request)
