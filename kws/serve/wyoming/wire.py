"""Wire: bytes as they come over the network become events, within limits."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from kws.errors import AudioError, KwsError

HEADER = DATA = 65_536
"""Bytes that an event's line, and its data, may have."""
PAYLOAD = 1_048_576
"""Bytes of audio that may come at once: half a minute at 16 kHz."""

SCALES = {1: ("u1", 2**7), 2: ("<i2", 2**15), 4: ("<i4", 2**31)}
"""By bytes a sample: how it is stored, and its full scale. One byte has no sign."""

Size = Annotated[int, Meta(ge=0)]


class WireError(KwsError, ValueError):
    """What came makes no sense, or is too large."""


class Audio(msgspec.Struct):
    """The format of audio, as it stands in `audio-start` and with each piece."""

    rate: Annotated[int, Meta(ge=4_000, le=384_000)]
    width: Literal[1, 2, 4]
    channels: Annotated[int, Meta(ge=1, le=16)]

    def samples(self, payload: bytes) -> NDArray[Any]:
        """Return what bytes hold: int16 or float32, [n, channels], or [n]: it is mono."""
        if len(payload) % (self.width * self.channels):
            raise AudioError(f"{len(payload)} bytes are no whole number of samples")
        stored, full = SCALES[self.width]
        found = np.frombuffer(payload, stored)
        if self.width == 2:
            found = found.astype(np.int16, copy=False)  # from the wire's byte order
        else:
            found = found.astype(np.float32) - (full if self.width == 1 else 0)
            found /= np.float32(full)
        return found if self.channels == 1 else found.reshape(-1, self.channels)


class Detect(msgspec.Struct):
    """Which words to hear; none of them: all that there are."""

    names: list[str] | None = None


class Ping(msgspec.Struct):
    """What to give back."""

    text: str | None = None


class Event(NamedTuple):
    """What came. data: as its type needs it, None: nobody reads it. payload: audio."""

    type: str
    data: Any
    payload: bytes


class _Header(msgspec.Struct):
    """An event's first line."""

    type: str
    data: dict[str, Any] | None = None
    data_length: Size | None = None
    payload_length: Size | None = None


KINDS: dict[str, Any] = {"audio-chunk": Audio, "audio-start": Audio, "detect": Detect, "ping": Ping}
"""What the data of events must hold; any other's may be anything."""
_BLOCKS = {name: msgspec.json.Decoder(kind | None) for name, kind in KINDS.items()}
_HEADER = msgspec.json.Decoder(_Header)
_TABLE = msgspec.json.Decoder(dict[str, Any] | None)


class Inbox:
    """Bytes in as they come, whole events out, in order."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._header: _Header | None = None

    def __len__(self) -> int:
        """Bytes that wait."""
        return len(self._bytes)

    def put(self, data: bytes | memoryview) -> None:
        """Take bytes."""
        self._bytes += data

    def next(self) -> Event | None:
        """Return the next event; None: it is not whole yet. Raises WireError."""
        header = self._header or self._line()
        if header is None:
            return None
        size = header.data_length or 0
        end = size + (header.payload_length or 0)
        if len(self._bytes) < end:
            self._header = header
            return None
        block, payload = bytes(self._bytes[:size]), bytes(self._bytes[size:end])
        del self._bytes[:end]
        self._header = None
        return Event(header.type, _data(header, block), payload)

    def _line(self) -> _Header | None:
        """Take the line that an event begins with; None: it is not whole yet."""
        end = self._bytes.find(b"\n", 0, HEADER)
        if end < 0:
            if len(self._bytes) >= HEADER:
                raise WireError(f"a line of more than {HEADER} bytes")
            return None
        header: _Header = _decoded(_HEADER, bytes(self._bytes[:end]))
        del self._bytes[: end + 1]
        if (header.data_length or 0) > DATA or (header.payload_length or 0) > PAYLOAD:
            raise WireError(f"an event may have {DATA} bytes of data, and {PAYLOAD} of audio")
        return header


def _data(header: _Header, block: bytes) -> Any:
    """Return what an event says: in its line, and in the block after it, which wins."""
    kind = KINDS.get(header.type)
    if header.data or not block or kind is None:
        more = _decoded(_TABLE, block) if block else None
        return None if kind is None else _checked({**(header.data or {}), **(more or {})}, kind)
    found = _decoded(_BLOCKS[header.type], block)
    return _checked({}, kind) if found is None else found


def _decoded(decoder: msgspec.json.Decoder[Any], text: bytes) -> Any:
    try:
        return decoder.decode(text)
    except msgspec.ValidationError as error:
        raise WireError(str(error)) from None
    except (ValueError, RecursionError):
        raise WireError("an event is no JSON") from None


def _checked(data: Any, kind: Any) -> Any:
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        raise WireError(str(error)) from None
