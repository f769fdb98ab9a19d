"""Pipe: audio from stdin or a named pipe, as it comes."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from kws.errors import AudioError
from kws.flow import Block, Event, Samples, check_format
from kws.sources.decoder import Decoder
from kws.sources.formats import FROM_PIPES, LOOKED_AT, NO_AUDIO, format_name, may_be_frames
from kws.sources.headers import begins_part
from kws.sources.wav import Layout, read_header

READ = 32_768
"""Bytes asked for at a time, at most: a second of 16 kHz; a live pipe gives what it has."""


class Pipe:
    """A stream of bytes that can't be rewound: a WAV, or raw 16-bit little-endian samples.

    FLAC, AU, AIFF, W64 and what else libsndfile reads from the beginning on is heard too; what
    is known to be something else is refused by its name.
    rate, channels: of raw samples; a header says its own. The header is read when the pipe
    is made, samples as they come. Blocks are float32 [n, channels], full scale 1.0.

    Raises AudioError, when made or while read: nothing came, it can't be read, has no usable
    rate, is not finite.
    """

    live = False

    def __init__(
        self, stream: BinaryIO, *, name: str = "stdin", rate: int = 16_000, channels: int = 1
    ) -> None:
        self._stream, self._name = stream, name
        self._closed = False
        self._reading = threading.Lock()
        self._left: int | None = None
        self._rest = b""
        self._decoder: Decoder | None = None
        head = self._exactly(12)
        if not head:
            raise AudioError(f"{name}: no audio came")
        if head[:4] in {b"RIFF", b"RF64", b"BW64"} and head[8:] == b"WAVE":
            self._layout, self._left = read_header(self._exactly, name=name)
            self._tailed = self._left is not None
            self._padding = (self._left or 0) % 2
        else:
            self._begin(head, Layout(rate, channels, 2))
        self.rate, self.channels = self._layout.rate, self._layout.channels
        check_format(self.rate, self.channels, where=name)

    def _begin(self, head: bytes, raw: Layout) -> None:
        """Begin a stream that is no WAV: decode it, or take it for raw samples."""
        if may_be_frames(head):
            head += self._exactly(LOOKED_AT - len(head))
        self._tailed, found = False, format_name(head)
        if found is None:
            self._layout, self._rest = raw, head
        elif found in FROM_PIPES:
            self._decoder = Decoder(self._exactly, head, name=self._name, form=found)
            self._layout = Layout(self._decoder.rate, self._decoder.channels, 4, floating=True)
        elif found in NO_AUDIO:
            raise AudioError(f"{self._name}: carries {found}, which is no audio")
        else:
            raise AudioError(
                f"{self._name}: carries {found}, which can't be read from a pipe; "
                "convert it: ffmpeg -i FILE -f wav - | kws ..."
            )

    def __iter__(self) -> Iterator[Block]:
        """Deliver what comes, until the pipe ends."""
        start = 0
        decoder = self._decoder
        for samples in self._plain() if decoder is None else self._decoded(decoder):
            self._check(samples, start)
            yield Block(samples, start, self.rate)
            start += len(samples)
        if not start and not self._closed:
            raise AudioError(f"{self._name}: no audio came")

    def _plain(self) -> Iterator[Samples]:
        step = self._layout.step
        while not self._closed and (data := self._rest + (came := self._some())):
            whole = len(data) // step * step
            self._rest = data[whole:]
            if whole:
                yield _floats(data[:whole], self._layout)
            if not came:
                break  # half a sample is left: it is nothing

    def _decoded(self, decoder: Decoder) -> Iterator[Samples]:
        while not self._closed:
            with self._reading:
                samples = decoder.read()
            if not len(samples):
                break
            yield samples

    def poll_events(self) -> list[Event]:
        """Nothing: only a device has something to tell."""
        return []

    def close(self) -> None:
        """End the iteration, after the block it is waiting for; from any thread."""
        self._closed = True
        if self._reading.acquire(blocking=False):  # closing would wait for a read to end
            self._stream.close()
            self._reading.release()

    def _some(self) -> bytes:
        """Return what is there now, waiting for the first byte; nothing at the end."""
        if self._left == 0 and self._tailed and (tail := self._unannounced()):
            return tail
        wanted = READ if self._left is None else min(READ, self._left)
        if not wanted:
            return b""
        try:
            with self._reading:
                if self._closed:
                    return b""
                if isinstance(self._stream, io.BufferedReader):
                    data = self._stream.read1(wanted)  # read() would wait until it has them all
                else:
                    data = self._stream.read(wanted)
        except OSError as error:
            raise AudioError(f"{self._name}: can't be read ({error})") from None
        if self._left is not None:
            self._left -= len(data)
        return data

    def _unannounced(self) -> bytes:
        """Return what goes on after the samples that a WAV's header announced, if it is audio."""
        self._tailed = False
        with self._reading:
            head = b"" if self._closed else self._exactly(8 + self._padding)
        if len(head) < 8 + self._padding or begins_part(head[self._padding :], 1 << 32):
            return b""
        self._left = None  # its writer did not know
        return head

    def _exactly(self, size: int) -> bytes:
        try:
            return self._stream.read(size)
        except OSError as error:
            raise AudioError(f"{self._name}: can't be read ({error.strerror or error})") from None

    def _check(self, samples: Samples, start: int) -> None:
        if self._layout.floating and not (finite := np.isfinite(samples).all(axis=1)).all():
            at = (start + int(np.argmin(finite))) / self.rate
            raise AudioError(f"{self._name}: not a number (NaN or infinity) at {at:.3f} s")


def _floats(data: bytes, layout: Layout) -> Samples:
    """Return [n, channels] float32 in [-1, 1]."""
    samples: Samples
    if layout.floating:
        samples = np.frombuffer(data, f"<f{layout.width}").astype(np.float32)
    elif layout.width == 1:  # the only unsigned one
        samples = (np.frombuffer(data, np.uint8).astype(np.float32) - 128) * _scale(1)
    elif layout.width == 3:
        # Each becomes the upper three bytes of a 32-bit number.
        wide = np.zeros((len(data) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        samples = wide.view("<i4")[:, 0].astype(np.float32) * _scale(4)
    else:
        whole = np.frombuffer(data, f"<i{layout.width}")
        samples = whole.astype(np.float32) * _scale(layout.width)
    return samples.reshape(-1, layout.channels)


def _scale(width: int) -> Any:
    """Return what takes integers of `width` bytes to full scale 1.0, in float32."""
    return np.float32(2.0 ** (1 - 8 * width))
