"""Backoff: how long to wait before the next try."""

from __future__ import annotations

FIRST_S, LONGEST_S = 0.5, 30.0
GOOD_S = 10.0
"""What was heard for so long before it was lost is tried again at once."""


class Backoff:
    """Doubles from half a second to half a minute, until something has gone well for a while."""

    def __init__(self) -> None:
        self._next = FIRST_S

    def wait_s(self) -> float:
        """Return the seconds to wait before the next try."""
        wait, self._next = self._next, min(2 * self._next, LONGEST_S)
        return wait

    def went_well(self, seconds: float) -> None:
        """Take note that it worked for so long."""
        if seconds >= GOOD_S:
            self._next = FIRST_S
