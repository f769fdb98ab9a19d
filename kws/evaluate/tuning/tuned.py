"""Tuned: what is to be expected of thresholds that were chosen for a voice and a room.

Nothing is judged by what it was chosen on: utterances and room are left out part by part, and
each part is judged, by the live decision, at thresholds that were chosen without it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np

from kws.card import Card, Rate
from kws.evaluate import results
from kws.evaluate.tuning.ear import Ear, Stretch, Utterance
from kws.evaluate.tuning.tune import LEAST, Peaks, Start, choose
from kws.origin import Strict

FOLDS = 10
"""Utterances and room are left out in so many parts; ten utterances or fewer, one by one."""


class Height(Strict, frozen=True):
    """How high a score rose. at_s: when, from the room's begin; recording: in which, if any."""

    score: float
    at_s: float
    recording: str = ""


class Word(Strict, frozen=True):
    """A keyword, before and after.

    missed, alarms: to be expected after, each part judged by thresholds found without it; with
    `_before`, counted at the thresholds that were in use. room_peak: the highest in the room.
    alarms: None where no room was heard.
    """

    before: float
    after: float
    missed_before: results.Share
    missed: results.Share
    alarms_before: Rate | None
    alarms: Rate | None
    room_peak: Height | None


class Tuned(Strict, frozen=True):
    """Thresholds, and what is to be expected of them. Alarms: of all keywords together.

    room_decides: whether the room was heard long enough to take the card's place. card: by role,
    false alarms that the card's calibration counted at thresholds no higher than these.
    """

    keywords: dict[str, Word]
    hours: float
    per_hour: float
    room_decides: bool
    alarms_before: Rate | None
    alarms: Rate | None
    card: dict[str, Rate]

    @property
    def thresholds(self) -> dict[str, float]:
        """What is to be used from now on."""
        return {name: word.after for name, word in self.keywords.items()}


@dataclass(frozen=True)
class Evidence:
    """What was heard: words, and a room in which none was said."""

    said: Sequence[Utterance]
    room: Sequence[Stretch]

    @property
    def hours(self) -> float:
        """How long the room was heard."""
        return sum(stretch.seconds for stretch in self.room) / 3600

    def peaks(self, names: Sequence[str], spoken: Sequence[str]) -> tuple[Peaks, Peaks]:
        """Return the peaks of the words that were spoken often enough, and all in the room."""
        heights = [(each.word.label, each.peak) for each in self.said]
        said = {name: np.array([h for label, h in heights if label == name]) for name in spoken}
        nothing = np.zeros(0)
        room = {
            name: np.concatenate([nothing, *(each.alarms(name) for each in self.room)])
            for name in names
        }
        return said, room

    def parts(self) -> Iterator[tuple[Evidence, Evidence]]:
        """Yield what is left and what is left out, part by part."""
        place: Counter[str] = Counter()
        of_said = []
        for each in self.said:
            of_said.append(place[each.word.label] % FOLDS)
            place[each.word.label] += 1
        of_room = [number % FOLDS for number in range(len(self.room))]
        for fold in sorted({*of_said, *of_room}):
            inside = [part == fold for part in of_said], [part == fold for part in of_room]
            outside = [not one for one in inside[0]], [not one for one in inside[1]]
            yield self._only(*outside), self._only(*inside)

    def _only(self, said: Sequence[bool], room: Sequence[bool]) -> Evidence:
        return Evidence([*compress(self.said, said)], [*compress(self.room, room)])


def tune(known: Start, evidence: Evidence, ear: Ear, cards: Sequence[Card]) -> Tuned:
    """Return thresholds and what is to be expected of them.

    ear: has heard the evidence. cards: of its models.
    """
    by_room, names = known.room_decides(evidence.hours), list(known.before)
    counts = Counter(each.word.label for each in evidence.said)
    spoken = [name for name in names if counts[name] >= LEAST]

    def chosen(part: Evidence) -> dict[str, float]:
        said, room = part.peaks(names, spoken)
        return choose(known, said, room, hours=part.hours, by_room=by_room)

    after, before, expected = chosen(evidence), Tally(), Tally()
    before.add(evidence, ear, known.before)
    for rest, out in evidence.parts():
        expected.add(out, ear, chosen(rest))
    words = {
        name: Word(
            before=round(known.before[name], 4),
            after=after[name],
            missed_before=results.share(before.missed[name], counts[name]),
            missed=results.share(expected.missed[name], counts[name]),
            alarms_before=before.rate(evidence.hours, name),
            alarms=expected.rate(evidence.hours, name),
            room_peak=_highest(evidence.room, name),
        )
        for name in names
    }
    return Tuned(
        words,
        round(evidence.hours, 6),
        known.per_hour,
        by_room,
        before.rate(evidence.hours),
        expected.rate(evidence.hours),
        _by_card(cards, ear.roles, after),
    )


class Tally:
    """Misses and false alarms, by keyword."""

    def __init__(self) -> None:
        self.missed, self.alarms = Counter[str](), Counter[str]()

    def add(self, heard: Evidence, ear: Ear, levels: Mapping[str, float]) -> None:
        """Count those of some evidence at these thresholds."""
        self.missed.update(each.word.label for each in heard.said if ear.missed(each, levels))
        for stretch in heard.room:
            self.alarms.update(ear.fired(stretch, levels))

    def rate(self, hours: float, name: str | None = None) -> Rate | None:
        """Return the false alarms of one keyword, or of all together."""
        count = self.alarms.total() if name is None else self.alarms[name]
        return results.rate(count, hours) if hours else None


def _highest(room: Sequence[Stretch], name: str) -> Height | None:
    scored = [stretch for stretch in room if len(stretch.ends_s)]
    if not scored:
        return None
    best = max(scored, key=lambda stretch: float(stretch.of(name).max()))
    at = int(best.of(name).argmax())
    score, when = float(best.of(name)[at]), float(best.ends_s[at]) - best.begin_s
    return Height(round(score, 4), round(when, 2), best.where)


def _by_card(
    cards: Sequence[Card], roles: Mapping[str, str], after: Mapping[str, float]
) -> dict[str, Rate]:
    """Return, by role, what was measured at thresholds no higher than these."""
    found: dict[str, Rate] = {}
    for role in sorted(set(roles.values())):
        names = [name for name in after if roles[name] == role]
        points = [p for card in cards for p in card.operating_points if p.role == role]
        for point in sorted(points, key=lambda p: p.false_alarms_per_hour):
            levels = point.thresholds
            if all(name in levels and after[name] >= levels[name] for name in names):
                found[role] = point.measured
                break
    return found
