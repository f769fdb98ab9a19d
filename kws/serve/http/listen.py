"""Listen: a microphone elsewhere sends its samples over a WebSocket, and is told its words."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial

import msgspec
import numpy as np
from numpy.typing import NDArray
from starlette.websockets import WebSocket, WebSocketDisconnect

from kws.event_json import detection_event
from kws.serve.config import Microphone
from kws.serve.http.events import TRY_AGAIN
from kws.serve.http.house import House
from kws.serve.streams import Heard

RATES = range(8_000, 192_001)
MOST = 4
"""Remote microphones at the same time: each costs as much as one of our own."""
SILENT_S = 30.0
"""Who sends nothing for so long has gone."""
WRONG, FAR = 1003, 1009
LONGEST = 1 << 17
"""A message's most bytes: two seconds at 32 kHz. Longer ones would keep others waiting."""


class Listen:
    """Hears microphones elsewhere, on the thread that hears for all others."""

    def __init__(self, house: House) -> None:
        self._house, self._there = house, 0

    async def websocket(self, socket: WebSocket) -> None:
        """Take 16-bit little-endian mono samples at ?rate=, and tell each word as JSON."""
        rate = socket.query_params.get("rate", "16000")
        if not (rate.isascii() and rate.isdigit() and len(rate) < 7 and int(rate) in RATES):
            await socket.close(WRONG, f"rate: {RATES[0]} to {RATES[-1]} Hz")
            return
        if self._there >= MOST:
            await socket.close(TRY_AGAIN, "too many are heard already")
            return
        self._there += 1
        try:
            await socket.accept()
            with suppress(WebSocketDisconnect):
                await self._hear(socket, int(rate))
        finally:
            self._there -= 1

    async def _hear(self, socket: WebSocket, rate: int) -> None:
        built, heard = self._house.built, asyncio.Queue[Heard]()
        words = [keyword.name for keyword in built.keywords]
        ear = self._house.streams.open(
            partial(built.spotter, Microphone()), words, heard.put_nowait, protocol="http"
        )
        try:
            while (samples := await _received(socket)) is not None:
                ear.hear(samples, rate)
                while ear.waiting or not heard.empty():
                    await _told(socket, await heard.get())
        finally:
            ear.close()


async def _received(socket: WebSocket) -> NDArray[np.int16] | None:
    """Return what a microphone sends next; None: it has gone, or was sent away."""
    try:
        message = await asyncio.wait_for(socket.receive(), SILENT_S)
    except (asyncio.TimeoutError, TimeoutError):
        await socket.close(WRONG, f"no audio for {SILENT_S:g} s")
        return None
    if message["type"] == "websocket.disconnect":
        return None
    data = message.get("bytes") or b""
    if not data or len(data) % 2 or len(data) > LONGEST:
        code = FAR if len(data) > LONGEST else WRONG
        await socket.close(code, "send 16-bit samples, two seconds at most a message")
        return None
    return np.frombuffer(data, "<i2").astype(np.int16, copy=False)


async def _told(socket: WebSocket, heard: Heard) -> None:
    if isinstance(heard, Exception):
        raise heard
    for word in heard:
        await socket.send_text(msgspec.json.encode(detection_event(word)).decode())
