"""Settings of the Wyoming server."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from kws.origin import Strict

Name = Annotated[str, Meta(min_length=1)]


class Wyoming(Strict, frozen=True):
    """Hears for others.

    commands: also these. allow: who may come from elsewhere; "any": all. zeroconf: let it be found.
    """

    uri: str = "tcp://127.0.0.1:10400"
    commands: bool = False
    allow: tuple[Name, ...] = ()
    max_streams: Annotated[int, Meta(ge=1)] = 32
    zeroconf: bool = False
