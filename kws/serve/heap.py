"""Heap: how the C library keeps memory for a process that lives for months."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress

ARENA_MAX, MMAP_THRESHOLD = -8, -3
"""Their numbers in glibc's malloc.h."""
LARGE = 131_072
"""Bytes; what glibc begins with, too, but raises as it sees fit unless told."""


def keep_small() -> None:
    """Let what is freed be of use again; to be called before models are loaded and threads begin.

    By itself glibc keeps a heap for each thread, up to eight a core, and large pieces in between:
    sinks and models that come and go leave holes in all of them, and memory creeps up for hours
    although no more of it is in use.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another C library, which knows no such thing
            mallopt = ctypes.CDLL(None).mallopt
            mallopt(ARENA_MAX, 1)
            mallopt(MMAP_THRESHOLD, LARGE)
