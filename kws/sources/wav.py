"""WAV headers: what a RIFF file says about its samples."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from kws.errors import AudioError

UNKNOWN = 0x7FFF_0000
"""Programs that write into a pipe can't know the length: they give 0 or about this, or more."""

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE

MOST_PARTS = 10_000
"""A header of more parts is none: of zeros one would go on reading parts of no length."""
MOST_FORMAT = 4_096
"""Bytes that the part with the format may have."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How samples lie in a stream: `width` bytes each, `channels` interleaved, at `rate` Hz."""

    rate: int
    channels: int
    width: int
    floating: bool = False

    @property
    def step(self) -> int:
        """Bytes from one moment to the next."""
        return self.width * self.channels


def read_header(read: Callable[[int], bytes], *, name: str) -> tuple[Layout, int | None]:
    """Read the header of a WAV or RF64 up to its first sample; the first 12 bytes have been read.

    read: gives exactly as many bytes as asked, fewer only at the end. Return the layout, and the
    bytes of audio that follow (None: until the end). No more than a few KiB are held.

    Raises AudioError: it ends too soon, or is compressed.
    """
    layout, true_size = None, 0
    for _ in range(MOST_PARTS):
        head = read(8)
        if len(head) < 8:
            break
        kind, size = struct.unpack("<4sI", head)
        if kind == b"data":
            if layout is None:
                raise AudioError(f"{name}: a WAV whose samples come before their format")
            if true_size and size >= UNKNOWN:  # RF64
                return layout, true_size if true_size < 1 << 62 else None
            return layout, size if 0 < size < UNKNOWN else None
        body = read(min(size, MOST_FORMAT))
        left = size + size % 2 - len(body)  # parts begin at even places
        while left > 0 and (passed := len(read(min(left, MOST_FORMAT)))):
            left -= passed
        if left > 1:
            break
        if kind == b"fmt ":
            layout = _layout(body, name)
        elif kind == b"ds64" and len(body) >= 16:
            (true_size,) = struct.unpack("<Q", body[8:16])
    raise AudioError(f"{name}: ended within the WAV header")


def _layout(body: bytes, name: str) -> Layout:
    if len(body) < 16:
        raise AudioError(f"{name}: a WAV with a format of {len(body)} bytes, 16 are due")
    form, channels, rate, _, _, bits = struct.unpack("<HHIIHH", body[:16])
    if form == EXTENSIBLE and len(body) >= 26:
        (form,) = struct.unpack("<H", body[24:26])
    known = {PCM: (8, 16, 24, 32), FLOAT: (32, 64)}
    if bits not in known.get(form, ()) or not channels or not rate:
        raise AudioError(
            f"{name}: a WAV of format {form} with {bits} bits in a pipe; "
            "only plain samples can be piped, give the file's name instead"
        )
    return Layout(rate, channels, bits // 8, floating=form == FLOAT)
