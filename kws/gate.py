"""Gate: opens on voice; delivers the pre-roll before it and the hangover after it."""

from __future__ import annotations

from collections import deque

from kws.flow import Block, GateChanged
from kws.gates import Detector
from kws.ring import Ring, cut


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
    """

    def __init__(
        self, detector: Detector, *, preroll: int, hangover: int, grid: int = 1, reach: int = 0
    ) -> None:
        self.detector = detector
        self._preroll, self._hangover, self._grid = preroll, hangover, grid
        self._frame = detector.frame
        self._reach = max(reach, preroll + grid + self._frame)
        self.ring = Ring(self._reach + self._frame)
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

    def process(self, block: Block) -> list[Block | GateChanged]:
        """Return what is to be classified, and GateChanged where the gate opened or closed."""
        out: list[Block | GateChanged] = []
        if self._fresh or block.start != self.ring.end:
            self._begin(block, out)
        for piece in cut(block, self._frame):
            self.ring.push(piece)
            while self.ring.end - self.heard >= self._frame:
                self._hear(piece, out)
        return out

    def _begin(self, block: Block, out: list[Block | GateChanged]) -> None:
        if self.open:
            out.append(GateChanged(False, self.heard / block.rate))
        self.open = self._fresh = False
        self.detector.reset()
        self._voiced.clear()
        self.ring.clear()
        self._origin = self.heard = self._delivered = self._closes = block.start

    def _hear(self, piece: Block, out: list[Block | GateChanged]) -> None:
        start, end = self.heard, self.heard + self._frame
        self.heard = end
        self.heard_samples += self._frame
        if self.detector.voiced(self.ring.view(start, end)):
            self._closes = end + self._hangover
            self._remember(start, end)
        if start < self._closes:
            if not self.open:
                self.open = True
                out.append(GateChanged(True, end / piece.rate))
                back = max(self._origin, start - self._preroll) - self._origin
                start = self._origin + back - back % self._grid
            self._deliver(max(start, self._delivered), end, piece, out)
        elif self.open:
            self.open = False
            out.append(GateChanged(False, end / piece.rate))

    def _deliver(self, start: int, end: int, piece: Block, out: list[Block | GateChanged]) -> None:
        wall = None
        if piece.wall_time is not None:
            wall = piece.wall_time + (start - piece.start) / piece.rate
        out.append(Block(self.ring.view(start, end).copy(), start, piece.rate, wall))
        self._delivered = end
        self.open_samples += self._frame

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
