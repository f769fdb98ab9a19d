"""Events: what the sinks are told, as server-sent events or over a WebSocket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, suppress

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

from kws.serve.http.house import House

ALIVE_S = 15.0
"""A silent stream gives a sign of life so often: what lies between would close it."""
TRY_AGAIN = 1013


class Events:
    """Streams; at most half of all connections, so that other questions are still answered."""

    def __init__(self, house: House) -> None:
        self._house = house

    async def sse(self, request: Request) -> Response:
        """Answer with server-sent events."""
        return stream(self._house, request, self._lines)

    async def _lines(self) -> AsyncIterator[str]:
        async with aclosing(self._house.feed.follow(ALIVE_S)) as facts:
            async for fact in facts:
                yield f"data: {fact}\n\n" if fact else ": alive\n\n"

    async def websocket(self, socket: WebSocket) -> None:
        """Send each fact as a message, until either side has had enough."""
        if self._house.is_full:
            await socket.send_denial_response(_too_many())
            return
        await socket.accept()
        sending = asyncio.create_task(self._send(socket))
        try:
            while not sending.done() and (await _next(socket, sending)):
                pass
        finally:
            sending.cancel()
            with suppress(asyncio.CancelledError, WebSocketDisconnect, OSError):
                await sending

    async def _send(self, socket: WebSocket) -> None:
        async with aclosing(self._house.feed.follow(ALIVE_S)) as facts:
            async for fact in facts:
                if fact:  # pings are the protocol's own sign of life
                    await socket.send_text(fact)
        await socket.close()


def stream(house: House, request: Request, lines: Callable[[], AsyncIterator[str]]) -> Response:
    """Answer with server-sent events, unless too many follow already."""
    if house.is_full:
        return _too_many()
    still = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    if request.method == "HEAD":
        return Response(None, 200, still, "text/event-stream")
    return StreamingResponse(lines(), 200, still, "text/event-stream")


def _too_many() -> Response:
    return JSONResponse({"error": "too many follow already"}, 503, {"Retry-After": "10"})


async def _next(socket: WebSocket, sending: asyncio.Task[None]) -> bool:
    """Wait for a message, which says nothing to us, or an end; return whether it was none."""
    receiving = asyncio.create_task(socket.receive())
    await asyncio.wait([receiving, sending], return_when=asyncio.FIRST_COMPLETED)
    if receiving.done():
        return bool(receiving.result()["type"] != "websocket.disconnect")
    receiving.cancel()
    return False
