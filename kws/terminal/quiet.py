"""Quiet: what C libraries write to stderr stays off it; ALSA writes a lot, and means little."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Send file descriptor 2 to nowhere; what Python prints to stderr still arrives."""
    if sys.__stderr__ is None or sys.stderr is not sys.__stderr__:
        yield  # a test or a program has its own stderr: leave all as it is
        return
    sys.stderr.flush()
    real, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    previous = sys.stderr
    sys.stderr = os.fdopen(os.dup(real), "w", buffering=1, encoding=previous.encoding)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(real, 2)
        sys.stderr.close()
        sys.stderr = previous
        os.close(real)
        os.close(nowhere)
