"""Audience: all sinks, each behind its outlet, as the config says."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

from kws import sinks
from kws.errors import ConfigError
from kws.files import read_regular
from kws.home import expanded
from kws.roles import known
from kws.serve import logs
from kws.serve.build import Built
from kws.serve.config import Sink
from kws.serve.ears import DiedError
from kws.serve.outlets import Outlet
from kws.serve.seldom import Seldom
from kws.serve.where import about
from kws.sinks import Around, Fact, Heard, Playing

HANDOVER_S = 1.0
"""So long what is replaced may take to finish: two with one name would get in each other's way."""
ABANDON_S = 0.1
"""So long the end may take of what is told nothing more."""


@dataclass(frozen=True)
class Seat:
    """A sink that is wanted, what it may know, and the sink itself, not opened yet.

    files: hashes of what its settings name; None: it can't be read.
    """

    wanted: Sink
    around: Around
    sink: sinks.Sink
    files: tuple[bytes | None, ...] = ()

    def same(self, other: Seat) -> bool:
        """Whether the other one may go on in its place."""
        mine = (self.wanted, self.around, self.files)
        return mine == (other.wanted, other.around, other.files)

    def outlet(self, free: Callable[[], object]) -> Outlet[Fact]:
        """Open it, on a thread of its own. free: waits until it may be opened."""
        kinds = tuple(sinks.FACTS[name] for name in self.wanted.events) or tuple(self.sink.wants)
        words = self.wanted.keywords

        def wants(fact: Fact) -> bool:
            named = not words or not isinstance(fact, Heard) or fact.keyword in words
            return isinstance(fact, kinds) and named

        def begin() -> None:
            free()
            self.sink.start()

        return Outlet(
            self.wanted.type,
            self.sink.send,
            logs.say,
            begin=begin,
            end=self.sink.close,
            wants=wants,
        )


class Audience:
    """Those who are told."""

    def __init__(self) -> None:
        self._seats: list[tuple[Seat, Outlet[Fact]]] = []
        self._left: list[Outlet[Fact]] = []  # replaced, but perhaps not at their end yet
        self._telling = threading.Lock()  # or one that leaves might be told after its end
        self._playing = Seldom()

    def arrange(self, wanted: list[Seat]) -> None:
        """Tell these from now on; those that stay the same go on as they are.

        A new one is opened when those that leave are closed; what is told meanwhile waits for it.
        """
        stay: list[tuple[Seat, Outlet[Fact]]] = []
        leave: list[tuple[Seat, Outlet[Fact]]] = []
        for seat, outlet in self._seats:
            same = next((each for each in wanted if each.same(seat)), None)
            (leave if same is None else stay).append((seat, outlet))
            wanted = [each for each in wanted if each is not same]
        remain = [seat.sink for seat, _ in stay] + [seat.sink for seat in wanted]
        for seat, _ in leave:
            if isinstance(seat.sink, sinks.Retaining):
                seat.sink.withdraw(remain)
        ended = threading.Event()

        def end() -> None:
            _finish([outlet for _, outlet in leave], HANDOVER_S)
            ended.set()

        self._left = [*filter(attrgetter("running"), self._left), *(outlet for _, outlet in leave)]
        come = [(seat, seat.outlet(ended.wait)) for seat in wanted]
        with self._telling:
            self._seats = [*stay, *come]
        threading.Thread(target=end, name="handover", daemon=True).start()

    def tell(self, fact: Fact) -> None:
        """Tell everyone, without waiting for anyone. From any thread."""
        # Any client may turn the playback on and off, without end.
        logs.tell(fact, self._playing.say if isinstance(fact, Playing) else logs.say)
        with self._telling:
            for _, outlet in self._seats:
                outlet.put(fact)

    @property
    def outlets(self) -> list[Outlet[Fact]]:
        """Each sink's outlet, for its counts. From any thread."""
        return [outlet for _, outlet in self._seats]

    def check(self) -> None:
        """Raise DiedError where one died of something else than what it is told to expect."""
        for _, outlet in self._seats:
            if (failure := outlet.failure) is not None:
                what = f"{type(failure).__name__}: {failure}"
                raise DiedError(f"sink {outlet.name}: its thread died ({what})")

    def close(self, timeout: float) -> None:
        """Tell what is waiting, then end what has not come to its end."""
        outlets = [*self._left, *(outlet for _, outlet in self._seats)]
        _finish(outlets, timeout)
        hanging = [outlet for outlet in outlets if outlet.running]
        for outlet in hanging:
            outlet.abandon()
        _join(hanging, ABANDON_S)


def seats(built: Built, path: Path | None, playback: sinks.OnOff) -> list[Seat]:
    """Make the sinks that the config names; nothing is opened. Raises ConfigError."""
    names = tuple(each.name for each in built.config.microphone)
    around = Around(built.keywords, names, playback, _say, None if path is None else str(path))
    found = []
    for number, wanted in enumerate(built.config.sinks):
        with about("sink", number, "keywords"):
            known(wanted.keywords, built.words, "keyword")
        with about("sink", number):
            made = sinks.make(wanted.type, wanted.settings, around)
            found.append(Seat(wanted, around, made, _contents(wanted.settings)))
    return found


def _contents(settings: object) -> tuple[bytes | None, ...]:
    """Return what tells whether the files that settings name have changed: passwords, most of all.

    They are named by settings that end in `_file`.
    """
    names = [name for name in getattr(settings, "__struct_fields__", ()) if name.endswith("_file")]
    return tuple(_hash(value) for name in names if (value := getattr(settings, name)))


def _hash(file: str) -> bytes | None:
    try:
        return hashlib.sha256(read_regular(expanded(file))).digest()
    except (ConfigError, OSError):
        return None


_WARNINGS = Seldom()


def _say(level: str, text: str) -> None:
    """Write a line of a sink; of warnings, which a broker's clients can cause, so many a minute."""
    (_WARNINGS.say if level == "warning" else logs.say)(level, text)


def _finish(outlets: list[Outlet[Fact]], timeout: float) -> None:
    for outlet in outlets:
        outlet.finish()
    for outlet, left in _join(outlets, timeout):
        if left:
            outlet.drop()  # or it would go on beside the one that takes its place
            logs.say("warning", f"{outlet.name}: ended with {left} untold")


def _join(outlets: list[Outlet[Fact]], timeout: float) -> list[tuple[Outlet[Fact], int]]:
    """Wait until all have ended, or the time is over; return what each has not told."""
    until = time.monotonic() + timeout
    return [(outlet, outlet.join(max(0.0, until - time.monotonic()))) for outlet in outlets]
