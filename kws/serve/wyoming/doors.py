"""Doors: on which address a server listens, and who may come in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from kws.errors import ConfigError
from kws.serve.loopback import is_loopback
from kws.serve.where import about

ANY = "any"


@dataclass(frozen=True)
class Door:
    """Where to listen, and who besides this computer may connect."""

    host: str
    port: int
    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    anybody: bool = False

    def lets_in(self, address: str) -> bool:
        """Whether somebody with this address may connect."""
        try:
            found = ip_address(address.partition("%")[0])
        except ValueError:
            return False
        if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        return self.anybody or found.is_loopback or any(found in each for each in self.networks)


def door(table: str, uri: str, allow: Iterable[str]) -> Door:
    """Return the door that a table of the config describes.

    Raises ConfigError: no such address, or others could connect but nobody says who may.
    """
    with about(table, "uri"):
        host, port = _address(uri)
    with about(table, "allow"):
        names = list(allow)
        networks = tuple(_network(name) for name in names if name != ANY)
    if not names and not is_loopback(host):
        with about(table, "uri"):
            raise ConfigError(
                f"{host} can be reached from other computers; say which ones may connect, as in "
                'allow = ["192.168.1.5"], or allow = ["any"]'
            )
    return Door(host, port, networks, ANY in names)


def _address(uri: str) -> tuple[str, int]:
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if host is None or port is None or parts.scheme != "tcp" or parts.path not in {"", "/"}:
        raise ConfigError(f"{uri!r} is no address to listen on; write it as tcp://127.0.0.1:10400")
    return host, port


def _network(name: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(name, strict=False)
    except ValueError:
        raise ConfigError(
            f"{name!r} is no address; write it as 192.168.1.5, as a network, 192.168.1.0/24, "
            'or "any" for everybody'
        ) from None
