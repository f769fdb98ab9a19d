"""Classifiers: audio in, each hop's scores out; one for each kind of model."""

from __future__ import annotations

from copy import copy
from typing import Protocol

import numpy as np

from kws.card import replace
from kws.errors import AudioError
from kws.flow import Block, Samples, Scores
from kws.ring import Ring, cut
from kws.session import Model
from kws.steps import Run, Steps, alone
from kws.stride import CallSchedule

SILENCE_S = 0.5
"""What a stream model hears before and after a clip."""
CLIP_S = 1.0
"""Shorter clips are padded to this for a stream model."""
AROUND_S = 0.15
"""A clip's score is the mean over the hops that end this close to its end."""


class Classifier(Protocol):
    """A stage from blocks to scores."""

    hop: int
    inferences: int

    @property
    def latency(self) -> int:
        """Samples that the latest scores may lie behind the input."""

    def process(self, block: Block, /) -> list[Scores]:
        """Return the scores of every hop that became whole."""

    def steps(self, block: Block, out: list[Scores], /) -> Steps:
        """Find the same, in steps."""

    def reset(self) -> None:
        """Forget everything heard so far."""


class StreamClassifier:
    """A stream model's scores. A jump, like a reset, begins from silent history.

    index: which of the spotter's models this is; it goes into the scores.
    """

    def __init__(self, model: Model, index: int = 0) -> None:
        self._model, self._index = model, index
        self.hop = model.card.hop
        self._audio = np.zeros((1, self.hop), np.float32)
        self.reset()

    def reset(self) -> None:
        """Forget everything heard so far."""
        self.inferences = 0
        self._begin(0)

    def _begin(self, start: int) -> None:
        self._state = self._model.initial_state
        self._start = self._end = start

    @property
    def latency(self) -> int:
        """Samples that the latest scores may lie behind the input."""
        return self.hop - 1 + self._model.card.latency

    def process(self, block: Block) -> list[Scores]:
        """Return the scores of every hop that became whole."""
        out: list[Scores] = []
        alone(self.steps(block, out))
        return out

    def steps(self, block: Block, out: list[Scores]) -> Steps:
        """Find the same, in steps."""
        if block.start != self._end:
            self._begin(block.start)
        samples, at = block.samples, 0
        while at < len(samples):
            filled = self._end - self._start
            taken = min(self.hop - filled, len(samples) - at)
            self._audio[0, filled : filled + taken] = samples[at : at + taken]
            self._end += taken
            at += taken
            if self._end - self._start == self.hop:
                values, self._state = yield Run(self._model, self._audio, self._state)
                self.inferences += 1
                out.append(Scores(values[0], self._start, self._end, block.rate, self._index))
                self._start = self._end


class WindowClassifier:
    """A window model's scores, every `hop` samples. Before the start and a jump lie zeros.

    Where the card has a stride the model isn't called at every hop: in between the last scores
    stay, so that each hop has some.

    index: which of the spotter's models this is. hop: None is the card's. schedule: when it is
    called.
    """

    def __init__(self, model: Model, index: int = 0, *, hop: int | None = None) -> None:
        self._model, self._index = model, index
        self.hop = hop or model.card.hop
        self._window = model.card.window
        self._values = np.zeros(len(model.labels), np.float32)
        self.schedule = CallSchedule(replace(model.card, hop=self.hop))
        self._ring = Ring(self._window)
        self.reset()

    def reset(self) -> None:
        """Forget everything heard so far."""
        self.inferences = 0
        self._begin(0, self._model.card.sample_rate)

    def _begin(self, start: int, rate: int) -> None:
        silence = np.zeros(self._window, np.float32)
        self._ring.clear()
        self._ring.push(Block(silence, start - self._window, rate))
        self._start = start
        self.schedule.begin()

    @property
    def latency(self) -> int:
        """Samples that the latest scores may lie behind the input."""
        return self.hop - 1 + self._model.card.behind

    def process(self, block: Block) -> list[Scores]:
        """Return the scores of every hop that became whole."""
        out: list[Scores] = []
        alone(self.steps(block, out))
        return out

    def steps(self, block: Block, out: list[Scores]) -> Steps:
        """Find the same, in steps."""
        if block.start != self._ring.end:
            self._begin(block.start, block.rate)
        while block.end - self._start >= self.hop:
            end = self._start + self.hop
            already = self._ring.end - block.start
            self._push(block, already, end - block.start)
            if self.schedule.is_due(end):
                audio = self._ring.view(end - self._window, end)[np.newaxis]
                values, _ = yield Run(self._model, audio, [])
                self.inferences += 1
                self._values = values[0]
                self.schedule.note(self._values)
            out.append(Scores(self._values, self._start, end, block.rate, self._index))
            self._start = end
        self._push(block, self._ring.end - block.start, len(block.samples))

    def _push(self, block: Block, start: int, end: int) -> None:
        if end > start:
            self._ring.push(Block(block.samples[start:end], block.start + start, block.rate))


def at_every_hop(model: Model) -> Model:
    """Return the model without its stride: it is called at every hop."""
    dense = copy(model)
    dense.card = replace(model.card, stride=None)
    return dense


def classifier(model: Model, index: int = 0) -> Classifier:
    """Make the classifier for a model's kind."""
    kind = StreamClassifier if model.card.kind == "stream" else WindowClassifier
    return kind(model, index)


def classify_clip(model: Model, samples: Samples) -> Samples:
    """Score one clip by the V2-12 rule: float32 [samples] mono at the model's rate -> [labels].

    It is the rule of `kws eval --clips`, for clips of about a second that end with their word;
    `kws.word_search` finds the word in a recording of any length. A window model hears the clip
    as it is, in one call; one longer than `max_samples` in consecutive pieces, whose mean counts.
    A stream model hears half a second of silence, the clip (padded to 1 s), half a second of
    silence; a label's score is its mean over the hops that end within 0.15 s of the clip's end
    plus the model's latency.
    """
    if not len(samples):
        raise AudioError("the clip is empty")
    card = model.card
    if card.kind == "window":
        return _mean_over_pieces(model, samples)
    mean: Samples = clip_hops(model, samples).mean(axis=0, dtype=np.float32)
    return mean


def clip_hops(model: Model, samples: Samples) -> Samples:
    """Return a stream model's scores [hops, labels] at the hops that speak for a clip."""
    card = model.card
    around, silence = round(AROUND_S * card.sample_rate), round(SILENCE_S * card.sample_rate)
    end = silence + max(len(samples), round(CLIP_S * card.sample_rate))
    after = max(silence, card.latency + around + card.hop)
    audio = np.zeros(end + after, np.float32)
    audio[silence : silence + len(samples)] = samples
    scores = StreamClassifier(model).process(Block(audio, 0, card.sample_rate))
    near = [hop.values for hop in scores if abs(hop.end - end - card.latency) <= around]
    return np.stack(near or [scores[-1].values])


def _mean_over_pieces(model: Model, samples: Samples) -> Samples:
    card = model.card
    longest = card.max_samples or len(samples)
    shortest = min(card.min_samples or 1, longest)
    pieces = [piece.samples for piece in cut(Block(samples, 0, card.sample_rate), longest)]
    if len(pieces) > 1 and len(pieces[-1]) < longest // 2:
        pieces.pop()  # what is left over is heard only if it is half a piece or more
    pieces[-1] = np.pad(pieces[-1], (0, max(0, shortest - len(pieces[-1]))))
    mean: Samples = np.mean([model.scores(piece) for piece in pieces], axis=0, dtype=np.float32)
    return mean
