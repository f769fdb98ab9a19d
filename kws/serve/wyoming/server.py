"""Server: listens for clients on a thread of its own, and keeps them within limits."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from kws.errors import KwsError
from kws.serve import logs
from kws.serve.backoff import Backoff
from kws.serve.priority import make_way
from kws.serve.seldom import Seldom
from kws.serve.streams import Ear, Heard, Streams
from kws.serve.wyoming import connection
from kws.serve.wyoming.announce import announce
from kws.serve.wyoming.connection import Connection
from kws.serve.wyoming.doors import Door, door
from kws.serve.wyoming.offer import Offer
from kws.serve.wyoming.settings import Wyoming

SPARE = 32
"""Connections besides those that may have a stream: they ask what there is, and leave."""
SWEEP_S = 5.0
BUFFER = 65_536
"""Bytes that are read at once. One buffer does: what is read is put away before the next."""
STRANGERS = 64
"""So many that may not come in are told of, each once."""


class BusyError(KwsError, RuntimeError):
    """There are as many streams as may be."""


class Server:
    """Hears for clients. Made, replaced and closed by one thread.

    settings: what the config says. offer: what clients may have, from their next question on.
    address: where it listens; None: not yet. failure: what it died of.
    """

    def __init__(self, settings: Wyoming, offer: Offer, streams: Streams) -> None:
        self.settings, self.offer, self._streams = settings, offer, streams
        self.buffer = memoryview(bytearray(BUFFER))
        self.address: tuple[str, int] | None = None
        self.failure: BaseException | None = None
        self._door: Door = door("wyoming", settings.uri, settings.allow)
        self._ears: set[Ear] = set()
        self._connections: set[Connection] = set()
        self._strangers: set[str] = set()
        self._complaints, self._notes = Seldom(), Seldom()
        self._ended = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="wyoming", daemon=True)
        self._thread.start()

    def shut(self, timeout: float) -> None:
        """End all connections, and free the address."""
        with suppress(RuntimeError):  # it has ended already
            self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(timeout)

    # -- for connections --------------------------------------------------------------------

    def meet(self, client: Connection, address: str) -> bool:
        """Return whether somebody may come in.

        Where there are as many as may be, who has had no stream for longest makes way: clients that
        say nothing never shut others out.
        """
        if not self._door.lets_in(address):
            self._refused(address)
            return False
        if len(self._connections) >= self.settings.max_streams + SPARE:
            silent = [each for each in self._connections if not each.has_stream]
            oldest = min(silent, key=lambda each: each.since)
            self._connections.remove(oldest)
            oldest.abort()
        self._connections.add(client)
        return True

    def leave(self, client: Connection) -> None:
        """Forget somebody."""
        self._connections.discard(client)

    def open(self, words: tuple[str, ...], told: Callable[[Heard], None]) -> Ear:
        """Begin a stream. Raises BusyError."""
        if len(self._ears) >= self.settings.max_streams:
            raise BusyError(f"{len(self._ears)} streams are heard already, no more can be")
        ear = self._streams.open(self.offer.spotter, words, told, protocol="wyoming")
        self._ears.add(ear)
        return ear

    def close(self, ear: Ear) -> None:
        """End a stream."""
        ear.close()
        self._ears.discard(ear)

    def note(self, text: str) -> None:
        """Log what a client's audio held, unless that is often."""
        self._notes.say("info", text)

    def complain(self, text: str, level: str = "warning") -> None:
        """Log what a client did wrong, or what went wrong with it, unless that is often."""
        self._complaints.say(level, text)

    # -- on its own thread ------------------------------------------------------------------

    def _run(self) -> None:
        make_way()
        self._loop.set_exception_handler(_odd)
        try:
            self._loop.run_until_complete(self._serve())
        except BaseException as error:  # noqa: BLE001 - the daemon ends, and says why
            self.failure = error
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        server = await self._listening()
        if self.settings.zeroconf and self.address is not None:
            announcing = self._loop.create_task(announce(self._door.host, self.address[1]))
        else:
            announcing = None
        try:
            while not await self._ended_within(SWEEP_S):
                self._sweep()
        finally:
            if server is not None:
                server.close()
            if announcing is not None:
                announcing.cancel()
                await asyncio.gather(announcing, return_exceptions=True)
            for each in list(self._connections):
                each.abort()
            await asyncio.sleep(0)  # in which they are lost

    async def _listening(self) -> asyncio.Server | None:
        """Listen, as soon as nobody else does there; None: it is over before."""
        backoff = Backoff()
        while (server := await self._bound()) is None:
            if await self._ended_within(backoff.wait_s()):
                return None
        return server

    async def _bound(self) -> asyncio.Server | None:
        """Listen; None: the address can't be had."""
        host, port = self._door.host, self._door.port
        try:
            server = await self._loop.create_server(lambda: Connection(self), host, port)
        except OSError as error:
            logs.say("warning", f"wyoming: can't listen on {host}:{port}: {error.strerror}")
            return None
        self.address = server.sockets[0].getsockname()[:2]
        logs.say("info", f"wyoming: listens on {host}:{self.address[1]}")
        if self._door.anybody:
            logs.say("warning", 'wyoming: allow = ["any"]: everybody may connect')
        return server

    async def _ended_within(self, seconds: float) -> bool:
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._ended.wait(), seconds)
        return self._ended.is_set()

    def _refused(self, address: str) -> None:
        if address not in self._strangers and len(self._strangers) < STRANGERS:
            self._strangers.add(address)
            why = "allow does not name it"
            logs.say("warning", f"wyoming: {address} was turned away: {why}")

    def _sweep(self) -> None:
        """Let go of those who have said nothing for long, or take nothing."""
        for each in list(self._connections):
            if time.monotonic() - each.since > connection.IDLE_S:
                each.abort()


def _odd(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    logs.say("debug", f"wyoming: {context.get('exception') or context.get('message')}")
