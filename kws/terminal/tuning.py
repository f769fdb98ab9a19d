"""Tuning: what was found for a voice and a room, as people read it."""

from __future__ import annotations

from collections.abc import Iterator

from kws.card import Rate
from kws.evaluate.results import MOST_PER_HOUR, Share, is_bounded
from kws.evaluate.tuning.tune import LEAST, SAYS_SOMETHING
from kws.evaluate.tuning.tuned import Tuned, Word

ROLES = {"keyword": "keywords", "wake": "wake words"}


def tuned_lines(found: Tuned) -> Iterator[str]:
    """Yield the lines of what was found."""
    words = found.keywords
    width = max(len("together"), *map(len, words))
    yield f"{'':{width}}  {'threshold':15}  {'missed':29}  false alarms in the room"
    title = f"{'before':>6}  {'now':>6}   {'before':9}  {'expected':18}  before  expected"
    yield f"{'':{width}}  {title}"
    for name, word in words.items():
        yield (
            f"{name:{width}}  {word.before:6.3f}  {word.after:6.3f}   "
            f"{_count(word.missed_before):9}  {_share(word.missed):18}  "
            f"{_events(word.alarms_before):>6}  {_rate(word.alarms)}"
        )
    together = f"{_events(found.alarms_before):>6}  {_rate(found.alarms)}"
    yield f"{'together':{width}}  {'':15}  {'':29}  {together}"
    yield ""
    yield from _what_it_rests_on(found)
    for name, word in words.items():
        yield from _remarks(name, word)


def _what_it_rests_on(found: Tuned) -> Iterator[str]:
    yield "Expected: every word, and every part of the room, was judged by thresholds that were"
    yield "chosen without it. In brackets: 95 %."
    if not found.hours:
        yield "The room was not heard: nothing is known of its false alarms."
    elif found.room_decides:
        yield f"{_hours(found.hours)} of room, searched for {found.per_hour:g} false alarms an hour"
    else:
        least, long = 1 / found.hours, _number(SAYS_SOMETHING / found.per_hour)
        what = f"of less than {_number(least)}" if least <= MOST_PER_HOUR else "anything of"
        yield f"{_hours(found.hours)} of room can't tell {what} false alarms an hour;"
        yield f"for {found.per_hour:g} an hour it takes {long} h."
    for role, rate in found.card.items():
        yield f"The model's calibration: at thresholds no higher, {ROLES[role]} gave {rate.events}"
        yield f"false alarms in {rate.hours:.1f} h of other people's speech, {_bounds(rate)}."
    if not found.card:
        yield "The model's calibration says nothing of such thresholds."
    said = min(word.missed.count for word in found.keywords.values() if word.missed.count)
    yield f"{said} utterances of a word can't tell of less than {100 / said:.0f} % misses."


def _remarks(name: str, word: Word) -> Iterator[str]:
    """Yield what is odd about a keyword."""
    said, peak = word.missed.count, word.room_peak
    if 0 < said < LEAST:
        yield f"{name}: said {said} times, too few to move its threshold; the room may raise it."
    if peak is not None and word.after > word.before and peak.score >= word.before / 2:
        when = f"{int(peak.at_s) // 60}:{int(peak.at_s) % 60:02}"
        where = f"{peak.recording}, {when}" if peak.recording else f"the room, {when}"
        yield f"{name}: rose to {peak.score:.3f} ({where}); if it was said there, tune again."
    if said and word.missed.hits > said / 2:
        yield f"{name}: most of it will be missed; leave it off with --keywords, or train it."


def _count(share: Share) -> str:
    return f"{share.hits} of {share.count}" if share.count else "-"


def _share(share: Share) -> str:
    if not share.count:
        return "-"
    return f"{_count(share)} ({100 * share.low:.0f}-{100 * share.high:.0f} %)"


def _events(rate: Rate | None) -> str:
    return "-" if rate is None else str(rate.events)


def _rate(rate: Rate | None) -> str:
    """Return `0 (under 22 an hour)`: what few events can mean at most."""
    if rate is None:
        return "-"
    return f"{rate.events} ({_bounds(rate) if is_bounded(rate) else 'too short to tell'})"


def _bounds(rate: Rate) -> str:
    return f"under {_number(rate.high)} an hour"


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def _hours(hours: float) -> str:
    if hours < 1 / 60:
        return f"{3600 * hours:.0f} seconds"
    return f"{60 * hours:.1f} minutes" if hours < 1 else f"{hours:.1f} h"
