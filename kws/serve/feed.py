"""Feed: what happens, to all who follow it; none of them can hold up who tells."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from contextlib import suppress

import msgspec

QUEUE = 256
"""Facts that wait for a follower at most; then the oldest are dropped."""

Line = str | None
Follower = tuple[asyncio.AbstractEventLoop, "asyncio.Queue[Line]"]


class Feed:
    """Facts as JSON. dropped: those that somebody was too slow for."""

    def __init__(self) -> None:
        self.dropped = 0
        self._followers: list[Follower] = []
        self._telling = threading.Lock()

    @property
    def followers(self) -> int:
        """How many there are."""
        return len(self._followers)

    def tell(self, fact: msgspec.Struct) -> None:
        """Tell everyone, without waiting for anyone. From any thread."""
        if self._followers:
            self._put(msgspec.json.encode(fact).decode())

    def close(self) -> None:
        """End all streams. From any thread."""
        self._put(None)

    async def follow(self, patience_s: float) -> AsyncGenerator[str]:
        """Give each fact as it comes; an empty one where none came for so long."""
        follower: Follower = (asyncio.get_running_loop(), asyncio.Queue(QUEUE))
        with self._telling:
            self._followers.append(follower)
        try:
            yield ""
            while True:
                try:
                    line = await asyncio.wait_for(follower[1].get(), patience_s)
                except (asyncio.TimeoutError, TimeoutError):
                    line = ""
                if line is None:
                    return
                yield line
        finally:
            with self._telling:
                self._followers.remove(follower)

    def _put(self, line: Line) -> None:
        with self._telling:
            for loop, queue in self._followers:
                with suppress(RuntimeError):  # its server has just ended
                    loop.call_soon_threadsafe(self._queue, queue, line)

    def _queue(self, queue: asyncio.Queue[Line], line: Line) -> None:
        if queue.full():
            queue.get_nowait()
            self.dropped += 1
        queue.put_nowait(line)
