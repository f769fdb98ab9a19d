"""Connection: one client, from its first event to its last."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Callable
from typing import Protocol

from wyoming.error import Error
from wyoming.event import Event, write_event
from wyoming.ping import Pong
from wyoming.wake import Detection, NotDetected

from kws.errors import ConfigError, KwsError
from kws.serve.streams import Ear, Heard
from kws.serve.wyoming import wire
from kws.serve.wyoming.offer import Offer

IDLE_S = 300.0
"""Without an event for so long, or without reading what it is told, a client is gone."""
LINGER_S = 2.0
"""So long a client that leaves, or is sent away, may take to read the last that it is told."""


class House(Protocol):
    """What a connection finds there. buffer: for what is read, until it is put away."""

    offer: Offer
    buffer: memoryview

    def meet(self, client: Connection, address: str) -> bool:
        """Return whether it may come in."""

    def leave(self, client: Connection) -> None:
        """Forget it."""

    def open(self, words: tuple[str, ...], told: Callable[[Heard], None]) -> Ear:
        """Begin a stream. Raises KwsError: there are too many."""

    def close(self, ear: Ear) -> None:
        """End it."""

    def note(self, text: str) -> None:
        """Log what a client's audio held, unless that is often."""

    def complain(self, text: str, level: str = "warning") -> None:
        """Log what a client did wrong, or what went wrong with it."""


class Connection(asyncio.BufferedProtocol):
    """Answers one client, each event as soon as all before it were heard.

    since: when it last did something, in time.monotonic()'s seconds.
    """

    def __init__(self, house: House) -> None:
        self._house, self._name = house, "wyoming"
        self._inbox = wire.Inbox()
        self._next: wire.Event | None = None  # cannot be answered yet
        self._names: tuple[str, ...] | None = None  # asked for; None: all
        self._ear: Ear | None = None
        self._fired = self._stops = False
        self._reads, self._deaf, self._ended, self._leaves = True, False, False, False
        self._transport: asyncio.Transport
        self.since = time.monotonic()

    @property
    def has_stream(self) -> bool:
        """Whether audio of it is heard."""
        return self._ear is not None

    # -- what the loop calls ----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Come in, where that is allowed."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - asyncio's types are too wide
        self._transport, self._loop = transport, asyncio.get_running_loop()
        address = (transport.get_extra_info("peername") or ("",))[0]
        self._name = f"wyoming {address}"
        if not self._house.meet(self, address):
            self.abort()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where to put what is read."""
        return self._house.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take what was read."""
        if not self._leaves:
            self._inbox.put(self._house.buffer[:nbytes])
            self._go()

    def eof_received(self) -> bool:
        """Say nothing more, but hear the answers."""
        self._ended = True
        self._go()
        return True

    def pause_writing(self) -> None:
        """Answer nothing more: the client does not read."""
        self._deaf = True

    def resume_writing(self) -> None:
        """Answer again."""
        self._deaf = False
        self._go()

    def connection_lost(self, error: Exception | None) -> None:
        """End all that is here."""
        self._leaves = True
        self._end()
        self._house.leave(self)

    def abort(self) -> None:
        """End it at once; what is on its way is lost."""
        self._transport.abort()

    # -- events -----------------------------------------------------------------------------

    def _go(self) -> None:
        """Answer what can be answered now; read on where nothing waits."""
        try:
            while not self._deaf and not self._leaves and (event := self._ready()):
                self._next = None
                self.since = time.monotonic()
                self._answer(event)
        except Exception as error:  # noqa: BLE001 - a client's trouble is not the daemon's
            self._failed(error)
        waits = self._deaf or self._next is not None
        if self._ended and not waits and not (self._ear and self._ear.waiting):
            self._transport.close()
            self._loop.call_later(LINGER_S, self._transport.abort)
        elif waits == self._reads and not self._transport.is_closing():
            (self._transport.pause_reading if waits else self._transport.resume_reading)()
            self._reads = not waits

    def _failed(self, error: Exception) -> None:
        """Send the client away, and say why where that is its own affair."""
        if isinstance(error, KwsError):
            self._house.complain(f"{self._name}: {error}")
            self._tell(Error(str(error), type(error).__name__).event())
        else:
            self._house.complain(f"{self._name}: {type(error).__name__}: {error}", "error")
        self._leave()

    def _leave(self) -> None:
        """Hear nothing more; close as soon as the client has read what it was told."""
        self._leaves, self._next = True, None
        self._end()
        if not self._transport.is_closing():
            # Closed with something unread, the network would drop what is on its way.
            self._transport.write_eof()
            self._loop.call_later(LINGER_S, self._transport.abort)

    def _ready(self) -> wire.Event | None:
        """Return the next event, if it can be answered now.

        Audio may wait to be heard, up to a limit; all else comes after all audio before it.
        """
        self._next = event = self._next or self._inbox.next()
        if event is None or self._ear is None or not self._ear.waiting:
            return event
        return event if event.type == "audio-chunk" and not self._ear.full else None

    def _answer(self, event: wire.Event) -> None:
        """Do what an event asks for; one that nobody knows is none. Raises KwsError."""
        match event.type:
            case "audio-chunk":
                self._hear(event.data, event.payload)
            case "describe":
                self._tell(self._house.offer.info)
            case "ping":
                self._tell(Pong(event.data.text).event())
            case "detect":
                self._detect(event.data.names)
            case "audio-start":
                self._begin()
            case "audio-stop":
                self._stop()

    def _detect(self, names: list[str] | None) -> None:
        """Listen for these words; where one is not offered, for none."""
        try:
            self._names = self._house.offer.asked(names)
        except ConfigError as error:
            self._names = ()
            self._house.complain(f"{self._name}: {error}")
            self._tell(Error(str(error), "unknown-wake-word").event())
        if self._ear is not None:
            self._ear.arm(self._names)

    def _begin(self) -> Ear:
        self._end()
        words = self._house.offer.words if self._names is None else self._names
        self._ear = self._house.open(words, self._heard)
        return self._ear

    def _hear(self, audio: wire.Audio, payload: bytes) -> None:
        samples, ear = audio.samples(payload), self._ear or self._begin()
        if len(samples):
            ear.hear(samples, audio.rate)

    def _stop(self) -> None:
        if self._ear is None:
            self._stopped()
        else:
            self._stops = True
            self._ear.finish()

    def _stopped(self) -> None:
        if not self._fired:
            self._tell(NotDetected().event())
        self._end()

    def _end(self) -> None:
        """Let the stream go."""
        if self._ear is not None:
            self._house.close(self._ear)
        self._ear, self._fired, self._stops = None, False, False

    def _heard(self, heard: Heard) -> None:
        """Tell the words of a turn, and go on."""
        try:
            if isinstance(heard, Exception):
                raise heard
            for word in heard:
                self._fired = True
                at = f"{word.keyword} {word.score:.2f} at {word.time_s:.2f} s"
                self._house.note(f"{self._name}: heard {at}")
                self._tell(Detection(word.keyword, round(1000 * word.time_s)).event())
            if self._stops and self._ear is not None and not self._ear.waiting:
                self._stopped()
        except Exception as error:  # noqa: BLE001 - as above
            self._failed(error)
        if self._next is not None or self._ended:
            self._go()

    def _tell(self, event: Event) -> None:
        told = io.BytesIO()
        write_event(event, told)
        self._transport.write(told.getvalue())
