"""Web: the HTTP server as the config says; begun anew only where its own settings changed."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from kws.errors import ConfigError
from kws.home import expanded
from kws.install_hint import install_hint
from kws.permissions import exposures
from kws.serve import logs
from kws.serve.ears import DiedError
from kws.serve.http.house import House
from kws.serve.http.settings import Http, token
from kws.serve.where import about

if TYPE_CHECKING:
    from kws.serve.http.server import Server

BACKLOG = 64


def check(settings: Http | None) -> str:
    """Return what everyone must know who asks. Raises ConfigError: it can't be as they say."""
    if settings is None:
        return ""
    with about("http"):
        try:
            import starlette
            import uvicorn
            import wsproto
        except ImportError:
            raise ConfigError(
                f"http needs starlette, uvicorn, wsproto; {install_hint('serve')}"
            ) from None
        del starlette, uvicorn, wsproto
    with about("http", "token_file" if settings.token_file else "host"):
        known = token(settings)
        if settings.token_file:
            for line in exposures(expanded(settings.token_file)):
                logs.say("warning", f"http: {line}")
        return known


class Web:
    """None or one server. All is called from the daemon's thread.

    address: where it can be asked, None: nowhere; from any thread.
    """

    def __init__(self, house: House) -> None:
        self._house = house
        self._server: Server | None = None
        self._socket: socket.socket | None = None
        self._asked: tuple[str, int] | None = None
        self.address: tuple[str, int] | None = None
        self._known: tuple[Http, str] | None = None

    def claim(self, settings: Http | None) -> None:
        """Take the address that the settings name. Raises DiedError: it is taken already.

        It stays open while servers change: nobody is turned away meanwhile.
        """
        asked = None if settings is None else (settings.host, settings.port)
        if asked == self._asked:
            return
        opened = None if asked is None else _listening(*asked)
        self.address = None if opened is None else opened.getsockname()[:2]
        if self.address is not None:
            host, port = self.address
            at = f"[{host}]" if ":" in host else host
            logs.say("info", f"http: answers at http://{at}:{port}")
        if self._socket is not None:
            self._socket.close()
        self._socket, self._asked = opened, asked

    def arrange(self, settings: Http | None, known: str) -> None:
        """Answer as the settings say, at the address that was claimed for them."""
        wanted = None if settings is None else (settings, known)
        if wanted == self._known:
            return
        if self._server is not None:
            self._server.close()
            self._house.end_streams()
            self._server = None
        if settings is not None and self._socket is not None:
            from kws.serve.http.server import Server

            self._server = Server(self._house, settings, known, self._socket.dup())
        self._known = wanted

    def check(self) -> None:
        """Raise DiedError where the server has ended by itself."""
        if self._server is not None and not self._server.running:
            failure = self._server.failure
            what = f"{type(failure).__name__}: {failure}" if failure else "it ended"
            raise DiedError(f"http: its thread died ({what})")

    def close(self, timeout: float) -> None:
        """Answer nobody any more."""
        if self._server is not None:
            self._server.close()
            self._house.end_streams()
            self._server.join(timeout)
        if self._socket is not None:
            self._socket.close()


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        opened = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise DiedError(f"http: {host}, port {port}: {error.strerror or error}") from None
    opened.setblocking(False)  # for all that share it: a server that leaves must not wait in it
    return opened
