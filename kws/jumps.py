"""Jumps: where audio is missing between two hops of scores."""

from __future__ import annotations

from kws.flow import Scores


class JumpDetector:
    """Detects jumps in the scores of one or several models.

    models: how many there are.
    """

    def __init__(self, models: int) -> None:
        self._models = models
        self.reset()

    def reset(self) -> None:
        """Expect the start of another stream."""
        self._expected: list[int | None] = [None] * self._models
        self._last: int | None = None

    def jumped(self, hop: Scores) -> bool:
        """Take each hop in turn; return whether audio is missing before it.

        Every model meets the same jump, each at its own first hop after it: only the first of
        them counts.
        """
        expected, self._expected[hop.model] = self._expected[hop.model], hop.end
        if expected in (None, hop.start) or hop.start == self._last:
            return False
        self._last = hop.start
        return True
