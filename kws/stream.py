"""Stream: the chain on one stream of audio: what comes next, what was lost, what is kept."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kws.block_sizes import BlockSizes
from kws.callbacks import Deferred
from kws.capture import Capture
from kws.chain import Chain
from kws.errors import AudioError
from kws.flow import AudioLost, Block, Captured, Detection, Event, Stats, check_format
from kws.resample import NotFiniteError
from kws.ring import cut
from kws.samples import as_index, as_rate, as_samples
from kws.steps import Steps, alone

UNHEARD_S = 1.0
"""How often it is told that audio can't be used, while that lasts."""


class Stream:
    """Blocks at any rate in, events out, told to a callback as soon as they are known."""

    def __init__(self, chain: Chain, tell: Callable[[list[Event]], None]) -> None:
        self._chain, self._callbacks = chain, Deferred(tell)
        self._hearing = threading.RLock()  # held while audio is heard; not while it is steps
        self._paused = False
        self._captures: list[Capture] = []
        self.reset()

    def reset(self) -> None:
        """Forget everything heard so far, figures too; captures end, and that is told."""
        with self._hearing:
            self._reset()

    def _reset(self) -> None:
        self._chain.reset()
        self._rate, self._channels, self._size = self._chain.rate, 0, self._chain.hop
        self._expected: int | None = None
        self._unheard: int | None = None  # where what can't be used begins, until that is told
        self._skipped = False
        self._audio_s = self._lost_s = 0.0
        self._detections = 0
        self._last: int | None = None  # where captures end at the latest: the source's end
        self.end()

    def process(self, block: Block) -> list[Event]:
        """Return everything that became known, in order.

        Samples that are not finite are lost audio, a hop or less at a time. Raises AudioError:
        empty, of no usable shape, a start in the past; such a block leaves no trace. What a
        callback raises is raised when the whole block was heard.
        """
        if not isinstance(block, Block):
            raise AudioError(f"a {type(block).__name__} is no Block; push() takes arrays")
        events: list[Event] = []
        with self._alone():
            alone(self.steps(block, events))
        return events

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hear nothing else meanwhile. Raises AudioError: another thread is being heard."""
        if not self._hearing.acquire(blocking=False):
            raise AudioError(
                "another thread is pushing at this moment; one spotter hears one stream: "
                "give each its own, they can share the model"
            )
        try:
            yield
        finally:
            self._hearing.release()

    def steps(self, block: Block, events: list[Event]) -> Steps:
        """Find the same, in steps."""
        count = len(block.samples)
        if not count:
            raise AudioError("no samples; a block needs one at least")
        check_format(block.rate)
        if block.start != self._expected or block.rate != self._rate:
            self._begin(block, events)
        self._channels = block.samples.shape[1] if block.samples.ndim == 2 else 0
        if self._paused:
            self._expected = block.end
            self._settle(events)
            return
        try:
            for piece in cut(block, self._size):
                yield from self._hear(piece, events)
        except AudioError:
            raise
        except BaseException:  # a model that fails, or Ctrl-C: time goes on nevertheless
            self._chain.jump()
            self._skip(block.end)
            raise
        self._callbacks.raise_first()

    def _hear(self, piece: Block, events: list[Event]) -> Steps:
        found: list[Event] = []
        try:
            yield from self._chain.steps(piece, found)
        except NotFiniteError:
            self._close(events)
            self._skip(piece.end)
            if self._unheard is not None and piece.end - self._unheard >= UNHEARD_S * piece.rate:
                self._tell_unheard(events)
        else:
            self._tell_unheard(events)
            self._heard(piece, found, events)

    def _skip(self, end: int) -> None:
        """Count audio from what is expected on as lost."""
        assert self._expected is not None  # noqa: S101 - a block has begun
        if self._unheard is None:
            self._unheard = self._expected
        self._lost_s += max(0, end - self._expected) / self._rate
        self._expected = max(end, self._expected)

    def _tell_unheard(self, events: list[Event]) -> None:
        """Tell of audio that was skipped."""
        start, self._unheard = self._unheard, None
        if start is not None and self._expected is not None and start < self._expected:
            lost = AudioLost(start / self._rate, self._expected / self._rate)
            events.append(lost)
            self._callbacks.tell([lost])

    def block(self, samples: NDArray[Any], rate: int | None, start: int | None = None) -> Block:
        """Return samples, float32 or int16, as a block that begins where it is expected to.

        Raises AudioError: another type or shape, a rate or a start that can't be.
        """
        rate = self._chain.rate if rate is None else as_rate(rate)
        begin = self.expected(rate) if start is None else as_index(start, "start")
        return Block(as_samples(samples), begin, rate)

    def expected(self, rate: int) -> int:
        """Where the next block is expected to begin, at its own rate."""
        if self._expected is None:
            return 0
        if rate == self._rate:
            return self._expected
        return round(self._expected * rate / self._rate)

    @property
    def now_s(self) -> float:
        """The audio clock: seconds up to the end of what was heard."""
        return 0.0 if self._expected is None else self._expected / self._rate

    def _begin(self, block: Block, events: list[Event]) -> None:
        self._tell_unheard(events)  # in the old rate
        expected = block.start if self._expected is None else self.expected(block.rate)
        if block.start != expected:
            self._jump(expected, block, events)
        self._expected, self._rate = block.start, block.rate
        self._size = max(1, self._chain.hop * block.rate // self._chain.rate)

    def _jump(self, expected: int, block: Block, events: list[Event]) -> None:
        if block.start < expected:
            raise AudioError(
                f"the audio at sample {block.start} was heard before; {expected} comes next "
                "(reset() begins another stream)"
            )
        self._close(events)
        if not self._skipped:
            lost = AudioLost(expected / block.rate, block.start / block.rate)
            self._lost_s += lost.end_s - lost.start_s
            events.append(lost)
            self._callbacks.tell([lost])

    def _heard(self, piece: Block, found: list[Event], events: list[Event]) -> None:
        self._expected = piece.end
        self._audio_s += len(piece.samples) / piece.rate
        self._skipped = False
        for capture in self._captures:
            capture.fill()
        if found:
            self._detections += sum(isinstance(event, Detection) for event in found)
            events += found
            self._callbacks.tell(found)
        if self._captures:  # a callback may have begun one that is done at once
            self._settle(events)

    def _close(self, events: list[Event]) -> None:
        for capture in self._captures:
            capture.close()
        self._settle(events)

    def _settle(self, events: list[Event]) -> None:
        """Tell of the captures that are done, and let go of them."""
        done = [capture for capture in self._captures if capture.done]  # asked once: threads close
        if done:
            self._captures = [capture for capture in self._captures if capture not in done]
            told: list[Event] = [Captured(capture, capture.end / capture.rate) for capture in done]
            events += told
            self._callbacks.tell(told)

    def finish(self) -> list[Event]:
        """Hear the silence that a finite source ends with, so that its last word is known."""
        events: list[Event] = []
        with self._alone():
            alone(self.ending(events))
        return events

    def ending(self, events: list[Event]) -> Steps:
        """Do the same, in steps."""
        if self._expected is not None:
            self._last = round(self._expected / self._rate * self._chain.rate)
            for capture in self._captures:
                capture.limit(self._last)
            chain = self._chain
            figures = self._audio_s, chain.gate.open_samples  # the tail was not heard from anywhere
            tail = chain.ending / chain.rate
            shape = (round(tail * self._rate), self._channels)[: 2 if self._channels else 1]
            silence = Block(np.zeros(shape, np.float32), self._expected, self._rate)
            try:
                yield from self.steps(silence, events)
            finally:
                self._last = None
                self._audio_s, chain.gate.open_samples = figures
        events += self.end()

    def end(self) -> list[Event]:
        """End the captures: nothing follows. Return what that makes known."""
        events: list[Event] = []
        self._tell_unheard(events)
        self._close(events)
        self._callbacks.raise_first()
        return events

    def pause(self) -> None:
        """Hear nothing until `resume`; what is pushed meanwhile is skipped."""
        self._paused = self._skipped = True
        self._chain.jump()
        for capture in self._captures:
            capture.close()  # told by whoever hears: this may be another thread

    def resume(self) -> None:
        """Hear again, as after a jump."""
        self._paused = False

    def capture(self, word: Detection, seconds: float, until_silence: float | None) -> Capture:
        """Begin to keep what is said after a word."""
        capture = Capture(self._chain.gate, word, seconds, until_silence, self._last)
        self._captures.append(capture)
        return capture

    def block_sizes(self, rate: int) -> BlockSizes:
        """Return the sizes of blocks at `rate` Hz with which no hop waits for the next block."""
        return self._chain.block_sizes(rate)

    @property
    def idle(self) -> bool:
        """Whether the gate is closed and nothing is captured: a block may wait for the next one."""
        return not (self._chain.gate.open or self._captures)

    @property
    def stats(self) -> Stats:
        """Figures since the stream began."""
        return Stats(
            audio_s=self._audio_s,
            open_s=self._chain.gate.open_samples / self._chain.rate,
            lost_s=self._lost_s,
            detections=self._detections,
            inferences=self._chain.inferences,
            verifier=self._chain.verifier_stats,
        )
