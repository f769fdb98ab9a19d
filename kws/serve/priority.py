"""Priority: who goes first where there is too little processor for all."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress

NICENESS = 10


def make_way() -> None:
    """Let this thread, which works for others, go after our own microphones'."""
    if sys.platform == "linux":  # elsewhere it would be the whole process
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
