"""Patience: how long a connection may take to say what it wants."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


class Patient(H11Protocol):
    """HTTP, where a request's head must be there in time, and connections are limited.

    A few more are let in than are served, so that they hear why they are not.
    """

    def __init__(self, *given: Any, timeout_s: float, most: int, **named: Any) -> None:
        super().__init__(*given, **named)
        self._timeout_s, self._most = timeout_s, most
        self._timer: asyncio.TimerHandle | None = None
        self._last = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        if len(self.connections) > self._most:
            transport.abort()
        else:
            self._watch()

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """Begin to wait for the next request."""
        super().on_response_complete()
        self._watch()
        if self._last:
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
        """Let time run while a head is awaited, from its first moment on."""
        if self.conn.their_state is not h11.IDLE:
            self._unwatch()
        elif self._timer is None:
            self._timer = self.loop.call_later(self._timeout_s, self.transport.abort)

    def _unwatch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
