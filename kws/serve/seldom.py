"""Seldom: lines that strangers cause, so many a minute; nobody fills a disk from outside."""

from __future__ import annotations

import threading
import time

from kws.serve import logs

LINES, SPAN_S = 10, 60.0
"""So many lines in so long; then only how many more there were, with the next line."""


class Seldom:
    """Says the first lines of each minute. From any thread."""

    def __init__(self) -> None:
        self._began, self._said, self._more = 0.0, 0, 0
        self._lock = threading.Lock()

    def say(self, level: str, text: str) -> None:
        """Write a line, unless there were too many."""
        now = time.monotonic()
        with self._lock:
            if not self._said or now - self._began >= SPAN_S:
                self._began, self._said = now, 0
            if self._said == LINES:
                self._more += 1
                return
            self._said += 1
            if self._more:
                text += f" (and {self._more} more like it, before)"
                self._more = 0
        logs.say(level, text)
