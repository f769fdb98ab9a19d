"""Decoder: what libsndfile makes of a stream of bytes that can't be rewound."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from kws.errors import AudioError
from kws.flow import Samples, check_format

BLOCK_S = 0.25
KEPT = 1 << 20
"""Bytes of a stream's beginning that can be read again, while its header is looked at."""
ENDLESS = 1 << 40
"""The length that a stream claims: more than anybody waits for."""


class Decoder:
    """Decodes FLAC, or another format that can be read from its beginning on.

    read: gives exactly as many bytes of the stream as asked, fewer only at its end; head: what
    was read already. form: the format's name. rate: Hz. channels: how many.
    Raises AudioError: it can't be decoded, has no usable rate.
    """

    def __init__(self, read: Callable[[int], bytes], head: bytes, *, name: str, form: str) -> None:
        import soundfile

        self._name, self._stream = name, _Forward(read, head)
        try:
            self._file: Any = soundfile.SoundFile(self._stream)
        except soundfile.LibsndfileError as error:
            self._stream.check()
            raise AudioError(
                f"{name}: carries {form} that can't be read ({error.error_string})"
            ) from None
        self.rate: int = self._file.samplerate
        self.channels: int = self._file.channels
        check_format(self.rate, self.channels, where=name)
        self._file.seekable = lambda: False  # it has no end that could be looked for
        self._block = max(1, min(round(BLOCK_S * self.rate), (1 << 19) // self.channels))
        self._heard = 0

    def read(self) -> Samples:
        """Return the next block: float32 [n, channels], n is 0 at the end. Raises AudioError."""
        import soundfile

        self._stream.forget()
        try:
            samples: Samples = self._file.read(self._block, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            self._stream.check()
            seconds = self._heard / self.rate
            raise AudioError(
                f"{self._name}: unreadable after {seconds:.2f} s ({error.error_string})"
            ) from None
        self._stream.check()
        self._heard += len(samples)
        return samples


class _Forward(io.RawIOBase):
    """A stream as a file, which libsndfile wants: its beginning is kept, its length made up.

    What lies further ahead than was kept reads as nothing. After `forget` there is no way back.
    """

    def __init__(self, read: Callable[[int], bytes], head: bytes) -> None:
        self._source, self._kept = read, bytearray(head)
        self._first = self._at = 0  # where what is kept begins; where reading goes on
        self._opening = True
        self._failed: AudioError | None = None

    def check(self) -> None:
        """Raise what reading failed with: libsndfile would not pass it on."""
        if self._failed is not None:
            raise self._failed

    def forget(self) -> None:
        """Keep no more than what is still to be read."""
        self._opening = False

    def readable(self) -> bool:
        """It can be read."""
        return True

    def seekable(self) -> bool:
        """It says so, at least."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place; return it."""
        self._at = (0, self._at, ENDLESS)[whence] + offset  # libsndfile goes below 0, too
        return self._at

    def tell(self) -> int:
        """Return the place."""
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer; return how many bytes there were, 0 for what is gone or far ahead."""
        view = memoryview(buffer).cast("B")
        end = self._first + len(self._kept)
        ahead = self._at + len(view) - end
        if self._at < self._first or (self._opening and ahead > KEPT):
            return 0
        try:
            while ahead > 0 and (data := self._source(min(ahead, KEPT))):
                self._kept += data
                ahead -= len(data)
        except AudioError as error:
            self._failed = error
        at = self._at - self._first
        found = self._kept[at : at + len(view)]
        view[: len(found)] = found
        self._at += len(found)
        if not self._opening:
            del self._kept[: self._at - self._first]
            self._first = self._at
        return len(found)
