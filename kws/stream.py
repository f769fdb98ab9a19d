"""Stream: the chain on one stream of audio: what comes next, what was lost, what is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kws.block_sizes import BlockSizes
from kws.capture import Capture
from kws.chain import Chain
from kws.errors import AudioError
from kws.flow import AudioLost, Block, Captured, Detection, Event
from kws.ring import cut
from kws.steps import Steps, alone

_FROM_INT16 = np.float32(1 / 32_768)


@dataclass(frozen=True, slots=True)
class Stats:
    """What a spotter has done since it was made or reset. Seconds of audio."""

    audio_s: float
    open_s: float
    lost_s: float
    detections: int
    inferences: int


class Stream:
    """Blocks at any rate in, events out, told to a callback as soon as they are known."""

    def __init__(self, chain: Chain, tell: Callable[[list[Event]], None]) -> None:
        self._chain, self._tell = chain, tell
        self._paused = False
        self._captures: list[Capture] = []
        self.reset()

    def reset(self) -> None:
        """Forget everything heard so far, figures too; captures end, and that is told."""
        self._chain.reset()
        self._rate, self._channels, self._size = self._chain.rate, 0, self._chain.hop
        self._expected: int | None = None
        self._skipped = False
        self._audio_s = self._lost_s = 0.0
        self._detections = 0
        self._last: int | None = None  # where captures end at the latest: the source's end
        self.end()

    def process(self, block: Block) -> list[Event]:
        """Return everything that became known, in order.

        Raises AudioError: empty, not finite, of no usable shape, a start in the past. What came
        before the bad part was heard; the bad part leaves no trace.
        """
        events: list[Event] = []
        alone(self.steps(block, events))
        return events

    def steps(self, block: Block, events: list[Event]) -> Steps:
        """Find the same, in steps."""
        count = len(block.samples)
        if not count:
            raise AudioError("no samples; a block needs one at least")
        if block.start != self._expected or block.rate != self._rate:
            self._begin(block, events)
        self._channels = block.samples.shape[1] if block.samples.ndim == 2 else 0
        if self._paused:
            self._expected = block.end
            self._settle(events)
            return
        for piece in cut(block, self._size):
            found: list[Event] = []
            yield from self._chain.steps(piece, found)
            self._heard(piece, found, events)

    def block(self, samples: NDArray[Any], rate: int | None, start: int | None = None) -> Block:
        """Return samples, float32 or int16, as a block that begins where it is expected to.

        Raises AudioError: another type.
        """
        rate = rate or self._chain.rate
        if samples.dtype == np.int16:
            samples = samples * _FROM_INT16
        elif samples.dtype != np.float32:
            raise AudioError(f"samples of type {samples.dtype}; give float32 in [-1, 1], or int16")
        return Block(samples, self.expected(rate) if start is None else start, rate)

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
            self._tell([lost])

    def _heard(self, piece: Block, found: list[Event], events: list[Event]) -> None:
        self._expected = piece.end
        self._audio_s += len(piece.samples) / piece.rate
        self._skipped = False
        for capture in self._captures:
            capture.fill()
        if found:
            self._detections += sum(isinstance(event, Detection) for event in found)
            events += found
            self._tell(found)
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
            self._tell(told)

    def finish(self) -> list[Event]:
        """Hear the silence that a finite source ends with, so that its last word is known."""
        events: list[Event] = []
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
            tail = (chain.latency + chain.smoothing + 2 * chain.hop) / chain.rate
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
        self._close(events)
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
        )
