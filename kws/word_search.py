"""Word search: which word was said, wherever in a recording of any length."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from typing import TypeAlias

import numpy as np

from kws.card import Card, Label
from kws.classifiers import SILENCE_S, at_every_hop, classifier, classify_clip
from kws.errors import AudioError
from kws.flow import Block, Samples, Scores
from kws.resample import Resampler
from kws.ring import Ring, cut
from kws.session import Model
from kws.sources import open_audio

MEAN_S = 0.3
"""A moment's scores are the mean over so much: as much as a clip's are."""
CLEAR = 0.5
"""From this score on a label is more probable than all others together."""
OTHER_CLEAR = 0.7
"""So clear must another word be: noise is taken for one of those more easily. Chosen on 927
calibration clips with 0 to 3 s of silence around them."""
UNLIMITED_S = 30.0
"""A window model that names no limit hears so much in one call, and no more."""
BEFORE_S, AFTER_S = 2.5, 0.5
"""How much audio is kept around the moment at which a keyword is heard best."""
SILENT = frozenset({"silence", "noise", "background", "background_noise"})
"""Labels of audio in which nothing is said, with underscores around them or without."""


@dataclass(frozen=True, slots=True, eq=False)
class Peak:
    """The moment of a recording at which a keyword is heard best.

    answer: float32 [labels], what the model says of the whole recording; scores: what it says
    at this moment. They differ where no keyword rises clearly.
    end: the sample where the hops end whose mean `scores` are. audio: float32 [n] mono, from up
    to 2.5 s before it to up to 0.5 s after it; start: index of its first sample. rate: Hz of
    them all, the model's.
    """

    answer: Samples
    scores: Samples
    end: int
    audio: Samples
    start: int
    rate: int


Verify: TypeAlias = Callable[[Peak], Samples]
"""A second stage: judges the audio around a peak, and returns float32 [labels], the answer."""


def embed(path: str | os.PathLike[str], model: Model) -> Samples:
    """Return the embedding of an audio file: float32 [d].

    One longer than the model's `max_samples` is cut in pieces, whose mean counts.
    Raises AudioError; ModelError: the model gives no embedding.
    """
    longest = _longest(model.card)
    shortest = min(model.card.min_samples or 1, longest)
    found: list[Samples] = []
    for piece in _pieces(read_mono(path, model.card.sample_rate), longest):
        if found and len(piece.samples) < longest // 2:
            break  # what is left over is heard only if it is half a piece or more
        missing = max(0, shortest - len(piece.samples))
        found.append(model.embedding(np.pad(piece.samples, (0, missing))))
    if not found:
        raise AudioError(f"{path}: is empty")
    mean: Samples = np.mean(found, axis=0, dtype=np.float32)
    return mean


def find_word(model: Model, audio: Iterable[Block], *, verify: Verify | None = None) -> Samples:
    """Return the scores of the word that was said in a recording: float32 [labels].

    audio: mono blocks at the model's rate, however many: memory does not grow with them.
    A window model hears what it can take in one call; over anything longer its window slides.
    Where a keyword rises clearly, the answer is the scores at its best moment; else those at the
    best moment of any other word; else the mean over the whole.
    verify: judges the best moment of a keyword instead, whether it is clear or not.
    Raises AudioError: there is no audio.
    """
    peak = find_peak(model, audio)
    return peak.answer if verify is None else verify(peak)


def find_peak(model: Model, audio: Iterable[Block]) -> Peak:
    """Return the moment at which a keyword is heard best, with the audio around it.

    Takes, and raises, what `find_word` does.
    """
    card = model.card
    if card.kind == "window":
        pieces = _pieces(audio, _longest(card))
        first = next(pieces, None)
        second = next(pieces, None)
        if first is None:
            raise AudioError("the clip is empty")
        if second is None:
            scores = classify_clip(model, first.samples)
            return Peak(scores, scores, first.end, first.samples, 0, card.sample_rate)
        audio = chain([first, second], pieces)
    search, stage, end = _Search(card), classifier(at_every_hop(model)), 0
    for block in chain(audio, [None]):
        if block is None:  # the last word is known once its silence was heard
            if not end:
                raise AudioError("the clip is empty")
            tail = card.latency + round((SILENCE_S + MEAN_S) * card.sample_rate)
            block = Block(np.zeros(tail, np.float32), end, card.sample_rate)  # noqa: PLW2901
        # Audio and scores go on in step, so that little of the past need be kept.
        for piece in cut(block, card.hop):
            search.take(piece, stage.process(piece))
        end = block.end
    return search.peak()


class _Search:
    """Follows a recording's audio and scores; keeps the best moments and nothing else."""

    def __init__(self, card: Card) -> None:
        self._rate, labels = card.sample_rate, card.labels
        self._before, self._after = (round(s * self._rate) for s in (BEFORE_S, AFTER_S))
        # A hop may be known late, and what follows it is waited for.
        self._ring = Ring(self._before + self._after + 2 * card.hop + card.latency)
        hops = max(1, round(MEAN_S * self._rate / card.hop))
        self._last = np.zeros((hops, len(labels)), np.float32)
        self._total, self._count = np.zeros(len(labels)), 0
        keywords, others = _kinds(labels)
        self._keyword, self._other = _Best(keywords), _Best(others)
        self._audio, self._start = np.zeros(0, np.float32), 0
        self._waiting = False  # for the audio that follows the best moment

    def take(self, piece: Block, hops: Sequence[Scores]) -> None:
        """Take audio, and the scores of the hops that it made whole."""
        self._ring.push(piece)
        for hop in hops:
            self._total += hop.values
            self._count += 1
            self._last[:-1] = self._last[1:]
            self._last[-1] = hop.values
            mean: Samples = self._last.mean(axis=0, dtype=np.float32)
            self._waiting |= self._keyword.take(mean, hop.end)
            self._other.take(mean, hop.end)
        if self._waiting and self._ring.end >= self._keyword.end + self._after:
            self._keep()

    def _keep(self) -> None:
        end = self._keyword.end
        self._start = max(self._ring.start, end - self._before)
        end = min(self._ring.end, end + self._after)
        self._audio, self._waiting = self._ring.view(self._start, end).copy(), False

    def peak(self) -> Peak:
        """Return the best moment of a keyword, and what the whole is."""
        if self._waiting:
            self._keep()
        best = self._keyword
        whole: Samples = (self._total / self._count).astype(np.float32)
        answer = whole
        if best.score >= CLEAR:
            answer = best.scores
        elif self._other.score >= OTHER_CLEAR:
            answer = self._other.scores
        return Peak(answer, best.scores, best.end, self._audio, self._start, self._rate)


class _Best:
    """The moment at which any of some labels scored best."""

    def __init__(self, columns: Sequence[int]) -> None:
        self._columns = list(columns)
        self.score, self.end, self.scores = -1.0, 0, np.zeros(0, np.float32)

    def take(self, scores: Samples, end: int) -> bool:
        """Note a moment's scores [labels]; return whether they are the best so far."""
        score = float(scores[self._columns].max(initial=-1.0))
        if score <= self.score:
            return False
        self.score, self.scores, self.end = score, scores, end
        return True


def _kinds(labels: Sequence[Label]) -> tuple[list[int], list[int]]:
    """Return the columns of the words that are looked for, and of what else may be said."""
    said = [n for n, label in enumerate(labels) if label.name.strip("_") not in SILENT]
    keywords = [n for n, label in enumerate(labels) if label.role != "background"]
    if not keywords:  # a model without keywords is asked for whatever it knows
        return said or list(range(len(labels))), []
    return keywords, [n for n in said if n not in keywords]


def _longest(card: Card) -> int:
    """Return how many samples a window model hears in one call at most."""
    return card.max_samples or max(card.window, round(UNLIMITED_S * card.sample_rate))


def _pieces(audio: Iterable[Block], size: int) -> Iterator[Block]:
    """Yield blocks joined, and cut anew: each of `size` samples, the last one shorter."""
    parts: list[Samples] = []
    start = held = 0
    for block in audio:
        for piece in cut(block, size):
            parts.append(piece.samples)
            held += len(piece.samples)
            while held >= size:
                joined = np.concatenate(parts)
                yield Block(joined[:size], start, block.rate)
                parts, start, held = [joined[size:]], start + size, held - size
    if held:
        yield Block(np.concatenate(parts), start, block.rate)


def read_mono(path: str | os.PathLike[str], rate: int) -> Iterator[Block]:
    """Yield an audio file, or a pipe, block by block: mono at `rate` Hz.

    Raises AudioError: what `open_audio` and its source raise, where it comes to it.
    """
    resampler = Resampler(rate)
    with closing(open_audio(os.fspath(path))) as source:
        for block in source:
            yield from resampler.process(block)
    yield from resampler.flush()
