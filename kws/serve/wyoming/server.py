"""Server: listens for clients on a thread of its own, and keeps them within limits."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress

from kws.errors import KwsError
from kws.serve import logs
from kws.serve.backoff import Backoff
from kws.serve.seldom import Seldom
from kws.serve.streams import Ear, Streams
from kws.serve.wyoming import connection, wire
from kws.serve.wyoming.announce import announce
from kws.serve.wyoming.connection import Connection
from kws.serve.wyoming.doors import Door, door
from kws.serve.wyoming.offer import Offer
from kws.serve.wyoming.settings import Wyoming

SPARE = 32
"""Connections besides those that may have a stream: they ask what there is, and leave."""
SWEEP_S = 5.0
LAST_S = 5.0
"""So long a client may take for the last that it is told."""
STREAMS_STOP_S = 0.2
STRANGERS = 64
"""So many that may not come in are told of, each once."""


class BusyError(KwsError, RuntimeError):
    """There are as many streams as may be."""


class Server:
    """Hears for clients. Made, replaced and closed by one thread.

    settings: what the config says. offer: what clients may have, from their next question on.
    address: where it listens; None: not yet. failure: what it died of.
    """

    def __init__(self, settings: Wyoming, offer: Offer) -> None:
        self.settings, self.offer = settings, offer
        self.address: tuple[str, int] | None = None
        self.failure: BaseException | None = None
        self._door: Door = door("wyoming", settings.uri, settings.allow)
        self._ears: set[Ear] = set()
        self._connections: set[Connection] = set()
        self._strangers: set[str] = set()
        self._complaints = Seldom()
        self._ended = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._streams = Streams(self._loop)
        self._thread = threading.Thread(target=self._run, name="wyoming", daemon=True)
        self._thread.start()

    def shut(self, timeout: float) -> None:
        """End all connections, and free the address."""
        with suppress(RuntimeError):  # it has ended already
            self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(timeout)

    # -- for connections --------------------------------------------------------------------

    def open(self, words: tuple[str, ...]) -> Ear:
        """Begin a stream. Raises BusyError."""
        if len(self._ears) >= self.settings.max_streams:
            raise BusyError(f"{len(self._ears)} streams are heard already, no more can be")
        ear = self._streams.open(self.offer.spotter, words)
        self._ears.add(ear)
        return ear

    def close(self, ear: Ear) -> None:
        """End a stream."""
        self._ears.discard(ear)

    def complain(self, text: str) -> None:
        """Log what a client did wrong, unless many do."""
        self._complaints.say("warning", text)

    # -- on its own thread ------------------------------------------------------------------

    def _run(self) -> None:
        self._loop.set_exception_handler(_odd)
        try:
            self._loop.run_until_complete(self._serve())
        except BaseException as error:  # noqa: BLE001 - the daemon ends, and says why
            self.failure = error
        finally:
            self._streams.close(STREAMS_STOP_S)
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
            for each in self._connections:
                each.abort()
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

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
            server = await asyncio.start_server(self._met, host, port, limit=wire.HEADER)
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

    async def _met(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer somebody who comes in. Raises nothing but for a cancellation."""
        peer = writer.get_extra_info("peername") or ("",)
        name = f"wyoming {peer[0]}"
        full = len(self._connections) >= self.settings.max_streams + SPARE
        if full or not self._door.lets_in(peer[0]):
            self._refused(peer[0], "too many connections" if full else "allow does not name it")
            writer.transport.abort()
            return
        client = Connection(reader, writer, self, name)
        self._connections.add(client)
        try:
            await client.run()
        except (OSError, EOFError):  # it went away in the midst of something
            pass
        except Exception as error:  # noqa: BLE001 - a client's trouble is not the daemon's
            self._complaints.say("error", f"{name}: {type(error).__name__}: {error}")
        finally:
            writer.close()
            try:  # it counts until it has taken what it was told
                with suppress(OSError, asyncio.TimeoutError, TimeoutError):
                    await asyncio.wait_for(writer.wait_closed(), LAST_S)
            finally:
                writer.transport.abort()
                self._connections.discard(client)

    def _refused(self, address: str, why: str) -> None:
        if address not in self._strangers and len(self._strangers) < STRANGERS:
            self._strangers.add(address)
            logs.say("warning", f"wyoming: {address} was turned away: {why}")

    def _sweep(self) -> None:
        """Let go of those who have said nothing for long, or take nothing."""
        for each in list(self._connections):
            if time.monotonic() - each.since > connection.IDLE_S:
                each.abort()


def _odd(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    logs.say("debug", f"wyoming: {context.get('exception') or context.get('message')}")
