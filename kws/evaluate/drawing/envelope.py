"""Envelope: what is left of a long line where a picture has few columns: lows and highs."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from kws.flow import Samples

COLUMNS = 2_000
"""A picture has about so many columns; of more audio, their lowest and highest are kept."""
LAST = 1 << 62


class Envelope:
    """The lowest and highest sample of every column, however long it becomes.

    first, end: the samples it is about.
    """

    def __init__(self, first: int, end: float = LAST) -> None:
        self.first, self._end = first, math.ceil(end)
        self.step, self.count = 1, 0
        self._low = np.full(2 * COLUMNS, np.inf, np.float32)
        self._high = -self._low

    def add(self, start: int, samples: Samples) -> None:
        """Take mono samples, those of them that it is about."""
        samples = samples[max(0, self.first - start) : max(0, self._end - start)]
        if not len(samples):
            return
        at = max(start, self.first) - self.first
        while at + len(samples) > len(self._low) * self.step:
            self._halve()
        columns = np.arange(at // self.step, (at + len(samples) - 1) // self.step + 1)
        edges = np.maximum(columns * self.step - at, 0)
        self._low[columns] = np.minimum(self._low[columns], np.minimum.reduceat(samples, edges))
        self._high[columns] = np.maximum(self._high[columns], np.maximum.reduceat(samples, edges))
        self.count = int(columns[-1]) + 1

    def _halve(self) -> None:
        self._low[:COLUMNS] = self._low.reshape(-1, 2).min(axis=1)
        self._high[:COLUMNS] = self._high.reshape(-1, 2).max(axis=1)
        self._low[COLUMNS:], self._high[COLUMNS:] = np.inf, -np.inf
        self.step, self.count = 2 * self.step, -(-self.count // 2)

    def columns(self, most: int) -> tuple[int, Samples, Samples]:
        """Return the samples a column, the lowest and the highest of each: float32 [columns].

        most: there are hardly more columns than that.
        """
        fold = max(1, self.count // max(1, most))
        edges = np.arange(0, self.count, fold)
        if not len(edges):
            return self.step, self._low[:0], self._high[:0]
        low = np.minimum.reduceat(self._low[: self.count], edges)
        high = np.maximum.reduceat(self._high[: self.count], edges)
        return self.step * fold, low, high


def thinned(
    x: NDArray[np.float64], y: NDArray[np.float32], columns: int
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Return the lowest and highest point of every column, and every gap, in order."""
    if len(x) <= 4 * columns:
        return x, y
    column = ((x - x[0]) / (x[-1] - x[0]) * columns).astype(np.int64)
    order = np.lexsort((y, column))  # NaN comes last within its column
    order = order[np.isfinite(y[order])]
    first = np.flatnonzero(np.diff(column[order], prepend=-1))
    last = np.append(first[1:], len(order)) - 1
    kept = np.unique(np.concatenate([order[first], order[last], np.flatnonzero(np.isnan(y))]))
    return x[kept], y[kept]
