"""Figures: misses at matched false alarms, what the thresholds as shipped give, delays.

A score track becomes events in the same way for every spotter: an event is the first score over
the threshold, a second at least after the last one; false alarms are the track's peaks a second
apart, so that their count falls as the threshold rises. A spotter without a score is run at
several settings instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.peer_streams import NEGATIVES, WORD, Streams
from kws.card import Rate
from kws.evaluate.match import Fired, Word, match
from kws.evaluate.peaks import APART_S, alarm_peaks
from kws.evaluate.results import Share, rate, share
from kws.origin import Strict

RATES = (0.5, 1.0)
LOWEST = 1e-4
"""Scores under this are no event at any threshold."""
MOST_PER_HOUR = 20.0

Said = dict[str, dict[str, Any]]
"""What one run of a spotter said, by stream: as benchmarks/spotters/feed.py prints it."""


class Heard(Strict, frozen=True):
    """What came of a stream with words. Delays: event minus the word's end, None without any."""

    misses: Share
    duplicates: int
    elsewhere: int
    delay_ms_p50: float | None
    delay_ms_p95: float | None


class Point(Strict, frozen=True):
    """One setting. threshold: an event's score is over it; None: set by the program's option."""

    threshold: float | None
    option: str
    false_alarms: Rate
    streams: dict[str, Heard]


class Step(Strict, frozen=True):
    """A point of the curve: false alarms, and misses (0..1) by stream."""

    false_alarms: int
    per_hour: float
    misses: dict[str, float]


class Figures(Strict, frozen=True):
    """One spotter's. matched: by false alarms per hour; None where no setting has so few.

    swept: the curve is one over a score's thresholds, not a point a run.
    """

    shipped: Point
    matched: dict[str, Point | None]
    curve: list[Step]
    swept: bool


def figures(runs: dict[str, Said], streams: Streams) -> Figures:
    """Return the figures of a spotter from its runs: by option, the first is what ships."""
    option, said = next(iter(runs.items()))
    words = {name: words for name, (_, words) in streams.words.items()}
    hours = streams.negative_hours
    shipped = _point(_events(said), words, hours, option=option)
    # Without a score a program tells 1 at an event and 0 else: nothing to move a threshold over.
    swept = not {0.0, 1.0}.issuperset(said[NEGATIVES]["scores"])
    if swept:
        points = _swept(said, words, hours)
    else:
        points = [_point(_events(one), words, hours, option=o) for o, one in runs.items()]
    points.sort(key=lambda point: point.false_alarms.events)
    return Figures(shipped, matched(points, hours), [_step(point) for point in points], swept)


def matched(points: Sequence[Point], hours: float) -> dict[str, Point | None]:
    """Return for each rate that the hours support the point with the most alarms within it.

    points: the fewest false alarms first. Of points with as many, the one with fewest misses.
    """
    found: dict[str, Point | None] = {}
    for wanted in RATES:
        if wanted * hours >= 1:
            within = [p for p in points if p.false_alarms.events <= wanted * hours]
            found[f"{wanted:g}"] = max(within, key=_merit, default=None)
    return found


def events(scores: NDArray[np.float32], ends: NDArray[np.float64], threshold: float) -> list[float]:
    """Return when events are known: scores over the threshold, a second apart at least."""
    return apart(ends[scores > threshold].tolist())


def apart(times: Iterable[float]) -> list[float]:
    """Leave out what comes less than a second after the last that stays."""
    kept: list[float] = []
    for time in times:
        if not kept or time - kept[-1] >= APART_S:
            kept.append(time)
    return kept


def _swept(said: Said, words: dict[str, list[Word]], hours: float) -> list[Point]:
    """Return a point for each count of false alarms: the lowest threshold that has no more."""
    tracks = {name: _track(one) for name, one in said.items()}
    peaks = alarm_peaks(*tracks[NEGATIVES], lowest=LOWEST)
    points = []
    for alarms in range(1 + min(len(peaks), round(MOST_PER_HOUR * hours))):
        threshold = float(peaks[alarms]) if alarms < len(peaks) else LOWEST
        over = {name: events(*tracks[name], threshold) for name in words}
        over[NEGATIVES] = peaks[peaks > threshold].tolist()
        points.append(_point(over, words, hours, threshold=threshold))
    return points


def _track(one: dict[str, Any]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    scores = np.array(one["scores"], np.float32)
    return scores, (1 + np.arange(len(scores))) * one["block_s"]


def _events(said: Said) -> dict[str, list[float]]:
    return {name: one["events_s"] for name, one in said.items()}


def _point(
    found: dict[str, list[float]],
    words: dict[str, list[Word]],
    hours: float,
    *,
    threshold: float | None = None,
    option: str = "",
) -> Point:
    streams = {name: _heard(found[name], said) for name, said in words.items()}
    return Point(threshold, option, rate(len(found[NEGATIVES]), hours), streams)


def _heard(times: list[float], words: list[Word]) -> Heard:
    result = match([Fired(WORD, time) for time in times], words)
    p50, p95 = (
        [round(float(np.percentile(result.delays, p)) * 1000) for p in (50, 95)]
        if result.delays
        else (None, None)
    )
    misses = share(len(result.missed), len(words))
    return Heard(misses, len(result.duplicates), len(result.false_alarms), p50, p95)


def _merit(point: Point) -> tuple[int, int]:
    missed = sum(heard.misses.hits for heard in point.streams.values())
    return point.false_alarms.events, -missed


def _step(point: Point) -> Step:
    misses = {name: heard.misses.value for name, heard in point.streams.items()}
    return Step(point.false_alarms.events, point.false_alarms.per_hour, misses)
