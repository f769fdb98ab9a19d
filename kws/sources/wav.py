"""WAV headers: what a RIFF file says about its samples."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from kws.errors import AudioError

UNKNOWN = 0x7FFF_0000
"""Programs that write into a pipe can't know the length: they give 0 or about this, or more."""

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE


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
    """Read a WAV header up to its first sample; `RIFF....WAVE` has been read.

    read: gives exactly as many bytes as asked, fewer only at the end. Return the layout, and the
    bytes of audio that follow (None: until the end).

    Raises AudioError: it ends too soon, or is compressed.
    """
    layout = None
    while True:
        head = read(8)
        if len(head) < 8:
            raise AudioError(f"{name}: ended within the WAV header")
        kind, size = struct.unpack("<4sI", head)
        if kind == b"data":
            if layout is None:
                raise AudioError(f"{name}: a WAV whose samples come before their format")
            return layout, size if 0 < size < UNKNOWN else None
        body = read(size + size % 2)  # parts begin at even places
        if len(body) < size:
            raise AudioError(f"{name}: ended within the WAV header")
        if kind == b"fmt ":
            layout = _layout(body, name)


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


def promised_bytes(file: BinaryIO) -> tuple[int, int]:
    """Return the bytes of audio that a WAV file's header promises, and how many are there.

    libsndfile reads a file that was cut off without a word. Of any other file, and of one whose
    writer could not know, return (0, 0).
    """
    head = file.read(12)
    if head[:4] != b"RIFF" or head[8:] != b"WAVE":
        return 0, 0
    while len(head := file.read(8)) == 8:
        kind, size = struct.unpack("<4sI", head)
        if kind == b"data":
            begun = file.tell()
            return (size, file.seek(0, 2) - begun) if size < UNKNOWN else (0, 0)
        file.seek(size + size % 2, 1)
    return 0, 0
