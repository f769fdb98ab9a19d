"""Ring: the recent past, addressed by absolute sample index."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from kws.flow import Block, Samples


class Ring:
    """Holds the last `capacity` samples of mono audio. Never grows.

    The memory is half as long again as the capacity, so that a push is one copy and every
    view is contiguous; when it is full, the newest `capacity` samples move to its front.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._memory = np.zeros(capacity + capacity // 2 + 1, np.float32)
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._first = self._base = self.end = 0

    @property
    def start(self) -> int:
        """The oldest sample that can still be viewed."""
        return max(self._first, self.end - self.capacity)

    def push(self, block: Block) -> None:
        """Append a mono block; one that does not begin at `end` empties the ring first."""
        samples, count = block.samples, len(block.samples)
        if block.start != self.end:
            self._first = self._base = self.end = block.start
        if count > self.capacity:
            samples, count = samples[-self.capacity :], self.capacity
            self._base = self.end = block.end - count
        at = self.end - self._base
        if at + count > len(self._memory):
            kept = min(at, self.capacity - count)
            self._memory[:kept] = self._memory[at - kept : at]
            self._base, at = self.end - kept, kept
        self._memory[at : at + count] = samples
        self.end += count

    def view(self, start: int, end: int) -> Samples:
        """Return the samples [start, end): not a copy, valid until the next push.

        Raises IndexError where they are not held.
        """
        if not (self._first <= start <= end <= self.end <= start + self.capacity):
            raise IndexError(f"[{start}, {end}) is not within [{self.start}, {self.end})")
        return self._memory[start - self._base : end - self._base]


def cut(block: Block, size: int) -> Iterator[Block] | tuple[Block]:
    """Return the block in consecutive pieces of at most `size` samples."""
    if len(block.samples) <= size:
        return (block,)
    return (_piece(block, at, size) for at in range(0, len(block.samples), size))


def _piece(block: Block, at: int, size: int) -> Block:
    wall = None if block.wall_time is None else block.wall_time + at / block.rate
    return Block(block.samples[at : at + size], block.start + at, block.rate, wall)
