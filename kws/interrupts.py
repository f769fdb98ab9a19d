"""Interrupts: let signals, and a time limit, end a model's call that would never come back.

Python handles a signal between two steps of its own, which it does not reach while a graph runs.
"""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

ENDING = frozenset({signal.SIGINT, signal.SIGTERM})
MAIN = threading.main_thread().ident
STEP_S = 0.05
"""So often a further call is looked for when the time is over."""


_running: list[Any] = []
"""Options of the call that the main thread makes, an onnxruntime.RunOptions: none or one."""


@contextmanager
def signals_end_calls() -> Iterator[None]:
    """Let SIGINT and SIGTERM end the call that the main thread makes; their handlers run then.

    Those that Python handles: others end the process at once. Does nothing on another thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reads, writes = socket.socketpair()
    writes.setblocking(False)
    before = signal.set_wakeup_fd(writes.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=[reads], name="signals", daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        writes.close()  # ends the thread


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """End what calls the main thread still makes in here after so long."""
    done = threading.Event()

    def end() -> None:
        late = seconds
        while not done.wait(late):
            _end_call()
            late = STEP_S

    threading.Thread(target=end, name="time limit", daemon=True).start()
    try:
        yield
    finally:
        done.set()


def _watch(reads: socket.socket) -> None:
    with reads:
        while signals := reads.recv(64):
            if ENDING.intersection(signals):
                _end_call()


def begin_call(options: Any) -> Any:
    """Take note that a graph begins to run; return its options, None on other threads."""
    if threading.get_ident() != MAIN:
        return None
    options.terminate = False
    _running.append(options)
    return options


def finish_call(options: Any) -> None:
    """Take note that what began with these options has ended."""
    if options is not None:
        _running.remove(options)


def _end_call() -> None:
    """End the main thread's call, if there is one."""
    for options in _running:
        options.terminate = True
