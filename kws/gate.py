"""Gate: opens on voice; delivers the pre-roll before it and the hangover after it."""

from __future__ import annotations

from collections import deque

import numpy as np

from kws.flow import Block, GateChanged, Samples
from kws.gates import Asking, Detector
from kws.ring import Ring, cut
from kws.steps import Answer, Run

PUSH = 4
"""Frames that may be pushed at once."""


class Gate:
    """Mono blocks in; out come, in order, the blocks worth classifying and the gate's changes.

    It hears every frame; frames are counted from the stream's start or the last jump. What it
    withholds is a jump in `start`. It never delivers a sample twice.

    preroll: samples delivered from before the voice, begun on a multiple of `grid` samples
        counted from the stream's start or the last jump, so that hops fall where they would
        have fallen without a gate.
    hangover: samples delivered after the last voiced frame.
    reach: how far back from `heard` the ring and the voiced frames are kept, in samples; at
        least the pre-roll and one grid step.
    most: samples that `push` takes.
    """

    def __init__(
        self, detector: Detector, *, preroll: int, hangover: int, grid: int = 1, reach: int = 0
    ) -> None:
        self.detector = detector
        self._preroll, self._hangover, self._grid = preroll, hangover, grid
        self._frame = detector.frame
        self._reach = max(reach, preroll + grid + self._frame)
        self.most = PUSH * self._frame
        self.ring = Ring(self._reach + self._frame + self.most)
        self._asking = detector if isinstance(detector, Asking) else None
        self.reset()

    def reset(self) -> None:
        """Forget everything heard so far."""
        self.ring.clear()
        self.detector.reset()
        self._fresh = True
        self.open = False
        self._delivered = self._closes = self.heard = self._origin = 0
        self._voiced: deque[list[int]] = deque()
        self.heard_samples = self.open_samples = 0

    @property
    def latency(self) -> int:
        """How far the output may lie behind the input, in samples: what a frame waits for."""
        return self._frame - 1

    @property
    def since(self) -> int:
        """The oldest sample that may be asked for: at most `reach` before `heard`."""
        return max(self._origin, self.heard - self._reach)

    def view(self, start: int, end: int) -> Samples:
        """Return the samples [start, end), let through or not; zeros from before `since`.

        Not a copy, valid until the next push.
        """
        known = max(start, self.since)
        samples = self.ring.view(known, end)
        return samples if known == start else np.pad(samples, (known - start, 0))

    def process(self, block: Block) -> list[Block | GateChanged]:
        """Return what is to be classified, and GateChanged where the gate opened or closed."""
        out: list[Block | GateChanged] = []
        for piece in cut(block, self.most):
            out += self.push(piece)
            while items := self.next():
                out += self.told(items.alone()) if isinstance(items, Run) else items
        return out

    def push(self, block: Block) -> list[GateChanged]:
        """Begin to do the same in steps, with a block of `most` samples or less.

        `next` hears it. Return what a jump before the block means.
        """
        out = []
        if self._fresh or block.start != self.ring.end:
            out = self._begin(block)
        self.ring.push(block)
        self._block = block
        return out

    def _begin(self, block: Block) -> list[GateChanged]:
        out = [GateChanged(False, self.heard / block.rate)] if self.open else []
        self.open = self._fresh = False
        self.detector.reset()
        self._voiced.clear()
        self.ring.clear()
        self._origin = self.heard = self._delivered = self._closes = block.start
        return out

    def next(self) -> list[Block | GateChanged] | Run:
        """Hear on, to the first frame that means something; return what, or what it depends on.

        An empty list: nothing more is to be heard.
        """
        ring, frame = self.ring, self._frame
        while ring.end - self.heard >= frame:
            samples = ring.view(self.heard, self.heard + frame)
            found = self._asking.hear(samples) if self._asking else self.detector.voiced(samples)
            if isinstance(found, Run):
                return found
            if items := self._decide(found):
                return items
        return []

    def told(self, answer: Answer) -> list[Block | GateChanged]:
        """Return what the frame means whose `next` wanted to know this."""
        assert self._asking  # noqa: S101 - nobody else asks
        return self._decide(self._asking.told(answer))

    def _decide(self, voiced: bool) -> list[Block | GateChanged]:
        start, end = self.heard, self.heard + self._frame
        self.heard = end
        self.heard_samples += self._frame
        if voiced:
            self._closes = end + self._hangover
            self._remember(start, end)
        elif not self.open:
            return []
        out: list[Block | GateChanged] = []
        if start < self._closes:
            if not self.open:
                self.open = True
                out.append(GateChanged(True, end / self._block.rate))
                back = max(self._origin, start - self._preroll) - self._origin
                start = self._origin + back - back % self._grid
            out.append(self._deliver(max(start, self._delivered), end))
        else:
            self.open = False
            out.append(GateChanged(False, end / self._block.rate))
        return out

    def _deliver(self, start: int, end: int) -> Block:
        block, wall = self._block, None
        if block.wall_time is not None:
            wall = block.wall_time + (start - block.start) / block.rate
        self._delivered = end
        self.open_samples += self._frame
        return Block(self.ring.view(start, end).copy(), start, block.rate, wall)

    def _remember(self, start: int, end: int) -> None:
        runs = self._voiced
        if runs and runs[-1][1] == start:
            runs[-1][1] = end
        else:
            runs.append([start, end])
        while runs[0][1] <= self.heard - self._reach:
            runs.popleft()

    def voiced(self, start: int, end: int) -> list[tuple[int, int]]:
        """Return the runs of voiced frames within [start, end), cut to it, oldest first.

        Nothing is known from before `since`.
        """
        start = max(start, self.since)
        return [(max(a, start), min(b, end)) for a, b in self._voiced if a < end and b > start]
