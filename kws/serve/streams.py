"""Streams: many streams of audio from elsewhere, heard with the same models on one thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from kws.flow import Detection, Event, Samples
from kws.spotter import Spotter


class Streams:
    """Hears for whoever asks on an event loop, which never waits for a model.

    An ear has one piece of audio waiting at most, for its owner awaits what was heard: what comes
    too fast waits in the network, and all that waits together is no more than a piece a stream.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: list[_Job] = []
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="streams", daemon=True)
        self._thread.start()

    def open(self, make: Callable[[], Spotter], words: Iterable[str]) -> Ear:
        """Begin a stream. make: its spotter, on the thread of this; words: which are told."""
        return Ear(self._put, make, words)

    def close(self, timeout: float) -> None:
        """Hear nothing more."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout)

    def _put(self, job: _Job) -> asyncio.Future[list[Detection]]:
        with self._changed:
            self._waiting.append(job)
            self._changed.notify()
        return job.heard

    def _run(self) -> None:
        while jobs := self._next():
            done = _round(jobs)
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(_settle, done)

    def _next(self) -> list[_Job]:
        """Return all that waits; nothing: it is over."""
        with self._changed:
            while not self._waiting and not self._closing:
                self._changed.wait()
            jobs, self._waiting = self._waiting, []
            return [] if self._closing else jobs


class Ear:
    """One stream of audio, from 0 s on. All methods return at once, what was heard comes later."""

    def __init__(
        self,
        put: Callable[[_Job], asyncio.Future[list[Detection]]],
        make: Callable[[], Spotter],
        words: Iterable[str],
    ) -> None:
        self._put, self._make = put, make
        self._spotter: Spotter | None = None
        self._words, self._armed = frozenset(words), frozenset[str]()

    def arm(self, words: Iterable[str]) -> None:
        """Listen for these from the next audio on; for none of them: tell nothing."""
        self._words = frozenset(words)

    def hear(self, samples: Samples, rate: int) -> asyncio.Future[list[Detection]]:
        """Hear samples, float32 [n] or [n, channels]."""
        return self._ask(samples, rate)

    def finish(self) -> asyncio.Future[list[Detection]]:
        """Hear the silence after the end, so that the last word is known."""
        return self._ask(None, 0)

    def _ask(self, samples: Samples | None, rate: int) -> asyncio.Future[list[Detection]]:
        heard: asyncio.Future[list[Detection]] = asyncio.get_running_loop().create_future()
        return self._put(_Job(self, samples, rate, heard))

    def _do(self, samples: Samples | None, rate: int) -> list[Detection]:
        """Hear a piece; None: the end."""
        spotter, words = self._ready(), self._words
        events: Sequence[Event]
        events = spotter.finish() if samples is None else spotter.push(samples, rate)
        return [e for e in events if isinstance(e, Detection) and e.keyword in words]

    def _ready(self) -> Spotter:
        """Return the spotter, which listens for what is wanted."""
        if self._spotter is None:
            self._spotter = self._make()
            self._levels = self._spotter.thresholds
        if self._words and self._words != self._armed:
            self._armed = self._words
            self._spotter.set_keywords(sorted(self._armed))
            levels = {name: self._levels[name] for name in self._spotter.thresholds}
            self._spotter.set_threshold(levels)
        return self._spotter


@dataclass(frozen=True, eq=False)
class _Job:
    """A piece of audio that waits, None: the end; and who waits for what was heard."""

    ear: Ear
    samples: Samples | None
    rate: int
    heard: asyncio.Future[list[Detection]]


_Done = tuple[_Job, "list[Detection] | Exception"]


def _round(jobs: list[_Job]) -> list[_Done]:
    """Hear what came for several streams, each at most once.

    Here, and nowhere else, their audio is in one place: this is where hops of many streams can
    become one call of the model.
    """
    done: list[_Done] = []
    for job in jobs:
        if job.heard.cancelled():
            continue
        try:
            done.append((job, job.ear._do(job.samples, job.rate)))  # noqa: SLF001 - one room
        except Exception as error:  # noqa: BLE001 - whose stream it is hears of it, no one else
            done.append((job, error))
    return done


def _settle(done: list[_Done]) -> None:
    for job, result in done:
        if job.heard.done():
            continue
        if isinstance(result, Exception):
            job.heard.set_exception(result)
        else:
            job.heard.set_result(result)
