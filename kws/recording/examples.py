"""Examples: what fired, or nearly did, kept for the next training as the person judges it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from kws.flow import Block, Detection, Event, Samples, Scores
from kws.recording.shelf import Shelf
from kws.recording.shelf import word as checked
from kws.recording.take import MARGIN_S, words
from kws.resample import Channel, Resampler
from kws.ring import Ring
from kws.terminal.lines import share

if TYPE_CHECKING:
    from kws.spotter import Spotter

UNKNOWN = "_unknown_"
"""The folder of what was not the word: `kws train` learns it as other words."""
RIGHT, WRONG = "yYrR", "nNwW"
NEAR = 0.25
"""A score that reaches this part of its threshold, and not all of it, is a near miss."""
FALLEN_S = 0.8
"""So long after its highest score a near miss is one: until then it may still fire."""
AFTER_S = 1.5
"""So long after a detection nothing is a near miss: its own score is falling."""
BEFORE_S = 2.0
"""How far before its highest score a word that did not fire is looked for."""
LATER_S = 1.5
"""How far behind the place of its score a word may end."""
KEPT_S = 10.0
"""How much audio can be cut from."""


@dataclass
class _Question:
    """What is asked about. Samples: [first, last) is the word, [context, last) what was scored."""

    keyword: str
    first: int
    last: int
    context: int


class ExampleCollector:
    """Asks about each detection and each near miss, and keeps the audio as it is answered.

    What was the word goes to folder/<keyword>, what was not to folder/_unknown_: the layout that
    `kws train` reads. A question stands until it is answered or the next one comes. A context
    manager. Raises ConfigError, when entered: the folder can't be written.

    spotter: what hears; its keywords name the folders. channel: of the source. say: takes a line
    for the person. keys: returns the keys that were pressed since it was last called. right,
    wrong: examples that were kept.
    """

    def __init__(
        self,
        spotter: Spotter,
        folder: Path,
        channel: Channel,
        *,
        say: Callable[[str], None],
        keys: Callable[[], str],
    ) -> None:
        self._spotter, self.folder, self._say, self._keys = spotter, folder, say, keys
        self.rate = spotter.models[0].card.sample_rate
        self._window = max(model.card.window for model in spotter.models)
        self._mono = Resampler(self.rate, channel=channel)
        self._ring = Ring(round(KEPT_S * self.rate))
        self._shelves = ExitStack()
        self._question: _Question | None = None
        self._near: tuple[float, str, int] | None = None
        self._quiet_until = 0
        self.right = self.wrong = 0

    def __enter__(self) -> ExampleCollector:  # noqa: PYI034 - Self came with Python 3.11
        names = [checked(name) for name in self._spotter.thresholds]
        self._places = {
            name: self._shelves.enter_context(Shelf(self.folder / name))
            for name in [*names, UNKNOWN]
        }
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._shelves.close()

    def hear(self, block: Block) -> None:
        """Keep a block of the source, before it is spotted in."""
        for mono in self._mono.process(block):
            self._ring.push(mono)

    def take(self, event: Event) -> None:
        """Take everything that becomes known, in order."""
        if isinstance(event, Detection):
            self._near = None
            self._quiet_until = event.time + round(AFTER_S * self.rate)
            context = min(event.start, event.time - self._window)
            self._ask(_Question(event.keyword, event.start, event.end, context), "")
        elif isinstance(event, Scores):
            self._follow(event)

    def _follow(self, hop: Scores) -> None:
        """Look for a score that nearly reached its threshold, and fell again."""
        scores = hop.values if hop.smoothed is None else hop.smoothed
        levels = self._spotter.thresholds
        for column, name in enumerate(self._spotter.models[hop.model].labels):
            part = scores[column] / levels[name] if levels.get(name) else 0.0
            near = NEAR <= part < 1 and hop.end >= self._quiet_until
            if near and (self._near is None or part > self._near[0]):
                self._near = float(part), name, hop.end
        if self._near is not None and hop.end - self._near[2] >= FALLEN_S * self.rate:
            part, name, end = self._near
            self._near = None
            self._ask_near(name, part * levels.get(name, 1.0), end)

    def _ask_near(self, name: str, score: float, end: int) -> None:
        """Ask about a near miss, if there is a word in the audio before its highest score."""
        begin = max(self._ring.start, end - round(BEFORE_S * self.rate))
        last = min(self._ring.end, end + round(MARGIN_S * self.rate))
        said = words(self._ring.view(begin, last), self.rate) if last > begin else []
        said = [each for each in said if begin + each[0] < end]
        if said:
            first, last = (begin + place for place in said[-1])
            level = share(self._spotter.thresholds[name])
            question = _Question(name, first, last, min(first, end - self._window))
            self._ask(question, f" (nearly: {share(score)} of {level})")

    def _ask(self, question: _Question, remark: str) -> None:
        self._question = question
        when = question.last / self.rate
        self._say(f"{when:8.2f} s  was that {question.keyword!r}?{remark}  y: yes, n: no")

    def answer(self) -> None:
        """Take the keys that were pressed: the last one that is an answer counts.

        Raises DataError: an example can't be written.
        """
        answers = [key for key in self._keys() if key in RIGHT + WRONG]
        if not answers or self._question is None:
            return
        question, self._question = self._question, None
        right = answers[-1] in RIGHT
        last = self._word_end(question)
        audio = self._cut(question.first if right else question.context, last)
        if not len(audio):
            self._say("  that is too long ago: it wasn't kept")
            return
        path = self._places[checked(question.keyword) if right else UNKNOWN].add(audio, self.rate)
        self.right, self.wrong = self.right + right, self.wrong + (not right)
        self._say(f"  kept as {path}")

    def _word_end(self, question: _Question) -> int:
        """Return where the word ends: one may fire, or score best, before it has ended."""
        begin = max(self._ring.start, question.first)
        until = min(self._ring.end, question.last + round(LATER_S * self.rate))
        said = words(self._ring.view(begin, until), self.rate) if until > begin else []
        ends = [begin + end for start, end in said if begin + start <= question.last]
        return max([question.last, *ends])

    def _cut(self, first: int, last: int) -> Samples:
        """Return what is still held of these samples and a little around them."""
        margin = round(MARGIN_S * self.rate)
        begin = max(self._ring.start, first - margin, 0)
        end = min(self._ring.end, last + margin)
        return self._ring.view(begin, end).copy() if last > begin else np.zeros(0, np.float32)
