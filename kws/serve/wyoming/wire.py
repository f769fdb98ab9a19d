"""Wire: events as they come over the network, within limits, and what they must hold."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any, Literal, TypeVar

import msgspec
import numpy as np
from msgspec import Meta
from wyoming.event import Event

from kws.errors import AudioError, KwsError
from kws.flow import Samples

HEADER = DATA = 65_536
"""Bytes that an event's line, and its data, may have."""
PAYLOAD = 1_048_576
"""Bytes of audio that may come at once: half a minute at 16 kHz."""

SCALES = {1: ("u1", 2**7), 2: ("<i2", 2**15), 4: ("<i4", 2**31)}
"""By bytes a sample: how it is stored, and its full scale. One byte has no sign."""

Table = TypeVar("Table", bound=msgspec.Struct)
Size = Annotated[int, Meta(ge=0)]


class WireError(KwsError, ValueError):
    """What came makes no sense, or is too large."""


class _Header(msgspec.Struct):
    """An event's first line."""

    type: str
    data: dict[str, Any] | None = None
    data_length: Size | None = None
    payload_length: Size | None = None


class Audio(msgspec.Struct):
    """The format of audio, as it stands in `audio-start` and with each piece."""

    rate: Annotated[int, Meta(ge=4_000, le=384_000)]
    width: Literal[1, 2, 4]
    channels: Annotated[int, Meta(ge=1, le=16)]

    def samples(self, payload: bytes) -> Samples:
        """Return what bytes hold: float32 [n, channels]."""
        if len(payload) % (self.width * self.channels):
            raise AudioError(f"{len(payload)} bytes are no whole number of samples")
        stored, full = SCALES[self.width]
        found = np.frombuffer(payload, stored).astype(np.float32)
        if self.width == 1:
            found -= full
        found /= np.float32(full)
        return found.reshape(-1, self.channels)


class Detect(msgspec.Struct):
    """Which words to hear; none of them: all that there are."""

    names: list[str] | None = None


class Ping(msgspec.Struct):
    """What to give back."""

    text: str | None = None


async def read(reader: asyncio.StreamReader) -> Event | None:
    """Return the next event; None: there will be no more.

    Raises WireError, OSError, IncompleteReadError: it breaks off in the midst of one.
    """
    try:
        line = await reader.readline()
    except ValueError:
        raise WireError(f"a line of more than {HEADER} bytes") from None
    if not line.endswith(b"\n"):
        return None
    header = checked(_loaded(line), _Header)
    data, size = header.data or {}, header.data_length or 0
    if size > DATA or (header.payload_length or 0) > PAYLOAD:
        raise WireError(f"an event may have {DATA} bytes of data, and {PAYLOAD} of audio")
    if size:
        more = _loaded(await reader.readexactly(size))
        if more is not None and not isinstance(more, dict):
            raise WireError("an event's data is no object")
        data |= more or {}
    payload = await reader.readexactly(header.payload_length) if header.payload_length else None
    return Event(header.type, data, payload)


def checked(data: Any, kind: type[Table]) -> Table:
    """Return what data says. Raises WireError: something is missing, or makes no sense."""
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        raise WireError(str(error)) from None


def _loaded(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise WireError("an event is no JSON") from None
