"""Quiet: what C libraries write to stderr stays off it; ALSA writes a lot, and means little."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Send file descriptor 2 to nowhere; what Python prints to stderr still arrives.

    So it is once more when Python ends, having said all it has to say: what a thread still holds
    then, a library may take for a fault of its own.
    """
    if sys.__stderr__ is None or sys.stderr is not sys.__stderr__:
        yield  # a test or a program has its own stderr: leave all as it is
        return
    sys.stderr.flush()
    real, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    previous = sys.stderr
    sys.stderr = os.fdopen(
        os.dup(real), "w", buffering=1, encoding=previous.encoding, errors=previous.errors
    )
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(real, 2)
        sys.stderr.close()
        sys.stderr = previous
        os.close(real)
        os.close(nowhere)
        atexit.register(_end_quietly)


def _end_quietly() -> None:
    sys.stderr.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
