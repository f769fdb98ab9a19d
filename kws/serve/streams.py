"""Streams: many streams of audio from elsewhere, heard with the same models on one thread."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias

from numpy.typing import NDArray

from kws.flow import Detection, Event, VerifierFailed, VerifierStats
from kws.serve.priority import make_way
from kws.serve.seldom import Seldom
from kws.steps import Steps, together

if TYPE_CHECKING:
    from kws.spotter import Spotter

GATHER_S = 0.01
"""Rounds begin so far apart at least: what comes meanwhile is heard together."""
TURN_S = 0.5
"""A stream's turn: so much of its audio is heard before others have theirs."""
FULL, PIECE = 65_536, 512
"""Bytes that may wait for a stream; and what a piece of them weighs beside its samples."""

Heard: TypeAlias = "list[Detection] | Exception"
Samples: TypeAlias = NDArray[Any]


class Streams:
    """Hears for whoever asks on event loops, which never wait for a model.

    What comes at the same time is heard in one round, on a thread that makes way for our own
    microphones; it begins with the first stream.

    verifiers: by protocol, what the verifiers of all its streams have done; none where there are
    no verifiers. May be read from any thread.
    """

    def __init__(self) -> None:
        self._waiting: list[Ear] = []
        self._closing = False
        self._began = 0.0  # the last round
        self.complaints = Seldom()
        self.verifiers: dict[str, VerifierStats] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def open(
        self,
        make: Callable[[], Spotter],
        words: Iterable[str],
        told: Callable[[Heard], None],
        *,
        protocol: str,
    ) -> Ear:
        """Begin a stream for the loop that runs here.

        make: its spotter, on the thread of this. words: which are told. told: is called on the
        loop after each turn, with the words of it, or with what went wrong: that ends the stream.
        protocol: by which it came, and under which it is counted.
        """
        with self._changed:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="streams", daemon=True)
                self._thread.start()
        return Ear(self, make, words, told, protocol)

    def close(self, timeout: float) -> None:
        """Hear nothing more."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(timeout)

    def put(self, ear: Ear, piece: _Piece) -> None:
        """Let a stream hear a piece when its turn comes."""
        with self._changed:
            ear.pieces.append(piece)
            if not ear.queued:
                ear.queued = True
                self._waiting.append(ear)
                if len(self._waiting) == 1:
                    self._changed.notify()

    def _run(self) -> None:
        make_way()
        while turns := self._next():
            failed = together([turn.steps() for turn in turns])
            by_loop: dict[asyncio.AbstractEventLoop, list[_Turn]] = {}
            for turn, failure in zip(turns, failed, strict=True):
                turn.failure = failure
                self._count(turn.ear)
                by_loop.setdefault(turn.ear.loop, []).append(turn)
            for loop, done in by_loop.items():
                with suppress(RuntimeError):  # it is closed: nobody waits there any more
                    loop.call_soon_threadsafe(_tell, done)

    def _count(self, ear: Ear) -> None:
        """Add what a stream's verifier has done in a turn."""
        if (done := ear.verifier_done()) is not None:
            self.verifiers[ear.protocol] = self.verifiers.get(ear.protocol, VerifierStats()) + done

    def _next(self) -> list[_Turn]:
        """Return a turn of each stream for which audio waits; none: it is over."""
        with self._changed:
            while not self._waiting and not self._closing:
                self._changed.wait()
        time.sleep(max(0.0, self._began + GATHER_S - time.monotonic()))
        self._began = time.monotonic()
        with self._changed:
            ears, self._waiting = self._waiting, []
            turns = [_Turn(ear) for ear in ears]
            for ear in ears:
                ear.queued = bool(ear.pieces)
            self._waiting += [ear for ear in ears if ear.queued]
            return [] if self._closing else turns


class Ear:
    """One stream of audio, from 0 s on. For its loop alone; all methods return at once.

    waiting: bytes that were not heard yet; when it is `full`, please wait before giving more.
    """

    def __init__(
        self,
        streams: Streams,
        make: Callable[[], Spotter],
        words: Iterable[str],
        told: Callable[[Heard], None],
        protocol: str,
    ) -> None:
        self.loop, self.protocol = asyncio.get_running_loop(), protocol
        self.waiting, self.closed = 0, False
        self.pieces: deque[_Piece] = deque()
        self.queued = False
        self._streams, self._make, self._told = streams, make, told
        self._spotter: Spotter | None = None
        self._words, self._armed = frozenset(words), frozenset[str]()
        self._counted = VerifierStats()

    @property
    def full(self) -> bool:
        """Whether as much waits as may."""
        return self.waiting >= FULL

    def arm(self, words: Iterable[str]) -> None:
        """Listen for these from the next audio on; for none of them: tell nothing."""
        self._words = frozenset(words)

    def hear(self, samples: Samples, rate: int) -> None:
        """Hear samples, float32 or int16, [n] or [n, channels]."""
        turn = max(1, round(TURN_S * rate))
        if len(samples) <= turn:
            self._put((samples, rate))
        else:
            for at in range(0, len(samples), turn):
                self._put((samples[at : at + turn], rate))

    def finish(self) -> None:
        """Hear the silence after the end, so that the last word is known."""
        self._put((None, 0))

    def close(self) -> None:
        """Hear nothing more, and be told of nothing."""
        self.closed = True

    def _put(self, piece: _Piece) -> None:
        self.waiting += _weight(piece)
        self._streams.put(self, piece)

    def tell(self, weight: int, heard: Heard) -> None:
        """Tell what a turn came to."""
        self.waiting -= weight
        if not self.closed:
            self.closed = isinstance(heard, Exception)
            self._told(heard)

    def ready(self) -> Spotter:
        """Return the spotter, which listens for what is wanted."""
        if self._spotter is None:
            self._spotter = self._make()
        if self._words and self._words != self._armed:
            self._armed = self._words
            self._spotter.set_keywords(sorted(self._armed))
        return self._spotter

    def verifier_done(self) -> VerifierStats | None:
        """Return what the verifier has done since this was last asked; None: there is none."""
        now = None if self._spotter is None else self._spotter.stats.verifier
        if now is None:
            return None
        before, self._counted = self._counted, now
        return now - before

    def wanted(self, events: Sequence[Event]) -> list[Detection]:
        """Return the words that are listened for; log that a verifier fails."""
        for event in events:
            if isinstance(event, VerifierFailed):
                self._streams.complaints.say("warning", f"a stream's verifier: {event.reason}")
        words = self._words
        return [e for e in events if isinstance(e, Detection) and e.keyword in words]


_Piece: TypeAlias = "tuple[Samples | None, int]"
"""Samples and their rate; None: the end."""


class _Turn:
    """What a stream hears at once: up to half a second."""

    def __init__(self, ear: Ear) -> None:
        self.ear, self.weight = ear, 0
        self.pieces: list[_Piece] = []
        self.found: list[Detection] = []
        self.failure: Exception | None = None
        seconds = 0.0
        while ear.pieces and seconds < TURN_S:
            samples, rate = piece = ear.pieces.popleft()
            self.pieces.append(piece)
            self.weight += _weight(piece)
            seconds += 0.0 if samples is None else len(samples) / rate

    def steps(self) -> Steps:
        """Hear it, in steps; find the words that are to be told."""
        if self.ear.closed:
            return
        spotter = self.ear.ready()
        for samples, rate in self.pieces:
            events: list[Event] = []
            yield from spotter.push_steps(samples, rate, events)
            if events:
                self.found += self.ear.wanted(events)


def _weight(piece: _Piece) -> int:
    return PIECE + (0 if piece[0] is None else piece[0].nbytes)


def _tell(turns: Sequence[_Turn]) -> None:
    for turn in turns:
        turn.ear.tell(turn.weight, turn.failure or turn.found)
