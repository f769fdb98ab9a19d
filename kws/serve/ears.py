"""Ears: all microphones, each with its listener, as the config says."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from kws.block_sizes import Consumer
from kws.errors import KwsError
from kws.serve import logs
from kws.serve.build import Built
from kws.serve.config import Health as Limits
from kws.serve.config import Microphone
from kws.serve.feed import Feed
from kws.serve.keeping import Keeper
from kws.serve.listener import Clock, Hearing, Listener
from kws.serve.live import Tap
from kws.serve.ports import Ports
from kws.serve.supervised import Supervised
from kws.serve.vital import Vital
from kws.sinks import Fact, Health
from kws.sources import Source
from kws.sources.microphone import Channel
from kws.spotter import Spotter


class DiedError(KwsError, RuntimeError):
    """Something in here died, or hears wrongly; a fresh process may do better."""

    exit_code = 4


@dataclass(frozen=True)
class MicrophoneRequest:
    """A microphone that is to be opened: as the config has it, and who hears it."""

    name: str
    device: str
    channel: Channel
    consumer: Consumer


class Ears:
    """Listeners by microphone.

    make: opens a microphone. told: takes facts, from any thread. clock: tells the time. live: lets
    others look on.
    """

    def __init__(
        self,
        make: Callable[[MicrophoneRequest], Source],
        told: Callable[[Fact], None],
        clock: Clock = time,
    ) -> None:
        self._make, self._told, self._ports, self._clock = make, told, Ports(), clock
        self.live = Feed()
        self._listeners: dict[Microphone, Listener] = {}
        self._health: dict[str, Health] = {}

    def arrange(self, built: Built) -> None:
        """Listen as the config says: microphones that stay hear on without a gap."""
        wanted = built.config.microphone
        for gone in [each for each in self._listeners if each not in wanted]:
            listener = self._listeners.pop(gone)
            listener.close()
            listener.join(1.0)
            self._health.pop(gone.name, None)
        for microphone in wanted:
            keeper = Keeper(built.config.record, logs.say) if built.config.record.folder else None
            hearing = Hearing(built.spotter(microphone), keeper)
            if microphone in self._listeners:
                self._listeners[microphone].vital.limits = built.config.health
                self._listeners[microphone].replace(hearing)
            else:
                self._listeners[microphone] = self._begun(microphone, hearing, built.config.health)

    def _begun(self, microphone: Microphone, hearing: Hearing, limits: Limits) -> Listener:
        tap = Tap(microphone.name, self.live)
        listener = Listener(
            microphone.name, Vital(limits, self._clock.monotonic()), self._told, tap, self._clock
        )
        wanted = MicrophoneRequest(microphone.name, microphone.device, microphone.channel, listener)
        source = Supervised(
            partial(self._make, wanted),
            self._ports,
            lost=listener.lost,
            returned=listener.returned,
            sign=listener.sign,
        )
        listener.start(source, hearing)
        return listener

    def do(self, action: Callable[[Spotter], None]) -> None:
        """Let every spotter do something, on its own thread."""
        for listener in self._listeners.values():
            listener.do(action)

    @property
    def vitals(self) -> list[tuple[str, Vital]]:
        """Each microphone's signs of life, to be read only. From any thread."""
        return [(each.name, each.vital) for each in list(self._listeners.values())]

    def alive(self) -> bool:
        """Whether every microphone is heard, or looked for. Raises DiedError: one never will."""
        now = self._clock.monotonic()
        for listener in self._listeners.values():
            if listener.failure is not None:
                what = f"{type(listener.failure).__name__}: {listener.failure}"
                raise DiedError(f"{listener.name}: its listener died ({what})")
            if listener.vital.dead(now):
                raise DiedError(f"{listener.name}: its listener is stuck in the sound system")
        return all(listener.vital.alive(now) for listener in self._listeners.values())

    def woke(self) -> None:
        """Take note that this process stood still: silence meanwhile means nothing."""
        for listener in self._listeners.values():
            listener.vital.woke(self._clock.monotonic())

    def health(self) -> list[Health]:
        """Return how each microphone hears, where that has changed."""
        now, changed = self._clock.monotonic(), []
        for listener in self._listeners.values():
            state, reasons = listener.vital.health(now)
            known = self._health.get(listener.name)
            if known is not None and (known.state, len(known.reasons)) == (state, len(reasons)):
                continue
            found = Health(
                wall_time=self._clock.time(),
                microphone=listener.name,
                state=state,
                reasons=tuple(reasons),
            )
            self._health[listener.name] = found
            if known is not None or state == "degraded":
                changed.append(found)
        return changed

    @property
    def status(self) -> str:
        """One line on all of them."""
        now = self._clock.monotonic()
        each = [f"{one.name}: {one.vital.status(now)}" for one in self._listeners.values()]
        return "; ".join(each)

    def close(self, timeout: float) -> bool:
        """Stop listening; return whether all have stopped in time."""
        for listener in self._listeners.values():
            listener.close()
        until = time.monotonic() + timeout
        for listener in self._listeners.values():
            listener.join(max(0.0, until - time.monotonic()))
        return not any(listener.running for listener in self._listeners.values())
