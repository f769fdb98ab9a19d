"""Announce: lets Home Assistant find the server by itself, by multicast DNS."""

from __future__ import annotations

import asyncio
import socket
from importlib.util import find_spec
from ipaddress import ip_address

from kws.errors import ConfigError
from kws.install_hint import missing_packages
from kws.serve import logs
from kws.serve.loopback import is_loopback

TYPE = "_wyoming._tcp.local."


def check(host: str) -> None:
    """Raise ConfigError where a server at this host can't be announced."""
    if find_spec("zeroconf") is None:
        raise ConfigError(missing_packages(["zeroconf"], "zeroconf"))
    if is_loopback(host):
        raise ConfigError(
            f"nobody else reaches {host}, so nobody need find it; let uri name another address"
        )


async def announce(host: str, port: int) -> None:
    """Announce a server at a host and port until cancelled; then take leave."""
    from zeroconf import Error as ZeroconfError
    from zeroconf import InterfaceChoice
    from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

    try:
        anywhere = ip_address(host).is_unspecified
    except ValueError:  # a name
        anywhere = True
    try:
        known = AsyncZeroconf(interfaces=InterfaceChoice.All if anywhere else [host])
    except (OSError, ZeroconfError, RuntimeError) as error:
        logs.say("warning", f"wyoming: can't be announced by zeroconf: {error}")
        return
    name = socket.gethostname().partition(".")[0]
    addresses = _addresses() if anywhere else [host]
    info = AsyncServiceInfo(TYPE, f"kws {name}.{TYPE}", port=port, parsed_addresses=addresses)
    try:
        await (await known.async_register_service(info, allow_name_change=True))
        logs.say("info", f"wyoming: announced by zeroconf as {info.name}")
        await asyncio.Event().wait()
    except (OSError, ZeroconfError) as error:
        logs.say("warning", f"wyoming: can't be announced by zeroconf: {error}")
    finally:
        await known.async_close()  # which takes leave


def _addresses() -> list[str]:
    """Return this computer's addresses, as others may reach them."""
    import ifaddr  # zeroconf's own

    found = [each.ip for adapter in ifaddr.get_adapters() for each in adapter.ips]
    plain = [each if isinstance(each, str) else each[0] for each in found]
    return [each for each in plain if not (is_loopback(each) or ip_address(each).is_link_local)]
