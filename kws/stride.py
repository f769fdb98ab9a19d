"""Stride: at which hops a window model is called, so that it costs less while nothing is said."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kws.card import Card
from kws.flow import Samples


class CallSchedule:
    """Decides hop by hop whether a window model is called, from what its last calls gave.

    It depends on audio time and scores alone, so that it is the same however audio is cut. Hops
    are counted from the stream's beginning, not from a jump: several models of the same hop are
    called on the same windows.

    card: the model's; without a stride it is called at every hop.
    """

    def __init__(self, card: Card) -> None:
        self._stride, self._hop = card.stride, card.hop
        self._keywords = [n for n, each in enumerate(card.labels) if each.role != "background"]
        self.begin()

    def begin(self) -> None:
        """Expect the first hop after the start or a jump: it is called at once."""
        self._near = 1

    def is_due(self, end: int) -> bool:
        """Return whether the model is called at the hop that ends at this sample."""
        return self._stride is None or self._near > 0 or end // self._hop % self._stride.hops == 0

    def note(self, scores: Samples) -> None:
        """Take what a call gave: float32 [labels]."""
        if self._stride is None:
            return
        if scores[self._keywords].max(initial=0) >= self._stride.level:
            self._near = 2  # the next hop, and the one after it
        else:
            self._near = max(0, self._near - 1)


def strided(
    scores: NDArray[np.float32], card: Card, *, first: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return what remains of scores [hops, labels] of every hop where the card has a stride.

    first: the number of the first hop, whose window ends at (first + 1) * hop; it follows the
    start or a jump. Returns float32 [hops, labels], where the model isn't called the last scores,
    and bool [hops], where it is called.
    """
    called = np.ones(len(scores), bool)
    if card.stride is None:
        return scores, called
    schedule, found = CallSchedule(card), scores.copy()
    for number in range(len(scores)):
        called[number] = schedule.is_due((first + number + 1) * card.hop)
        if called[number]:
            schedule.note(scores[number])
        else:
            found[number] = found[number - 1]
    return found, called
