"""Listen: a microphone elsewhere sends its samples over a WebSocket, and is told its words."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial

import numpy as np
from starlette.websockets import WebSocket, WebSocketDisconnect

from kws.flow import Detection
from kws.serve.config import Microphone
from kws.serve.http.events import TRY_AGAIN
from kws.serve.http.house import House
from kws.spotter import Spotter
from kws.terminal.lines import record

RATES = range(8_000, 192_001)
MOST = 4
"""Remote microphones at the same time: each costs as much as one of our own."""
SILENT_S = 30.0
"""Who sends nothing for so long has gone."""
WRONG, FAR = 1003, 1009
LONGEST = 1 << 17
"""A message's most bytes: two seconds at 32 kHz. Longer ones would keep others waiting."""


class Listen:
    """Spotters for microphones elsewhere, on a thread that makes way for our own."""

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
        do = self._house.listening.do
        spotter = await do(partial(self._house.built.spotter, Microphone()))
        while True:
            try:
                message = await asyncio.wait_for(socket.receive(), SILENT_S)
            except (asyncio.TimeoutError, TimeoutError):
                await socket.close(WRONG, f"no audio for {SILENT_S:g} s")
                return
            if message["type"] == "websocket.disconnect":
                return
            data = message.get("bytes") or b""
            if not data or len(data) % 2 or len(data) > LONGEST:
                code = FAR if len(data) > LONGEST else WRONG
                await socket.close(code, "send 16-bit samples, two seconds at most a message")
                return
            for word in await do(partial(_words, spotter, data, rate)):
                await socket.send_json(record(word))


def _words(spotter: Spotter, data: bytes, rate: int) -> list[Detection]:
    return spotter.push(np.frombuffer(data, "<i2").astype(np.int16, copy=False), rate)
