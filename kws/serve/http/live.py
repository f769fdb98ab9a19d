"""Live: levels, scores and what happens, as server-sent events for who looks on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

import msgspec
from starlette.requests import Request
from starlette.responses import Response

import kws
from kws.event_json import Setup
from kws.serve.http.events import stream
from kws.serve.http.house import House
from kws.serve.retune import levels_now

ALIVE_S = 1.0
"""So often there is a sign of life where no microphone gives one."""


class Live:
    """Streams; they count as those of events do."""

    def __init__(self, house: House) -> None:
        self._house = house

    async def sse(self, request: Request) -> Response:
        """Answer with server-sent events."""
        return stream(self._house, request, self._lines)

    async def _lines(self) -> AsyncIterator[str]:
        told = None
        async with aclosing(self._house.live.follow(ALIVE_S)) as lines:
            async for line in lines:
                if told is not self._house.built:
                    told = self._house.built
                    yield f"data: {msgspec.json.encode(self._setup()).decode()}\n\n"
                yield f"data: {line}\n\n" if line else ": alive\n\n"

    def _setup(self) -> Setup:
        built = self._house.built
        thresholds, sensitivity = levels_now(built)
        return Setup(
            version=kws.__version__,
            microphones=[each.name for each in built.config.microphone],
            keywords=built.keywords,
            thresholds=thresholds,
            sensitivity=sensitivity,
            recording=bool(built.config.record.folder),
        )
