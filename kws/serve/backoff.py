"""Backoff: how long to wait before the next try."""

from __future__ import annotations

FIRST_S, LONGEST_S = 0.5, 30.0
SOON_S, SOON_TRIES = 3.0, 10
"""What has worked a moment ago is tried so often with no longer waits."""
GOOD_S = 10.0
"""What was heard for so long before it was lost is tried again at once."""


class Backoff:
    """Doubles from half a second to half a minute, until something has gone well for a while.

    What comes and goes is tried every few seconds: it may be back already.
    """

    def __init__(self) -> None:
        self._next, self._tries = FIRST_S, SOON_TRIES

    def wait_s(self) -> float:
        """Return the seconds to wait before the next try."""
        wait = min(self._next, SOON_S) if self._tries < SOON_TRIES else self._next
        self._next, self._tries = min(2 * wait, LONGEST_S), self._tries + 1
        return wait

    def went_well(self, seconds: float) -> None:
        """Take note that it worked for so long."""
        self._tries = 0
        if seconds >= GOOD_S:
            self._next = FIRST_S

    def restart(self) -> None:
        """Take note that something has changed, so that it may work now, or in a moment."""
        self._next, self._tries = FIRST_S, 0
