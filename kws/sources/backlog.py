"""Backlog: audio that waits for its consumer, a bounded while."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Piece:
    """What one callback brought: raw bytes, `length` moments of them from `start` on.

    wall_time: seconds since the epoch of the first.
    """

    data: bytes
    start: int
    length: int
    wall_time: float

    @property
    def end(self) -> int:
        """Absolute index one past the last sample."""
        return self.start + self.length


class Backlog:
    """A queue between two threads that never blocks the one that fills it.

    rate: Hz. seconds: it holds at most; then the older half is dropped at once, so that a
    consumer that stays slow loses audio rarely, as one jump of `start`. `lost`: samples dropped
    so far. `end`: index of the sample that comes next.
    """

    def __init__(self, rate: int, seconds: float) -> None:
        self._limit = round(rate * seconds)
        self._pieces: deque[Piece] = deque()
        self._changed = threading.Condition()
        self._waiting, self._least = 0, 1
        self.end = self.lost = 0
        self.closed = False

    def push(self, data: bytes, length: int, wall_time: float, *, missing: int = 0) -> None:
        """Append a piece; `missing`: so many samples were dropped before it, by somebody else."""
        with self._changed:
            self.end += missing if self.end else 0
            self._pieces.append(Piece(data, self.end, length, wall_time))
            self.end += length
            self._waiting += length
            if self._waiting > self._limit:
                self._drop()
            if len(self._pieces) >= self._least:
                self._changed.notify()

    def take(self, timeout: float, least: int = 1) -> Piece | None:
        """Return the oldest piece, after `timeout` seconds at most; None: none came, or closed.

        least: sooner only when there are so many.
        """
        with self._changed:
            self._least = least
            if len(self._pieces) < least and not self.closed:
                self._changed.wait(timeout)
            if not self._pieces or self.closed:
                return None
            piece = self._pieces.popleft()
            self._waiting -= piece.length
            return piece

    def close(self) -> None:
        """Wake whoever waits; there is nothing to take from now on."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()

    def _drop(self) -> None:
        while self._waiting > self._limit // 2:
            length = self._pieces.popleft().length
            self._waiting -= length
            self.lost += length
