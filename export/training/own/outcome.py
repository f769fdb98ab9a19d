"""Outcome: what became of own words, told plainly; good or bad."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

import msgspec

from kws.card import Rate
from kws.evaluate.results import Share
from kws.origin import Strict

BAD_MISSES = 0.2
"""Share of missed words from which on a word is called bad."""
FEW = 10
"""Fewer recordings than these say little."""
COLUMNS = 78
BARS = " ▁▂▃▄▅▆▇█"


class WordOutcome(Strict, frozen=True):
    """One word.

    recordings, synthesised: learnt from. misses: in the cross-validation, of recordings or, where
    there are none (`by_machines`), of renderings by the same voices. passed: windows of the pack's
    calibration speech over the threshold. false_alarms: events in the user's own speech aside.
    scores, background: how many of its own utterances, and of windows without it, lie in each
    tenth of the scores.
    """

    role: str
    recordings: int
    synthesised: int
    length_s: float
    threshold: float
    misses: Share
    by_machines: bool = False
    passed: int = 0
    false_alarms: int = 0
    scores: list[int] = []  # noqa: RUF012 - msgspec copies it
    background: list[int] = []  # noqa: RUF012


class Background(Strict, frozen=True):
    """What stands behind the thresholds.

    windows: of other people's speech, drawn from `hours` of it. learnt, calibration, aside: hours
    of the user's own speech and noise.
    """

    windows: int
    hours: float
    learnt: float = 0.0
    calibration: float = 0.0
    aside: float = 0.0


class Result(Strict, frozen=True):
    """What a training of own words gave; report.json holds the same.

    model: the file. false_alarms: of all words, in the user's own speech aside; None: none was
    given. wanted: as many an hour were asked for. voices: that spoke. weak: why the figures are
    bad, or rest on too little.
    """

    model: str
    words: dict[str, WordOutcome]
    background: Background
    false_alarms: Rate | None
    wanted: float
    seconds: float
    cpu_seconds: float
    voices: list[str] = []  # noqa: RUF012
    warnings: list[str] = []  # noqa: RUF012
    weak: list[str] = []  # noqa: RUF012

    def lines(self) -> list[str]:
        """Return what people read: each word, false alarms, what is weak."""
        told = [line for name, word in self.words.items() for line in _word_lines(name, word)]
        told += _wrapped(_alarm_line(self))
        told += [line for weak in self.weak for line in _wrapped(f"weak: {weak}")]
        return told


def _word_lines(name: str, word: WordOutcome) -> Iterator[str]:
    learnt = f"{word.recordings} recordings" if word.recordings else ""
    learnt += " and " if word.recordings and word.synthesised else ""
    learnt += f"{word.synthesised} renderings" if word.synthesised else ""
    yield f"{name}: learnt from {learnt}; threshold {word.threshold:.3f}"
    share = word.misses
    what = "renderings" if word.by_machines else "recordings"
    yield (
        f"  missed {share.hits} of {share.count} {what} kept aside in turn "
        f"({share.low:.0%} to {share.high:.0%})"
    )
    if word.scores:
        own, other = _bars(word.scores), _bars(word.background)
        yield f"  scores from 0 to 1: the word |{own}|, other speech |{other}|"


def _bars(counts: list[int]) -> str:
    most = max([*counts, 1])
    return "".join(BARS[-(-count * (len(BARS) - 1) // most)] for count in counts)


def _alarm_line(found: Result) -> str:
    rate, behind = found.false_alarms, found.background
    passed = sum(word.passed for word in found.words.values())
    drawn = (
        f"thresholds are set for {found.wanted:g} an hour, extrapolated from {behind.windows} "
        f"windows (1.6 s) of {behind.hours:.1f} h of other people's speech: {passed} of them pass"
    )
    if rate is None:
        return f"false alarms: {drawn}"
    return (
        f"false alarms: {rate.events} in {rate.hours:.2f} h of yours kept aside, "
        f"{rate.per_hour:.1f} an hour (95 %: {rate.low:.1f} to {rate.high:.1f}); {drawn}"
    )


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, COLUMNS, subsequent_indent="  ")


def judged(found: Result) -> Result:
    """Return the result with everything that is weak in it told."""
    return msgspec.structs.replace(found, weak=[*_weak_words(found), *_weak_background(found)])


def _weak_words(found: Result) -> Iterator[str]:
    alone = [name for name, word in found.words.items() if not word.recordings]
    if alone:
        yield (
            f"{', '.join(alone)}: voices alone; people say it otherwise, record some "
            f"(kws record {alone[0].replace('_', ' ')!r} -n 20)"
        )
    for name, word in found.words.items():
        share = word.misses
        if share.value > BAD_MISSES:
            yield f"{name}: {share.hits} of {share.count} were missed; record more, in more voices"
        elif share.count < FEW:
            yield (
                f"{name}: measured on {share.count} recordings; it may miss up to "
                f"{share.high:.0%} of such"
            )


def _weak_background(found: Result) -> Iterator[str]:
    rate = found.false_alarms
    if rate is None:
        return
    if rate.low > found.wanted:
        yield (
            f"{rate.per_hour:.1f} false alarms an hour, {found.wanted:g} were wanted; give more "
            "--speech, or more recordings"
        )
    elif rate.high > 4 * found.wanted:
        yield (
            f"{rate.hours:.2f} h of background aside are too short to speak of {found.wanted:g} "
            f"false alarms an hour: up to {rate.high:.0f} are possible"
        )
