"""Excerpt: what the live chain heard in a part of a recording, kept small enough to be drawn."""

from __future__ import annotations

import math
import os
from array import array
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from kws import card, decide
from kws.errors import AudioError
from kws.evaluate.drawing.envelope import LAST, Envelope
from kws.flow import Block, Detection, Event, GateChanged, KeywordStuck, Samples, Scores
from kws.resample import Channel, Resampler
from kws.sources.file import AudioFile
from kws.spotter import Spotter

BESIDE_S = 0.5
"""Scores are kept for so long before and after the excerpt, so that lines run to its edges."""
AFTER_S = 1.5
"""So long after the last excerpt nothing matters to it any more: no word is matched so late."""


@dataclass(frozen=True)
class Shot:
    """A detection. Seconds; at_s: the end of the hop whose score passed."""

    keyword: str
    role: str
    score: float
    threshold: float
    start_s: float
    end_s: float
    time_s: float
    at_s: float


@dataclass
class Excerpt:
    """What was heard between start_s and end_s of a recording.

    thresholds: of the armed keywords.
    wave: the samples at `rate`. open: where what the gate let through begins (the pre-roll), when
    it opened, when it closed. scores of a keyword: as they were compared, at `ends_s`; of those in
    `verified` the first stage's raw ones too; NaN where nothing was let through. fired: every
    detection so far, not only the excerpt's. stuck: keyword and moment.
    """

    name: str
    start_s: float
    end_s: float
    thresholds: dict[str, float]
    rate: int
    wave: Envelope
    open: list[tuple[float, float, float]] = field(default_factory=list)
    fired: list[Shot] = field(default_factory=list)
    stuck: list[tuple[str, float]] = field(default_factory=list)
    verified: frozenset[str] = frozenset()
    _ends: array[float] = field(default_factory=lambda: array("d"))
    _values: array[float] = field(default_factory=lambda: array("f"))
    _first: array[float] = field(default_factory=lambda: array("f"))

    @property
    def ends_s(self) -> NDArray[np.float64]:
        """Where the hops end, float64 [hops]."""
        return np.array(self._ends)

    def score(self, keyword: str) -> Samples:
        """Return a keyword's score as it was compared, float32 [hops]."""
        return self._of(keyword, self._values)

    def first(self, keyword: str) -> Samples:
        """Return the raw score that the first stage gave a keyword, float32 [hops]."""
        return self._of(keyword, self._first)

    def _of(self, keyword: str, values: array[float]) -> Samples:
        place = list(self.thresholds).index(keyword)
        return np.array(values, np.float32).reshape(-1, len(self.thresholds))[:, place]

    def within(self, start_s: float, end_s: float) -> bool:
        """Tell whether any of this lies in the excerpt."""
        return end_s >= self.start_s and start_s <= self.end_s

    def hop(self, end_s: float, scores: Sequence[float], first: Sequence[float]) -> None:
        """Keep a hop, if it is not far outside."""
        if self.within(end_s - BESIDE_S, end_s + BESIDE_S):
            self._ends.append(end_s)
            self._values.extend(scores)
            self._first.extend(first)


class _Tap:
    """A source that shows its audio, as the spotter hears it, to excerpts in passing."""

    live = False

    def __init__(self, source: AudioFile, channel: Channel, excerpts: Sequence[Excerpt]) -> None:
        self.rate, self._source, self._excerpts = source.rate, source, excerpts
        self._mono = Resampler(source.rate, channel=channel)
        self.seconds = 0.0

    def __iter__(self) -> Iterator[Block]:
        for block in self._source:
            for mono in self._mono.process(block):
                for excerpt in self._excerpts:
                    excerpt.wave.add(mono.start, mono.samples)
            self.seconds = block.end / block.rate
            yield block

    def poll_events(self) -> list[Event]:
        return []

    def close(self) -> None:
        self._source.close()


class _Watch:
    """Turns the spotter's events into what excerpts hold."""

    def __init__(self, spotter: Spotter, rules: Sequence[card.Decision] | None) -> None:
        cards = [model.card for model in spotter.models]
        self._rate = cards[0].sample_rate
        armed = dict.fromkeys(spotter.thresholds, "keyword")
        # The spotter tells scores a block at a time. The same code, fed the same hops, gives those
        # that were compared; it fires too, at nothing that is drawn.
        self._decision = decide.Decision(cards, armed, spotter.thresholds, rules=rules)
        self._together: list[Scores] = []
        self._labels = [model.labels for model in spotter.models]
        self._raw = dict.fromkeys(armed, 0.0)
        self.at_s = -1.0
        self._opened: float | None = None
        self._began: float | None = None

    def take(self, event: Event, excerpts: Sequence[Excerpt]) -> None:
        """Note an event."""
        if isinstance(event, Scores):
            if self._together and self._together[0].end != event.end:
                self.decide(excerpts)
            if self._began is None:
                self._began = event.start / self._rate
            self._together.append(event)
            return
        self.decide(excerpts)
        if isinstance(event, GateChanged):
            self._gate(event, excerpts)
        for excerpt in excerpts:
            if isinstance(event, Detection):
                excerpt.fired.append(self._shot(event))
            elif isinstance(event, KeywordStuck):
                excerpt.stuck.append((event.keyword, event.time_s))

    def decide(self, excerpts: Sequence[Excerpt]) -> None:
        """Note the hops that ended together."""
        if not self._together:
            return
        start, end = (self._together[0].start / self._rate, self._together[0].end / self._rate)
        self._decision.process(self._together)
        scores = self._decision.scores
        for hop in self._together:
            self._raw |= dict(zip(self._labels[hop.model], hop.values.tolist(), strict=True))
        for excerpt in excerpts:
            if start > self.at_s:
                nothing = [math.nan] * len(scores)
                excerpt.hop(start, nothing, nothing)
            names = list(excerpt.thresholds)
            excerpt.hop(end, [scores[n] for n in names], [self._raw[n] for n in names])
        self.at_s = end
        self._together = []

    def _gate(self, event: GateChanged, excerpts: Sequence[Excerpt]) -> None:
        if event.open:
            self._opened, self._began = event.time_s, None
        else:
            self.close(event.time_s, excerpts)

    def close(self, end_s: float, excerpts: Sequence[Excerpt]) -> None:
        """Note that the gate closed, if it was open."""
        if self._opened is None:
            return
        opened_s = self._opened
        start_s = opened_s if self._began is None else min(self._began, opened_s)
        for excerpt in excerpts:
            if excerpt.within(start_s, end_s):
                excerpt.open.append((start_s, opened_s, end_s))
        self._opened = self._began = None

    def _shot(self, found: Detection) -> Shot:
        return Shot(
            found.keyword,
            found.role,
            float(found.score),
            found.threshold,
            found.start_s,
            found.end_s,
            found.time_s,
            self.at_s,
        )


def hear(
    spotter: Spotter,
    path: str | os.PathLike[str],
    spans: Sequence[tuple[float, float]] = ((0.0, math.inf),),
    *,
    channel: Channel = None,
    rules: Sequence[card.Decision] | None = None,
) -> list[Excerpt]:
    """Hear a recording from its start; return what was heard in each span of it, in seconds.

    What comes well after the last span is left unheard: it changes nothing. channel, rules:
    those of the spotter, where they are not the default and the cards'.
    Raises AudioError: it can't be read, or ends before a span begins.
    """
    source = AudioFile(path)
    excerpts = [_excerpt(os.fspath(path), spotter, source.rate, *span) for span in spans]
    enough = max(excerpt.end_s for excerpt in excerpts) + AFTER_S
    tap, watch = _Tap(source, channel, excerpts), _Watch(spotter, rules)
    with closing(tap):
        for event in spotter.events(tap):
            watch.take(event, excerpts)
            if watch.at_s > enough or tap.seconds > enough + AFTER_S:
                break
    watch.decide(excerpts)
    heard = max(tap.seconds, watch.at_s)
    watch.close(heard, excerpts)
    for excerpt in excerpts:
        if excerpt.start_s >= tap.seconds:
            raise AudioError(
                f"{path}: lasts {tap.seconds:.2f} s, the excerpt begins at {excerpt.start_s:g} s"
            )
        excerpt.end_s = min(excerpt.end_s, heard)
    return excerpts


def _excerpt(name: str, spotter: Spotter, rate: int, start_s: float, end_s: float) -> Excerpt:
    wave = Envelope(round(start_s * rate), min(end_s * rate, LAST))
    judged = [] if spotter.verifier is None else spotter.verifier.keywords
    verified = frozenset(judged) & frozenset(spotter.thresholds)
    return Excerpt(name, start_s, end_s, spotter.thresholds, rate, wave, verified=verified)
