"""Replay: the live chain over a recording whose scores are known already.

Scores are what costs: they are computed once, anywhere, with nothing withheld. Resampler, gate,
verifier and decision then hear the recording serially, as they would have live; only where the
gate's withholding makes the model start anew are scores computed again.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from kws.chain import Chain
from kws.classifiers import Classifier, WindowClassifier, classifier
from kws.errors import AudioError
from kws.evaluate.tracks import Track
from kws.flow import Block, Event, Scores
from kws.resample import Channel
from kws.session import Model
from kws.sources.file import AudioFile
from kws.steps import Steps
from kws.stream import Stream
from kws.stride import CallSchedule
from kws.thresholds import Settings
from kws.verification import VerifierConfig


class TrackClassifier:
    """A stage that reads a track instead of running its model.

    After a jump the model itself runs for a window, because its scores then depend on the
    silence that a jump leaves behind; from there on they are the track's (the gate's law).
    known: for every hop, in order, the sample at which it was told.
    """

    def __init__(self, model: Model, index: int, track: Track) -> None:
        self._model, self._index, self._track = model, index, track
        self.hop = track.hop
        self.reset()

    def reset(self) -> None:
        """Forget everything heard so far."""
        self.inferences = 0
        self.known: list[int] = []
        self._schedule = CallSchedule(self._model.card)
        self._values = np.zeros(len(self._model.labels), np.float32)
        self._live: Classifier | None = None
        self._start = self._next = self._end = 0

    @property
    def latency(self) -> int:
        """Samples that the latest scores may lie behind the input."""
        return self.hop - 1 + self._model.card.behind

    def process(self, block: Block) -> list[Scores]:
        """Return the scores of every hop that became whole."""
        if block.start != self._end:
            self._start = self._next = block.start
            self._schedule.begin()
            self._live = classifier(self._model, self._index)
        self._end = block.end
        out = self._run(self._live, block) if self._live is not None else self._read(block.rate)
        self.known += [block.end] * len(out)
        return out

    def steps(self, block: Block, out: list[Scores]) -> Steps:
        """Find the same; there is nothing to wait for."""
        out += self.process(block)
        yield from ()

    def _run(self, live: Classifier, block: Block) -> list[Scores]:
        out = live.process(block)
        self.inferences += len(out)
        if out:
            self._next, self._values = out[-1].end, out[-1].values
            if self._next - self._start >= self._model.card.window:
                if isinstance(live, WindowClassifier):
                    self._schedule = live.schedule
                self._live = None
        return out

    def _read(self, rate: int) -> list[Scores]:
        out = []
        while self._next + self.hop <= self._end:
            number, end = self._next // self.hop, self._next + self.hop
            if number >= len(self._track.values):
                raise AudioError(f"the track ends at {self._next / rate:.2f} s, the audio goes on")
            if self._schedule.is_due(end):
                self._values = self._track.values[number]
                self._schedule.note(self._values)
            out.append(Scores(self._values, self._next, end, rate, self._index))
            self._next = end
        return out


@dataclass(frozen=True)
class Heard:
    """What a chain heard in a recording.

    events: all of them, as a Spotter would have told. hops: the scores that were decided on,
    together where several models' hops end together; known: the sample at which each was told.
    seconds: how long the recording lasts.
    """

    events: list[Event]
    hops: list[list[Scores]]
    known: list[int]
    rate: int
    seconds: float


class Replay:
    """The live chain of these models and settings, for recordings with tracks.

    gate, channel: as a Spotter takes them. verifier: called as it would be live. Raises
    ConfigError.
    """

    def __init__(
        self,
        models: Sequence[Model],
        settings: Settings,
        *,
        gate: str | None = None,
        channel: Channel = None,
        verifier: VerifierConfig | None = None,
    ) -> None:
        self._models, self._settings, self._gate, self._channel = models, settings, gate, channel
        self._verifier = verifier

    def events(self, path: str | os.PathLike[str], tracks: Sequence[Track]) -> list[Event]:
        """Return what a Spotter would tell of a recording; tracks: one for each model.

        Raises AudioError: it can't be read, or it is not the one that the tracks were made of.
        """
        return self.hear(path, tracks).events

    def hear(self, path: str | os.PathLike[str], tracks: Sequence[Track]) -> Heard:
        """Return the same with every hop that was decided on, to decide on them again."""
        stages: list[TrackClassifier] = []

        def classify(model: Model, index: int) -> Classifier:
            stages.append(TrackClassifier(model, index, tracks[index]))
            return stages[-1]

        chain = Chain(
            self._models,
            self._settings,
            gate=self._gate,
            channel=self._channel,
            verify=self._verifier,
            classify=classify,
        )
        stream = Stream(chain, lambda events: None)
        events: list[Event] = []
        with closing(AudioFile(path)) as source:
            for block in source:
                events += stream.process(block)
        seconds = stream.stats.audio_s
        events += stream.finish()
        hops, known = _together(events, stages)
        return Heard(events, hops, known, chain.rate, seconds)


def _together(
    events: Sequence[Event], stages: Sequence[TrackClassifier]
) -> tuple[list[list[Scores]], list[int]]:
    """Return the hops that were decided on together, and when they were known."""
    times = [iter(stage.known) for stage in stages]
    hops: list[list[Scores]] = []
    known: list[int] = []
    for event in events:
        if isinstance(event, Scores):
            when = next(times[event.model])
            if hops and hops[-1][0].end == event.end and known[-1] == when:
                hops[-1].append(event)
            else:
                hops.append([event])
                known.append(when)
    return hops, known
