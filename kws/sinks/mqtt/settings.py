"""Settings of the MQTT sink, and whether they make sense."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import msgspec

from kws.errors import ConfigError
from kws.files import read_regular
from kws.home import expanded
from kws.origin import Strict
from kws.permissions import exposures
from kws.sinks.mqtt.topics import slug


class Settings(Strict, frozen=True):
    """Where the broker is, and what this device is called there.

    port: unless told 1883, with tls 8883. ca_file: trusted instead of the system's authorities.
    topic: what all topics begin with. discovery: Home Assistant's prefix; empty: it is told
    nothing. name: the device's, for people. id: unlike all other devices'; else the host's name.
    """

    host: str
    port: Annotated[int, msgspec.Meta(ge=1, le=65_535)] | None = None
    username: str | None = None
    password: str | None = None
    password_file: str | None = None
    tls: bool = False
    ca_file: str | None = None
    topic: str = "kws"
    discovery: str = "homeassistant"
    name: str = "kws"
    id: str = ""
    qos: Annotated[int, msgspec.Meta(ge=0, le=2)] = 1


def check(settings: Settings) -> None:
    """Raise ConfigError where settings make no sense."""
    try:
        good = bool(settings.host.encode("idna"))
    except UnicodeError:
        good = False
    if not good:
        raise ConfigError(f"mqtt: host {settings.host!r} makes no sense")
    for name, topic in ("topic", settings.topic), ("discovery", settings.discovery or "off"):
        if not re.fullmatch(r"[^\s\x00+#/]+(/[^\s\x00+#/]+)*", topic):
            raise ConfigError(f"mqtt: {name} {topic!r} can't be one; use names with / between them")
    if settings.id and settings.id != slug(settings.id):
        raise ConfigError(f"mqtt: id {settings.id!r} holds more than letters, digits, _ and -")
    if settings.ca_file is not None and not settings.tls:
        raise ConfigError("mqtt: ca_file is for tls; add tls = true")
    if password(settings) is not None and settings.username is None:
        raise ConfigError("mqtt: a password needs a username")


def exposed(settings: Settings, config: str | None) -> list[str]:
    """Return what to warn of where others can read the password, or exchange it."""
    if settings.password_file is not None:
        return exposures(expanded(settings.password_file))
    return [] if settings.password is None or config is None else exposures(Path(config))


def password(settings: Settings) -> str | None:
    """Return it, from wherever it stands. Raises ConfigError: twice, or its file can't be read."""
    if settings.password_file is None:
        return settings.password
    if settings.password is not None:
        raise ConfigError("mqtt: give either password or password_file")
    try:
        return read_regular(expanded(settings.password_file)).decode().strip("\r\n")
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "no UTF-8"
        raise ConfigError(f"mqtt: {settings.password_file} can't be read ({reason})") from None
