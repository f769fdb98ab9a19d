"""Connection: one client, from its first event to its last."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

from wyoming.error import Error
from wyoming.event import Event, async_write_event
from wyoming.ping import Pong
from wyoming.wake import Detection, NotDetected

from kws import flow
from kws.errors import ConfigError, KwsError
from kws.serve import logs
from kws.serve.streams import Ear
from kws.serve.wyoming.offer import Offer
from kws.serve.wyoming.wire import Audio, Detect, Ping, checked, read

IDLE_S = 300.0
"""Without an event for so long, or without reading what it is told, a client is gone."""


class House(Protocol):
    """What a connection finds there."""

    offer: Offer

    def open(self, words: tuple[str, ...]) -> Ear:
        """Begin a stream. Raises KwsError: there are too many."""

    def close(self, ear: Ear) -> None:
        """End it."""

    def complain(self, text: str) -> None:
        """Log what a client did wrong."""


class Connection:
    """Answers one client.

    since: when it last did something, in time.monotonic()'s seconds.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        house: House,
        name: str,
    ) -> None:
        self._reader, self._writer, self._house, self._name = reader, writer, house, name
        self._names: tuple[str, ...] | None = None  # asked for; None: all
        self._ear: Ear | None = None
        self._fired = False
        self.since = time.monotonic()

    async def run(self) -> None:
        """Answer until the client leaves, or says what makes no sense."""
        try:
            while (event := await read(self._reader)) is not None:
                self.since = time.monotonic()
                await self._answer(event)
        except KwsError as error:
            self._house.complain(f"{self._name}: {error}")
            await self._tell(Error(str(error), type(error).__name__).event())
        finally:
            self._end()

    def abort(self) -> None:
        """End it at once; what is on its way is lost."""
        self._writer.transport.abort()

    async def _answer(self, event: Event) -> None:
        """Do what an event asks for; one that nobody knows is none. Raises KwsError."""
        match event.type:
            case "describe":
                await self._tell(self._house.offer.info)
            case "ping":
                await self._tell(Pong(checked(event.data, Ping).text).event())
            case "detect":
                await self._detect(checked(event.data, Detect).names)
            case "audio-start":
                checked(event.data, Audio)
                self._begin()
            case "audio-chunk":
                await self._hear(checked(event.data, Audio), event.payload or b"")
            case "audio-stop":
                await self._stop()

    async def _detect(self, names: list[str] | None) -> None:
        """Listen for these words; where one is not offered, for none."""
        try:
            self._names = self._house.offer.asked(names)
        except ConfigError as error:
            self._names = ()
            self._house.complain(f"{self._name}: {error}")
            await self._tell(Error(str(error), "unknown-wake-word").event())
        if self._ear is not None:
            self._ear.arm(self._names)

    def _begin(self) -> Ear:
        self._end()
        words = self._house.offer.words if self._names is None else self._names
        self._ear, self._fired = self._house.open(words), False
        return self._ear

    async def _hear(self, audio: Audio, payload: bytes) -> None:
        samples, ear = audio.samples(payload), self._ear or self._begin()
        if len(samples):
            await self._told(await ear.hear(samples, audio.rate))

    async def _stop(self) -> None:
        if self._ear is not None:
            await self._told(await self._ear.finish())
        if not self._fired:
            await self._tell(NotDetected().event())
        self._end()

    def _end(self) -> None:
        """Let the stream go."""
        if self._ear is not None:
            self._house.close(self._ear)
        self._ear, self._fired = None, False

    async def _told(self, words: list[flow.Detection]) -> None:
        for word in words:
            self._fired = True
            at = f"{word.keyword} {word.score:.2f} at {word.time_s:.2f} s"
            logs.say("info", f"{self._name}: heard {at}")
            await self._tell(Detection(word.keyword, round(1000 * word.time_s)).event())

    async def _tell(self, event: Event) -> None:
        await async_write_event(event, self._writer)
