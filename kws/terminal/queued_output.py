"""QueuedOutput: printing that never waits for whoever reads it."""

from __future__ import annotations

import io
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

from kws.terminal.safe_output import SafeStream

MOST_BYTES = 1 << 18
"""What waits for a reader at most; what is written beyond that is dropped and counted."""
DRAIN_S = 1.0
"""How long the end waits at most for what is still queued."""
RETRY_S = 0.05
"""Seconds until the next try where the descriptor is set to never block, and is full."""


class QueuedOutput(io.TextIOBase):
    """A text stream whose writes return at once; a thread of its own passes them on.

    A terminal that was stopped with Ctrl-S, or a pipe that nobody reads, then holds up that thread
    and nobody else. Whole lines are queued, and what `flush` finds of an unfinished one.

    stream: where it goes; it must have a raw file below, and hold nothing unwritten.
    dropped: lines that found no room so far, or could not be written.
    notice: makes the text that stands in place of so many dropped lines; None: nothing does.
    failed: is called on the writing thread when the reader is gone; whoever writes then gets the
    error. None: then lines are dropped.
    failure: that error.
    """

    def __init__(self, stream: Any, failed: Callable[[], object] | None = None) -> None:
        self._stream, self._raw, self._failed = stream, _raw(stream), failed
        self.notice: Callable[[int], str] | None = None
        self.dropped = 0
        self.failure: OSError | None = None
        self._line = ""
        self._queue: deque[bytes] = deque()
        self._waiting = 0  # bytes, with those that are being written
        self._told = 0  # dropped lines whose notice is queued
        self._full = self._ending = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="output", daemon=True)
        self._thread.start()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The encoding of what it writes to."""
        return str(self._stream.encoding)

    def fileno(self) -> int:
        """Return the descriptor that it writes to."""
        return int(self._raw.fileno())

    def isatty(self) -> bool:
        """Return whether it writes to a terminal."""
        return bool(self._raw.isatty())

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, text: str, /) -> int:
        """Queue the lines that are whole now. Raises BrokenPipeError: the reader is gone."""
        if self.failure is not None:
            raise self.failure
        with self._changed:
            lines, end, self._line = (self._line + text).rpartition("\n")
            if end:
                self._put(lines + end)
        return len(text)

    def flush(self) -> None:
        """Queue what is there of an unfinished line; wait for nobody."""
        with self._changed:
            if self._line:
                text, self._line = self._line, ""
                self._put(text)

    def drain(self, timeout: float) -> None:
        """Take nothing more, and wait until all is written, so long at most; drop the rest."""
        self.flush()
        with self._changed:
            self._ending = True
            self._changed.notify()
        self._thread.join(timeout)
        with self._changed:
            self.dropped += sum(data.count(b"\n") for data in self._queue)
            self._queue.clear()

    def _put(self, text: str) -> None:
        data = self._encoded(text)
        # Once full, half of it must have gone before more is taken: one gap instead of many.
        room = (MOST_BYTES // 2 if self._full else MOST_BYTES) - self._waiting
        self._full = len(data) > room and self._waiting > 0
        if self._full or self._ending:
            self.dropped += max(1, text.count("\n"))
            return
        if self.notice is not None and self.dropped > self._told:
            data = self._encoded(self.notice(self.dropped - self._told)) + data
            self._told = self.dropped
        self._queue.append(data)
        self._waiting += len(data)
        self._changed.notify()

    def _encoded(self, text: str) -> bytes:
        return text.replace("\n", os.linesep).encode(self.encoding, self._stream.errors)

    def _run(self) -> None:
        while self.failure is None and (data := self._next()) is not None:
            self._try(data)

    def _try(self, data: bytes) -> None:
        try:
            self._write(data)
        except (OSError, ValueError) as error:  # a full disk, say; ValueError: it was closed
            self.dropped += max(1, data.count(b"\n"))
            if isinstance(error, BrokenPipeError) and self._failed is not None:
                self.failure = error
                self._failed()

    def _next(self) -> bytes | None:
        with self._changed:
            while not self._queue and not self._ending:
                self._changed.wait()
            return self._queue.popleft() if self._queue else None

    def _write(self, data: bytes) -> None:
        left = memoryview(data)
        try:
            while left:
                written = self._raw.write(left)
                if written is None:  # the descriptor doesn't block, and is full
                    time.sleep(RETRY_S)
                    continue
                left = left[written:]
        finally:
            with self._changed:
                self._waiting -= len(data)


def _raw(stream: Any) -> Any:
    """Return the file below a stream; None: there is none. PYTHONUNBUFFERED leaves out a layer."""
    buffer = getattr(stream, "buffer", None)
    raw = getattr(buffer, "raw", buffer)
    return raw if isinstance(raw, io.RawIOBase) else None


@contextmanager
def queued_output(
    *names: str, failed: Callable[[], object] | None = None
) -> Iterator[list[QueuedOutput]]:
    """Let what is printed to `sys.stdout`, `sys.stderr` (by these names) wait for no reader.

    In the end what is queued is written, within `DRAIN_S`. failed: called when the reader of
    stdout is gone. Streams without a file below them, as tests have, stay as they are; yields
    those that were replaced.
    """
    before = {name: getattr(sys, name) for name in names}
    replaced: list[QueuedOutput] = []
    for name, stream in before.items():
        if _raw(stream) is not None:
            stream.flush()
            replaced.append(QueuedOutput(stream, failed if name == "stdout" else None))
            # What made a stream harmless must still do so.
            safe = isinstance(stream, SafeStream)
            setattr(sys, name, SafeStream(cast(TextIO, replaced[-1])) if safe else replaced[-1])
    try:
        yield replaced
    finally:
        until = time.monotonic() + DRAIN_S
        for each in replaced:
            each.drain(max(0.0, until - time.monotonic()))
        for name, stream in before.items():
            setattr(sys, name, stream)
