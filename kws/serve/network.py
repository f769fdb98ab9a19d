"""Network: the servers that others ask, as the config says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kws.errors import ConfigError
from kws.install_hint import missing_packages
from kws.serve.build import Built
from kws.serve.ears import DiedError
from kws.serve.http.house import House
from kws.serve.http.web import Web, check
from kws.serve.where import about
from kws.serve.wyoming.announce import check as check_announcing
from kws.serve.wyoming.doors import door

if TYPE_CHECKING:
    from kws.serve.wyoming.offer import Offer
    from kws.serve.wyoming.server import Server

SHUT_S = 1.0
"""So long a server that is replaced may take to free its address."""
STREAMS_STOP_S = 0.2
"""So long the last turn may take."""


@dataclass(frozen=True)
class Plan:
    """What a config lets others do. offer: by Wyoming; token: what they must know over HTTP."""

    built: Built
    offer: Offer | None
    token: str


class Network:
    """Answers whoever connects. All is called from the daemon's thread."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._web = Web(house)
        self._wyoming: Server | None = None

    @property
    def http_address(self) -> tuple[str, int] | None:
        """Host and port of HTTP; None: it is not answered. From any thread."""
        return self._web.address

    @property
    def wyoming_address(self) -> tuple[str, int] | None:
        """Host and port of Wyoming; None: it does not listen yet. From any thread."""
        server = self._wyoming
        return None if server is None else server.address

    def claim(self, plan: Plan) -> None:
        """Take the addresses that must be free. Raises DiedError: one is taken already."""
        self._web.claim(plan.built.config.http)

    def arrange(self, plan: Plan) -> None:
        """Answer so from now on. Clients stay, unless they would have to come in elsewhere."""
        self._house.built = plan.built
        self._web.arrange(plan.built.config.http, plan.token)
        wanted = plan.built.config.wyoming
        if self._wyoming is not None and self._wyoming.settings != wanted:
            self._wyoming.shut(SHUT_S)
            self._wyoming = None
        if plan.offer is None or wanted is None:
            return
        if self._wyoming is None:
            from kws.serve.wyoming.server import Server

            self._wyoming = Server(wanted, plan.offer, self._house.streams)
        self._wyoming.offer = plan.offer

    def check(self) -> None:
        """Raise DiedError where a server died."""
        self._web.check()
        failure = None if self._wyoming is None else self._wyoming.failure
        if failure is not None:
            raise DiedError(f"wyoming: its thread died ({type(failure).__name__}: {failure})")

    def close(self, timeout: float) -> None:
        """End all connections."""
        self._web.close(0.0)
        if self._wyoming is not None:
            self._wyoming.shut(timeout)
        self._house.streams.close(STREAMS_STOP_S)


def planned(built: Built) -> Plan:
    """Return what a config lets others do. Raises ConfigError: it can't be so."""
    return Plan(built, _offered(built), check(built.config.http))


def _offered(built: Built) -> Offer | None:
    wanted = built.config.wyoming
    if wanted is None:
        return None
    host = door("wyoming", wanted.uri, wanted.allow).host
    if wanted.zeroconf:
        with about("wyoming", "zeroconf"):
            check_announcing(host)
    try:
        from kws.serve.wyoming.offer import offer
    except ImportError:
        with about("wyoming"):
            raise ConfigError(missing_packages(["wyoming"], "serve")) from None
    return offer(built)
