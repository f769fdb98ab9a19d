"""What a soak counts: what each outlet was given and did with it, and the daemon's ticks."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

from kws.serve.notify import Notify
from kws.serve.outlets import Outlet
from kws.sinks import command, jsonl

DISK = "disk"
"""The name of the folder that becomes full."""


class Ledger:
    """What outlets were given, and what became of it, by name; of those that are gone, too."""

    def __init__(self) -> None:
        self.figures: defaultdict[str, Counter[str]] = defaultdict(
            lambda: Counter(given=0, sent=0, failed=0, dropped=0)
        )
        self._lock = threading.Lock()
        self.outlets: list[Counted] = []

    def settle(self, timeout: float) -> None:
        """Wait until the replaced outlets have ended, each at most for the time limit."""
        for outlet in [one for one in self.outlets if one.closing]:
            outlet.join(timeout)
        self.outlets = [one for one in self.outlets if one.running]

    def add(self, name: str, **counts: int) -> None:
        """Count on, from any thread."""
        with self._lock:
            self.figures[name].update(counts)


class Counted(Outlet[Any]):
    """An outlet that enters its figures."""

    def __init__(
        self, ledger: Ledger, name: str, take: Callable[[Any], None], *options: Any, **named: Any
    ) -> None:
        self._ledger, self._entry = ledger, f"{name}{_which(take)}"
        super().__init__(name, take, *options, **named)
        ledger.outlets.append(self)

    @property
    def thread(self) -> threading.Thread:
        """The thread on which it tells."""
        return self._thread

    @property
    def closing(self) -> bool:
        """Whether it takes nothing more."""
        return self._closing

    def put(self, item: Any) -> None:
        """Queue an item."""
        if self._wants is None or self._wants(item):
            self._ledger.add(self._entry, given=1)
        super().put(item)

    def _run(self) -> None:
        super()._run()
        counts = {"sent": self.sent, "failed": self.failed, "dropped": self.dropped}
        self._ledger.add(self._entry, **counts)


def _which(take: Callable[[Any], None]) -> str:
    """Return what tells sinks of one type apart: a file, a program."""
    sink = getattr(take, "__self__", None)
    if isinstance(sink, jsonl.Sink):
        path = sink._path  # noqa: SLF001
        if path is None:
            return " to stdout"
        return " on the full disk" if path.parent.name == DISK else ""
    return f" {sink._name}" if isinstance(sink, command.Sink) else ""  # noqa: SLF001


class Watched(Notify):
    """Counts how often the daemon looked after everything, and fed the watchdog."""

    def __init__(self) -> None:
        super().__init__({})
        self.ticks = self.fed = 0

    def status(self, text: str) -> None:
        """Take note of a tick."""
        self.ticks += 1

    def watchdog(self) -> None:
        """Take note that all was well."""
        self.fed += 1
