"""Supervised: a microphone that is opened again, for as long as it takes.

One stream of audio over all of its lives: where it was away, `start` jumps by as much.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator

from kws.errors import KwsError
from kws.flow import Block, DigitalSilence, Event
from kws.serve.backoff import Backoff
from kws.serve.ports import Ports
from kws.sources import Source
from kws.sources.clock import elapsed_s
from kws.sources.hotplug import signs

LOOK_S = 1.0
"""So often it is looked whether a device came or went, while the next try is waited for."""
ZEROS_TRY_S = 600.0
"""Zeros alone: it is opened again so often, for a mute switch and a broken driver look alike."""


class Supervised:
    """A source that never ends by itself.

    make: opens the microphone; a KwsError is tried again. lost, returned: told once each time, with
    the reason, and the seconds without audio. sign: called at every step of the search, for each
    may hang in the sound system. ports: shared by all microphones.
    """

    live = True

    def __init__(
        self,
        make: Callable[[], Source],
        ports: Ports,
        *,
        lost: Callable[[str], None],
        returned: Callable[[float], None],
        sign: Callable[[], None],
    ) -> None:
        self._make, self._ports = make, ports
        self._lost, self._returned, self._sign = lost, returned, sign
        self._stopped = threading.Event()
        self._source: Source | None = None
        self._events: list[Event] = []
        self._end, self.rate = 0, 16_000
        self._heard: float | None = None  # when the last block came
        self._told = False  # that it is lost
        self._zeros_since: float | None = None
        self._backoff = Backoff()
        self.away_since: float | None = elapsed_s()

    def __iter__(self) -> Iterator[Block]:
        """Deliver blocks until closed."""
        while not self._stopped.is_set():
            self._sign()
            try:
                with self._ports.opened(self._make) as self._source:
                    self._sign()
                    yield from self._hear(self._source)
            except KwsError as error:
                self._away(str(error))
            finally:
                self._source = None
            self._sign()
            self._wait(self._backoff.wait_s())

    def poll_events(self) -> list[Event]:
        """What the microphone noticed, since it was last asked."""
        events, self._events = self._events, []
        return events

    def close(self) -> None:
        """End it, from any thread, without waiting for a sound system that hangs."""
        self._stopped.set()
        if (source := self._source) is not None:
            threading.Thread(target=source.close, daemon=True).start()

    def _wait(self, seconds: float) -> None:
        """Wait until the next try, which a device that comes or goes brings on."""
        before = signs()
        while seconds > 0 and not self._stopped.wait(min(seconds, LOOK_S)):
            seconds -= LOOK_S
            if signs() != before:
                self._backoff.restart()
                return

    def _hear(self, source: Source) -> Iterator[Block]:
        """Deliver what one life of the microphone gives."""
        began, offset = elapsed_s(), 0
        if self._stopped.is_set():  # before `close` could know this source
            return
        try:
            for block in source:
                now = elapsed_s()
                if self.away_since is not None:
                    offset = self._place(block, now)
                    self._back(now)
                self._heard = now
                self._backoff.went_well(now - began)
                self._note(source.poll_events(), block, now)
                shifted = Block(block.samples, block.start + offset, block.rate, block.wall_time)
                self._end = shifted.end
                yield shifted
                if self._stopped.is_set():
                    return
                if self._zeros_since is not None and now - self._zeros_since > ZEROS_TRY_S:
                    break
        except KwsError as error:
            self._away(str(error))  # at once: to let go of what hangs may hang, too
        else:  # it was told to open again
            self.away_since = self.away_since or elapsed_s()

    def _place(self, first: Block, now: float) -> int:
        """Return by how much this life's samples are shifted, so that time goes on."""
        end = math.ceil(self._end / self.rate * first.rate)
        missing = 0
        if self._heard is not None:
            missing = max(1, round((now - self._heard) * first.rate) - len(first.samples))
        self.rate = first.rate
        return end + missing - first.start

    def _note(self, events: list[Event], block: Block, now: float) -> None:
        """Take note of what the source noticed, and of sound where an earlier life gave zeros."""
        self._events += events
        for event in events:
            if isinstance(event, DigitalSilence):
                self._zeros_since = now if event.silent else None
        if self._zeros_since is not None and block.samples.any():
            self._zeros_since = None
            self._events.append(DigitalSilence(silent=False, time_s=block.start / block.rate))

    def _away(self, reason: str) -> None:
        if self.away_since is None:
            self.away_since = elapsed_s()
        if not self._told:
            self._told = True
            self._lost(reason)

    def _back(self, now: float) -> None:
        if self._told and self.away_since is not None:
            self._returned(now - self.away_since)
        self._told, self.away_since = False, None
        if self._zeros_since is not None:
            self._zeros_since = now
