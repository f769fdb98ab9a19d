"""Clock: how time goes by, for what must notice that the computer slept."""

from __future__ import annotations

import sys
import time


def elapsed_s() -> float:
    """Return seconds since some moment, by a clock that runs on while the computer sleeps.

    No one sets it, unlike the wall clock.
    """
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    if sys.platform == "darwin":
        return time.clock_gettime(time.CLOCK_MONOTONIC)  # time.monotonic() stands still there
    return time.monotonic()
