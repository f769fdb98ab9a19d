"""Network: the servers that hear for others, as the config says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kws.errors import ConfigError
from kws.serve.build import Built
from kws.serve.doors import door
from kws.serve.ears import DiedError
from kws.serve.where import about

if TYPE_CHECKING:
    from kws.serve.wyoming.offer import Offer
    from kws.serve.wyoming.server import Server

SHUT_S = 1.0
"""So long a server that is replaced may take to free its address."""


class Network:
    """Whoever connects is heard here."""

    def __init__(self) -> None:
        self._server: Server | None = None

    def arrange(self, offer: Offer | None) -> None:
        """Offer this from now on. Clients stay, unless they would have to come in elsewhere."""
        wanted = None if offer is None else offer.built.config.wyoming
        if self._server is not None and self._server.settings != wanted:
            self.close(SHUT_S)
        if offer is None or wanted is None:
            return
        if self._server is None:
            from kws.serve.wyoming.server import Server

            self._server = Server(wanted, offer)
        self._server.offer = offer

    def check(self) -> None:
        """Raise DiedError where a server died."""
        failure = None if self._server is None else self._server.failure
        if failure is not None:
            raise DiedError(f"wyoming: its thread died ({type(failure).__name__}: {failure})")

    def close(self, timeout: float) -> None:
        """End all connections."""
        if self._server is not None:
            self._server.shut(timeout)
        self._server = None


def offered(built: Built) -> Offer | None:
    """Return what the config offers to others; None: nothing. Raises ConfigError."""
    wanted = built.config.wyoming
    if wanted is None:
        return None
    door("wyoming", wanted.uri, wanted.allow)
    try:
        from kws.serve.wyoming.offer import offer
    except ImportError:
        with about("wyoming"):
            raise ConfigError("this needs the package wyoming; pip install 'kws[serve]'") from None
    return offer(built)
