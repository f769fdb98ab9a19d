"""Results: what an evaluation found, as structs that become JSON, a table or a page."""

from __future__ import annotations

import msgspec

from kws.card import Rate
from kws.evaluate.intervals import poisson, wilson
from kws.origin import Strict

MOST_PER_HOUR = 100.0
"""An upper bound over this many events an hour says nothing."""


class Share(Strict, frozen=True):
    """`hits` of `count` as a share, 0..1, with its 95 % Wilson interval."""

    hits: int
    count: int
    value: float
    low: float
    high: float


def share(hits: int, count: int) -> Share:
    """Return a share with its interval; 0 of 0 is 0."""
    low, high = wilson(hits, count)
    value = hits / count if count else 0.0
    return Share(hits, count, round(value, 5), round(low, 5), round(high, 5))


def rate(events: int, hours: float) -> Rate:
    """Return `events` in `hours` per hour, with the 95 % Poisson interval."""
    low, high = (bound / hours for bound in poisson(events))
    return Rate(round(events / hours, 3), events, round(hours, 4), round(low, 3), round(high, 3))


def is_bounded(found: Rate) -> bool:
    """Whether a rate's upper bound says something: seconds of audio only allow absurd ones."""
    return found.high <= MOST_PER_HOUR


class Label(Strict, frozen=True):
    """One label's figures over clips, each 0..1.

    precision is None where no clip was taken for it; recall and F1 where it has no clips.
    """

    precision: float | None
    recall: float | None
    f1: float | None
    clips: int


def label(precision: float, recall: float, f1: float, clips: int, taken: int) -> Label:
    """Return a label's figures, rounded. taken: how many clips were taken for it."""
    return Label(
        round(float(precision), 5) if taken else None,
        round(float(recall), 5) if clips else None,
        round(float(f1), 5) if clips else None,
        int(clips),
    )


class Clips(Strict, frozen=True):
    """Accuracy over clips.

    labels: in the order of `confusion` [true][predicted]. protocol: `labels`, `v2-12`,
    `v2-12-style`, `v2-35`. failed: what could not be read, and why.
    """

    model: str
    protocol: str
    corpus: str
    accuracy: Share
    mean_recall: float
    labels: dict[str, Label]
    confusion: list[list[int]]
    failed: dict[str, str] = msgspec.field(default_factory=dict)


class Keyword(Strict, frozen=True):
    """One keyword at one operating point. Delays in milliseconds, None without clear words."""

    threshold: float
    misses: Share
    false_alarms: Rate | None
    duplicates: int
    delay_ms_p50: float | None
    delay_ms_p95: float | None


class Point(Strict, frozen=True):
    """All armed keywords at one set of thresholds.

    wanted: the false alarms per hour that were asked for, None for the thresholds as they ship.
    step: what was added to every threshold's log-odds. false_alarms: over keyword-free audio;
    None where there was none. elsewhere: events in the stream that match no word of theirs.
    """

    wanted: float | None
    step: float
    misses: Share
    false_alarms: Rate | None
    duplicates: int
    elsewhere: int
    delay_ms_p50: float | None
    delay_ms_p95: float | None
    keywords: dict[str, Keyword]


class Step(Strict, frozen=True):
    """A point of the curve: every threshold's log-odds moved by `step`."""

    step: float
    misses: Share
    false_alarms: Rate


class Wrong(Strict, frozen=True):
    """A word that was missed or an event that was none, worst first. Seconds in `audio`.

    score: the smoothed score's peak; how far it stood over or under `threshold` makes it bad.
    """

    keyword: str
    audio: str
    start_s: float
    end_s: float
    score: float
    threshold: float


class Streams(Strict, frozen=True):
    """What was missed in a stream with truth, what fired where nothing was said."""

    model: str
    audio: str
    hours: float
    negative_hours: float
    shipped: Point
    points: list[Point]
    curve: list[Step]
    missed: list[Wrong]
    false_alarms: list[Wrong]
    failed: dict[str, str] = msgspec.field(default_factory=dict)
