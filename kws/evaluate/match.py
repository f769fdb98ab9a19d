"""Matching: which events are the words that were said, and which are false alarms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

TOLERANCE_S = 0.75
"""An event counts for a word if it was emitted until so long after the word's end."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word that was said. `clear` is False where its bounds are the clip's: no delay."""

    label: str
    start_s: float
    end_s: float
    clear: bool = True


@dataclass(frozen=True, slots=True)
class Fired:
    """An event: what was spotted, and when it was known."""

    keyword: str
    time_s: float


@dataclass(slots=True)
class Matches:
    """How events and words met. Delays are emission minus the word's end, in seconds.

    hits, delays_of: by keyword.
    """

    hits: dict[str, int] = field(default_factory=dict)
    missed: list[Word] = field(default_factory=list)
    false_alarms: list[Fired] = field(default_factory=list)
    duplicates: list[Fired] = field(default_factory=list)
    delays_of: dict[str, list[float]] = field(default_factory=dict)

    @property
    def delays(self) -> list[float]:
        """All delays, keyword after keyword."""
        return [delay for delays in self.delays_of.values() for delay in delays]

    @property
    def miss_rate(self) -> float:
        """Missed words over all words, 0..1; 0 where nothing was said."""
        said = sum(self.hits.values()) + len(self.missed)
        return len(self.missed) / said if said else 0.0


def match(events: Sequence[Fired], words: Sequence[Word]) -> Matches:
    """Match events to words one to one, in the order of time.

    An event matches a word of its label if emitted in [start, end + 0.75 s]. A second event
    for a word is a duplicate, any other event a false alarm. Words whose label no event can
    have (background words) are left out by the caller.
    """
    result, taken = Matches(), set[int]()
    for event in sorted(events, key=lambda e: e.time_s):
        within = [
            number
            for number, word in enumerate(words)
            if word.label == event.keyword
            and word.start_s <= event.time_s <= word.end_s + TOLERANCE_S
        ]
        free = [number for number in within if number not in taken]
        if free:
            taken.add(free[0])
            word = words[free[0]]
            result.hits[word.label] = result.hits.get(word.label, 0) + 1
            if word.clear:
                result.delays_of.setdefault(word.label, []).append(event.time_s - word.end_s)
        else:
            (result.duplicates if within else result.false_alarms).append(event)
    result.missed = [word for number, word in enumerate(words) if number not in taken]
    return result
