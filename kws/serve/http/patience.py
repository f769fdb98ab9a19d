"""Patience: how long a connection may take to say what it wants, and to take the answer."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.wsproto_impl import WSProtocol
from wsproto.events import Ping

PONGS = 1 << 16
"""Bytes of answers to pings that may wait; who sends more of them takes none."""


class Taking:
    """A client that must take what is written to it: all of it within `timeout_s`, or it goes."""

    def __init__(self, transport: asyncio.Transport, timeout_s: float) -> None:
        transport.set_write_buffer_limits(0)  # it is told as soon as something waits
        self._transport, self._timeout_s = transport, timeout_s
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waits(self) -> bool:
        """Whether something waits to be taken."""
        return self._timer is not None

    def pause(self) -> None:
        """Something waits to be taken."""
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._timeout_s, self._transport.abort)

    def resume(self) -> None:
        """Nothing waits any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Patient(H11Protocol):
    """HTTP, where a request must be there in time, and connections are limited.

    Where there are as many as may be, who keeps us waiting makes way for a new one: slow clients
    never shut others out. Where all are being answered, the new one is told to come again.
    """

    def __init__(self, *given: Any, timeout_s: float, most: int, **named: Any) -> None:
        super().__init__(*given, **named)
        self._timeout_s, self._most = timeout_s, most
        self._timer: asyncio.TimerHandle | None = None
        self._last = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._taking, self._began = Taking(transport, self._timeout_s), self.loop.time()
        if not self._finds_room():
            self.app, self.ws_protocol_class = _full, None
        self._watch()

    @property
    def slowness(self) -> tuple[bool, float] | None:
        """How soon this client must make way, the lowest first; None: it waits for an answer.

        Who sends a body has been let in, so that those who have not make way before.
        """
        if self._timer is not None or self._taking.waits:
            return False, self._began
        return (True, self._began) if self.conn.their_state is h11.SEND_BODY else None

    def _finds_room(self) -> bool:
        """Return whether this connection is within the limit, another one having made way."""
        there = [each for each in self.connections if not each.transport.is_closing()]
        if len(there) <= self._most:
            return True
        others = [each for each in there if isinstance(each, Patient) and each is not self]
        slow = [(each.slowness, each) for each in others if each.slowness is not None]
        if not slow:
            return False
        min(slow, key=lambda pair: pair[0])[1].transport.abort()
        return len(there) - 1 <= self._most

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        super().data_received(data)
        self._watch()

    def pause_writing(self) -> None:
        """Begin to wait until the answer is taken."""
        super().pause_writing()
        self._taking.pause()

    def resume_writing(self) -> None:
        """Go on."""
        super().resume_writing()
        self._taking.resume()

    def on_response_complete(self) -> None:
        """Begin to wait for the next request."""
        super().on_response_complete()
        self._began = self.loop.time()
        self._watch()
        if self._last:
            self.transport.close()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Let a WebSocket take over, which knows nothing of what waits here."""
        odd = any(not value.isascii() for _, value in event.headers)
        if odd or self.transport.get_write_buffer_size():
            self.send_400_response("a WebSocket can't begin so")
        else:
            super().handle_websocket_upgrade(event)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, unless something else is being answered; and end."""
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            answer = JSONResponse({"error": msg}, 400, {"Connection": "close"})
            for part in (
                h11.Response(status_code=400, headers=answer.raw_headers, reason=b"Bad Request"),
                h11.Data(data=bytes(answer.body)),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(part) or b"")
        self.transport.close()

    def shutdown(self) -> None:
        """End after what is being asked; who has just come is answered once."""
        if self.cycle is None:
            self._last = True
        else:
            super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._unwatch()
        super().connection_lost(exc)

    def _watch(self) -> None:
        """Let time run while a head is awaited, or the rest of what was answered already."""
        theirs, ours = self.conn.their_state, self.conn.our_state
        answered = ours not in {h11.SEND_RESPONSE, h11.SEND_BODY}
        if theirs is not h11.IDLE and not (theirs is h11.SEND_BODY and answered):
            self._unwatch()
        elif self._timer is None:
            self._timer = self.loop.call_later(self._timeout_s, self.transport.abort)

    def _unwatch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class PatientSocket(WSProtocol):
    """A WebSocket whose client must take what it is told."""

    def __init__(self, *given: Any, timeout_s: float, **named: Any) -> None:
        super().__init__(*given, **named)
        self._timeout_s = timeout_s

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take over from HTTP."""
        super().connection_made(transport)
        self._taking = Taking(transport, self._timeout_s)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._taking.resume()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came; what its own reader can't read ends it, too."""
        try:
            super().data_received(data)
        except UnicodeError:
            self.transport.abort()

    def handle_ping(self, event: Ping) -> None:
        """Answer a sign of life."""
        if self.transport.get_write_buffer_size() > PONGS:
            self.transport.abort()
        else:
            super().handle_ping(event)

    def pause_writing(self) -> None:
        """Begin to wait until it is taken."""
        super().pause_writing()
        self._taking.pause()

    def resume_writing(self) -> None:
        """Go on."""
        super().resume_writing()
        self._taking.resume()


async def _full(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer who came when there were as many as may be."""
    later = {"Retry-After": "1", "Connection": "close"}
    await JSONResponse({"error": "too many connections"}, 503, later)(scope, receive, send)
