"""Figures: what an evaluation found, as people read it."""

from __future__ import annotations

from collections.abc import Iterator

from kws.card import Rate
from kws.evaluate.measurement import Chosen
from kws.evaluate.results import Clips, Point, Share, Streams, is_bounded


def clips_lines(found: Clips) -> Iterator[str]:
    """Yield the lines of an accuracy over clips."""
    yield f"{found.corpus}: {found.protocol}, model {found.model}"
    yield f"accuracy {percent(found.accuracy)}, mean recall {found.mean_recall:.1%}"
    yield ""
    yield f"{'':12} {'clips':>6} {'precision':>9} {'recall':>7} {'F1':>7}"
    for name, label in found.labels.items():
        yield (
            f"{name:12} {label.clips:6} {known(label.precision):>9} {known(label.recall):>7} "
            f"{known(label.f1):>7}"
        )
    yield ""
    yield "Each clip counts as its most probable label, whatever the thresholds. How many words"
    yield "are heard in a stream, by thresholds and gate, is measured with --stream."


def streams_lines(found: Streams) -> Iterator[str]:
    """Yield the lines of an evaluation of streams."""
    yield f"{found.audio}: {found.hours:.2f} h with {found.shipped.misses.count} words,"
    yield f"  {found.negative_hours:.2f} h without; model {found.model}"
    yield ""
    yield f"{'thresholds':18} {'missed':24} {'false alarms an hour':34} delay p50 / p95"
    for point in [found.shipped, *found.points]:
        yield f"{_name(point):18} {percent(point.misses):24} {per_hour(point.false_alarms):34} " + (
            delay(point.delay_ms_p50, point.delay_ms_p95)
        )
    if not found.points:
        yield "misses at a rate of false alarms need hours without keywords: --negatives"
    yield ""
    yield f"as they stand: {found.shipped.duplicates} duplicates, {found.shipped.elsewhere} events"
    yield "  in the stream that are none of its words"
    yield ""
    yield f"{'':12} {'threshold':>9} {'missed':24} {'false alarms':>12}  delay p50 / p95"
    for name, one in found.shipped.keywords.items():
        alarms = one.false_alarms.events if one.false_alarms else "-"
        yield f"{name:12} {one.threshold:9.3f} {percent(one.misses):24} {alarms:>12}  " + (
            delay(one.delay_ms_p50, one.delay_ms_p95)
        )


def chosen_lines(found: Chosen) -> Iterator[str]:
    """Yield the thresholds that were found for a rate."""
    yield f"thresholds for {found.per_hour:g} false alarms an hour, found on this very audio:"
    yield "  " + ", ".join(f"{name}={level:g}" for name, level in found.thresholds.items())
    alarms = per_hour(found.point.false_alarms)
    yield f"here they miss {percent(found.point.misses)}, with {alarms} false alarms"


def percent(share: Share) -> str:
    """Return `3.1 % (2.2-4.4)`."""
    if not share.count:
        return "-"
    return f"{100 * share.value:.1f} % ({100 * share.low:.1f}-{100 * share.high:.1f})"


def known(value: float | None) -> str:
    """Return `93.1%`; None, of which nothing is known: `-`."""
    return "-" if value is None else f"{value:.1%}"


def per_hour(rate: Rate | None) -> str:
    """Return `1.3 (0.4-3.0), 3 in 2.33 h`; only what was heard, where that says no more."""
    if rate is None:
        return "-"
    heard = f"{rate.events} in {duration(rate.hours)}"
    if not is_bounded(rate):
        return f"{heard}, too short to tell"
    return f"{rate.per_hour:.2f} ({rate.low:.2f}-{rate.high:.2f}), {heard}"


def duration(hours: float) -> str:
    """Return `2.33 h`, `5.0 minutes`, `3 seconds`."""
    if hours < 1 / 60:
        return f"{3600 * hours:.0f} seconds"
    return f"{60 * hours:.1f} minutes" if hours < 0.1 else f"{hours:.2f} h"


def delay(p50: float | None, p95: float | None) -> str:
    """Return `90 / 250 ms`."""
    return "-" if p50 is None or p95 is None else f"{p50:.0f} / {p95:.0f} ms"


def _name(point: Point) -> str:
    return "as they stand" if point.wanted is None else f"at {point.wanted:g} an hour"
