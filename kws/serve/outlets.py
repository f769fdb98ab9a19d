"""Outlets: who is told, each behind a queue and a thread of its own, so that no one waits."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

Item = TypeVar("Item")

QUEUE = 256
"""Facts that wait at most; then the oldest are dropped: late news is no news."""


class Outlet(Generic[Item]):
    """Hands items to `take`, one after another, on its own thread.

    take: may take its time; what it raises as OSError is told and forgotten. begin, end: called
    on that thread before the first item and after the last; `abandon` calls end from another.
    wants: which items it takes. say: is told one line, with its level. sent, failed, dropped:
    counts.
    """

    def __init__(
        self,
        name: str,
        take: Callable[[Item], None],
        say: Callable[[str, str], None],
        *,
        begin: Callable[[], None] | None = None,
        end: Callable[[], None] | None = None,
        wants: Callable[[Item], bool] | None = None,
        size: int = QUEUE,
    ) -> None:
        self.name = name
        self.sent = self.failed = self.dropped = 0
        self._take, self._say, self._begin, self._end = take, say, begin, end
        self._wants = wants
        self._waiting: deque[Item] = deque()
        self._size, self._closing, self._taking = size, False, False
        self._changed = threading.Condition()
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, item: Item) -> None:
        """Queue an item, without ever waiting."""
        if self._wants is not None and not self._wants(item):
            return
        with self._changed:
            if len(self._waiting) == self._size:
                self._waiting.popleft()
                self.dropped += 1
                if self.dropped & (self.dropped - 1) == 0:  # 1, 2, 4, 8: a storm fills no log
                    self._say("warning", f"{self.name} is too slow: {self.dropped} dropped so far")
            self._waiting.append(item)
            self._changed.notify()

    def finish(self) -> None:
        """Take nothing more; what waits is still told."""
        with self._changed:
            self._closing = True
            self._changed.notify()

    def join(self, timeout: float) -> int:
        """Wait for it to end; return how many items were not told in time."""
        self._thread.join(timeout)
        with self._changed:  # a thread that only has not ended yet leaves nothing untold
            return len(self._waiting) + self._taking

    @property
    def running(self) -> bool:
        """Whether its thread has not ended."""
        return self._thread.is_alive()

    def drop(self) -> None:
        """Tell nothing more of what waits."""
        with self._changed:
            self.dropped += len(self._waiting)
            self._waiting.clear()

    def abandon(self) -> None:
        """Tell nothing more of what waits, and call `end` while an item may still be told."""
        self.drop()
        if self._end is not None:
            threading.Thread(target=self._try, args=[self._end], daemon=True).start()

    def _run(self) -> None:
        try:
            if self._begin is not None:
                self._try(self._begin)
            while (item := self._next()) is not None:
                try:
                    self._try(partial(self._take, item), counts=True)
                finally:
                    self._taking = False
            if self._end is not None:
                self._try(self._end)
        except BaseException as error:  # noqa: BLE001 - the daemon ends, and says why
            self.failure = error

    def _next(self) -> Item | None:
        with self._changed:
            while not self._waiting and not self._closing:
                self._changed.wait()
            self._taking = bool(self._waiting)
            return self._waiting.popleft() if self._waiting else None

    def _try(self, step: Callable[[], None], *, counts: bool = False) -> None:
        try:
            step()
            self.sent += counts
        except OSError as error:
            self.failed += counts
            self._say("warning", f"{self.name}: {error}")
