"""Outcome: what became of own words, told plainly; good or bad."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from kws.card import Rate
from kws.evaluate.results import Share
from kws.origin import Strict

BAD_MISSES = 0.2
"""Share of missed words from which on a word is called bad."""
FEW = 10
"""Fewer recordings than these say little."""


class WordOutcome(Strict, frozen=True):
    """One word.

    recordings: learnt from. synthesised: renderings learnt from. misses: of what was kept aside,
    recordings or (`by_machines`) renderings by voices that taught nothing; None: nothing was.
    learnt_misses: of the recordings learnt from, which flatter. false_alarms: events aside.
    """

    role: str
    recordings: int
    synthesised: int
    threshold: float
    misses: Share | None = None
    by_machines: bool = False
    learnt_misses: Share | None = None
    false_alarms: int = 0


class Background(Strict, frozen=True):
    """Hours of speech and noise without the words: learnt, for thresholds, aside."""

    learnt: float
    calibration: float
    aside: float
    synthesised_speech: bool = False
    computed_noise: bool = False


class Result(Strict, frozen=True):
    """What a training of own words gave; report.json holds the same.

    false_alarms: of all words, on the background aside. wanted: as many an hour were asked for.
    warnings: what stood in for recordings. weak: why the figures are bad, or rest on too little.
    """

    checkpoint: str
    words: dict[str, WordOutcome]
    background: Background
    false_alarms: Rate
    wanted: float
    seconds: float
    device: str
    warnings: list[str] = []  # noqa: RUF012 - msgspec copies it
    weak: list[str] = []  # noqa: RUF012

    def lines(self) -> list[str]:
        """Return a short table for people, and what is weak."""
        told = [f"{'word':16} {'learnt from':>22} {'threshold':>9}  missed, of those kept aside"]
        told += [f"{name:16} {_row(word)}" for name, word in self.words.items()]
        rate, background = self.false_alarms, self.background
        told.append(
            f"{rate.events} false alarms in {rate.hours:.2f} h kept aside: {rate.per_hour:.1f} an "
            f"hour (95 %: {rate.low:.1f} to {rate.high:.1f})"
        )
        told.append(
            f"background: {background.learnt:.2f} h learnt from, {background.calibration:.2f} h "
            f"for thresholds, {background.aside:.2f} h aside"
        )
        return [*told, *(f"weak: {line}" for line in self.weak)]


def _row(word: WordOutcome) -> str:
    learnt = f"{word.recordings} recorded"
    if word.synthesised:
        learnt += f", {word.synthesised} made"
    missed = "not measured: none was kept aside"
    if word.misses is not None:
        share = word.misses
        missed = f"{share.hits} of {share.count} ({share.low:.0%} to {share.high:.0%})"
        missed += " machine voices" if word.by_machines else ""
    return f"{learnt:>22} {word.threshold:9.3f}  {missed}"


def judged(found: Result) -> Result:
    """Return the result with everything that is weak in it told."""
    return msgspec.structs.replace(found, weak=[*_weak_words(found), *_weak_background(found)])


def _weak_words(found: Result) -> Iterator[str]:
    alone = [name for name, word in found.words.items() if not word.recordings]
    if alone:
        yield (
            f"{', '.join(alone)}: synthesised voices alone; people say it otherwise, record some "
            f"(kws record {alone[0]} -n 20)"
        )
    for name, word in found.words.items():
        share = word.misses
        if share is None:
            yield f"{name}: nobody knows how often it is missed: none was kept aside"
        elif share.value > BAD_MISSES:
            yield f"{name}: {share.hits} of {share.count} were missed; record more, in more voices"
        elif share.count < FEW or word.by_machines:
            what = "renderings by machines" if word.by_machines else "recordings"
            yield (
                f"{name}: measured on {share.count} {what}; it may miss up to {share.high:.0%} "
                "of such"
            )


def _weak_background(found: Result) -> Iterator[str]:
    rate = found.false_alarms
    if found.background.synthesised_speech:
        yield (
            "the speech without the words is synthesised: expect far more false alarms than told; "
            "give --speech with hours of people talking"
        )
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
