"""Headers: what recordings claim about their length, and what is true."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import Any, BinaryIO

from kws.sources.wav import MOST_PARTS, UNKNOWN

RF64_UNKNOWN = 0xFFFF_FFFF
"""In RF64 the data chunk gives this, and an earlier chunk the true size."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a header claims about its samples. Bytes.

    size: claimed; 0 where the writer could not know, and of formats that libsndfile gets right.
    there: what follows the header. patches: (offset, bytes) that make the header tell the truth,
    where libsndfile would hear less than is there.
    """

    size: int = 0
    there: int = 0
    patches: tuple[tuple[int, bytes], ...] = ()


def examine(file: BinaryIO) -> Claim:
    """Return what the header of an open recording, at its beginning, claims."""
    head = file.read(12)
    if head[:4] in {b"RIFF", b"RF64", b"BW64"} and head[8:] == b"WAVE":
        return _wave(file)
    if head[:4] == b"caff":
        return _caf(file)
    return Claim()


def _wave(file: BinaryIO) -> Claim:
    """A WAV, or an RF64; the first 12 bytes have been read."""
    true_at = true = None
    for _ in range(MOST_PARTS):
        if len(head := file.read(8)) < 8:
            break
        kind, size = struct.unpack("<4sI", head)
        begun = file.tell()
        if kind == b"ds64" and len(body := file.read(16)) == 16:
            true_at, true = begun + 8, struct.unpack("<QQ", body)[1]
        elif kind == b"data":
            end = file.seek(0, io.SEEK_END)
            if true_at is not None and size == RF64_UNKNOWN:
                patch = (true_at, struct.pack("<Q", end - begun))
                return _claim(file, true or 0, (begun, end), patch)
            there = min(end - begun, RF64_UNKNOWN - 1)
            patch = (begun - 4, struct.pack("<I", there))
            if size >= UNKNOWN:
                return Claim(0, end - begun)  # libsndfile hears such a file to its end
            return _claim(file, size, (begun, end), patch)
        file.seek(begun + size + size % 2)  # parts begin at even places
    return Claim()


def _claim(file: BinaryIO, size: int, part: tuple[int, int], patch: tuple[int, bytes]) -> Claim:
    """Return what a header claims that gives `size` bytes to the part between two places."""
    begun, end = part
    there = end - begun
    # Parts begin at even places, but not every writer knows that.
    ends = [begun + size, begun + size + size % 2]
    if size < there and not (size and any(_ends(file, at, end) for at in ends)):
        return Claim(0, there, (patch,))
    return Claim(size, there)


def _ends(file: BinaryIO, at: int, end: int) -> bool:
    """Whether the samples end here: nothing follows, or another part of the file."""
    file.seek(at)
    head = file.read(8)
    return len(head) < 8 or begins_part(head, end - at)


def begins_part(head: bytes, room: int) -> bool:
    """Whether 8 bytes begin a part of a WAV, of at most `room` bytes, or tags: not audio."""
    kind, size = struct.unpack("<4sI", head)
    printable = all(32 <= byte < 127 for byte in kind)
    return kind[:3] in {b"TAG", b"ID3"} or (printable and size + 8 <= room + 1)


def _caf(file: BinaryIO) -> Claim:
    file.seek(8)
    for _ in range(MOST_PARTS):
        if len(head := file.read(12)) < 12:
            break
        kind, size = struct.unpack(">4sq", head)
        begun = file.tell()
        if kind == b"data":
            there = file.seek(0, io.SEEK_END) - begun
            if size == -1:  # "until the end": libsndfile refuses it
                return Claim(0, there, ((begun - 8, struct.pack(">q", there)),))
            return Claim(max(0, size), there)
        if size < 0:
            break
        file.seek(begun + size)
    return Claim()


class PatchedFile(io.RawIOBase):
    """A file, some of whose bytes read as others."""

    def __init__(self, file: BinaryIO, patches: tuple[tuple[int, bytes], ...]) -> None:
        self._file, self._patches = file, patches

    def readable(self) -> bool:
        """It can be read."""
        return True

    def seekable(self) -> bool:
        """It can be read anywhere."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place; return it."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the place."""
        return self._file.tell()

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer as far as there are bytes; return how many."""
        view = memoryview(buffer).cast("B")
        try:
            at = self._file.tell()
            data = self._file.read(len(view))
        except OSError:  # libsndfile can't be told; what it misses is told as cut off
            return 0
        view[: len(data)] = data
        for offset, patch in self._patches:
            first, last = max(at, offset), min(at + len(data), offset + len(patch))
            if first < last:
                view[first - at : last - at] = patch[first - offset : last - offset]
        return len(data)

    def close(self) -> None:
        """Close the file beneath."""
        self._file.close()
        super().close()
