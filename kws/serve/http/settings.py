"""Settings of the HTTP server, and whether they make sense."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from kws.errors import ConfigError
from kws.files import read_regular
from kws.home import expanded
from kws.origin import Strict
from kws.serve.loopback import is_loopback

SHORTEST_TOKEN = 16
MEGABYTE = 1_000_000

Count = Annotated[int, Meta(ge=1, le=1_000)]
Positive = Annotated[float, Meta(gt=0, le=3_600)]


class Http(Strict, frozen=True):
    """Where it is asked, by whom, and how much.

    hosts: names that it is called by, beside localhost and addresses. origins: web pages of others
    that may ask. token_file: holds what everyone must know who asks. body_mb, clip_s: a recording's
    most. connections: at the same time. timeout_s: for a request to arrive, and to be taken.
    """

    host: Annotated[str, Meta(min_length=1)] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535)] = 8765
    token_file: str = ""
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    body_mb: Positive = 10.0
    clip_s: Positive = 60.0
    connections: Count = 32
    timeout_s: Positive = 10.0

    @property
    def most_bytes(self) -> int:
        """The longest body that is taken."""
        return int(self.body_mb * MEGABYTE)


def token(settings: Http) -> str:
    """Return what everyone must know who asks; empty: nothing.

    Raises ConfigError: its file can't be read, it is too short, or others could ask without one.
    """
    if not settings.token_file:
        if not is_loopback(settings.host):
            raise ConfigError(
                f"others reach {settings.host}: name a token_file with {SHORTEST_TOKEN} or more "
                "characters that nobody guesses"
            )
        return ""
    try:
        found = read_regular(expanded(settings.token_file)).decode("ascii").strip()
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "no ASCII"
        raise ConfigError(f"{settings.token_file} can't be read ({reason})") from None
    if len(found) < SHORTEST_TOKEN or len(found.split()) != 1:
        raise ConfigError(
            f"{settings.token_file}: a token has {SHORTEST_TOKEN} characters or more, and no blanks"
        )
    return found
