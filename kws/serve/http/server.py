"""Server: the thread that answers, with a loop of its own."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from functools import partial

import uvicorn

from kws.serve import logs
from kws.serve.http.app import app
from kws.serve.http.house import House
from kws.serve.http.patience import Patient, PatientSocket
from kws.serve.http.settings import Http
from kws.serve.seldom import Seldom

GRACE_S = 1
BACKLOG = 64
"""So many connections are accepted at once: each is a file, of which others need some, too."""


class _Told(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self._seldom = Seldom()

    def emit(self, record: logging.LogRecord) -> None:
        _, error, _ = record.exc_info or (None, None, None)
        if error is None:  # others' mistakes fill no log
            logs.say("debug", f"http: {record.getMessage()}")
        else:
            text = record.getMessage().partition("\n")[0]
            self._seldom.say("error", f"{record.name}: {text} ({type(error).__name__}: {error})")


class Server:
    """Answers on a socket until closed. failure: what its thread died of."""

    def __init__(self, house: House, settings: Http, token: str, listening: socket.socket) -> None:
        self.failure: BaseException | None = None
        told = _Told()
        for name in "uvicorn", "asyncio":
            log = logging.getLogger(name)
            log.handlers[:], log.propagate = [told], False
            log.setLevel(logging.WARNING)
        wait_s = settings.timeout_s
        patient = partial(Patient, timeout_s=wait_s, most=settings.connections)
        self._socket = listening
        self._server = uvicorn.Server(
            uvicorn.Config(
                app(house, settings, token),
                http=patient,  # type: ignore[arg-type]
                ws=partial(PatientSocket, timeout_s=wait_s),  # type: ignore[arg-type]
                loop="asyncio",
                lifespan="off",
                log_config=None,
                access_log=False,
                backlog=BACKLOG,
                proxy_headers=False,
                server_header=False,
                ws_max_size=1 << 20,
                ws_per_message_deflate=False,
                timeout_keep_alive=5,
                timeout_graceful_shutdown=GRACE_S,
            )
        )
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take no more requests, and end. From any thread."""
        self._server.should_exit = True

    def join(self, timeout: float) -> None:
        """Wait for the thread to end."""
        self._thread.join(timeout)

    @property
    def running(self) -> bool:
        """Whether the thread has not ended."""
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - the daemon ends, and says why
            self.failure = error

    async def _serve(self) -> None:
        await self._server.serve([self._socket])
        for connection in list(self._server.server_state.connections):
            if connection.transport is not None:
                connection.transport.abort()
        await asyncio.sleep(0)
