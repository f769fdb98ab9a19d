"""AudioFile: a recording, streamed; never loaded whole."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from kws.errors import AudioError
from kws.flow import Block, Event, Samples
from kws.sources.wav import promised_bytes

BLOCK_S = 0.5
"""Seconds of audio a block: few calls, little memory."""


class AudioFile:
    """Any file that libsndfile reads, at its own rate, with all its channels.

    rate: Hz. channels: how many. length: samples that the header promises.
    exact: whether reading may begin anywhere and give the same samples.
    first, last: deliver only the samples [first, last); None is to the end.
    Blocks are float32 [n, channels], full scale 1.0; `start` counts from the file's beginning.

    Raises AudioError, when made or while read: no such file, a directory, empty, not audio,
    cut off, not finite.
    """

    live = False

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        block_s: float = BLOCK_S,
        first: int = 0,
        last: int | None = None,
    ) -> None:
        if not isinstance(path, str | PathLike):
            raise AudioError(f"{path!r} is no path; give that of an audio file")
        self.path = Path(path)
        self._file = _open(self.path)
        self.rate: int = self._file.samplerate
        self.channels: int = self._file.channels
        self.length: int = self._file.frames
        self._first, self._last = first, last
        self._block = max(1, round(block_s * self.rate))
        # Only these can hold what is not a number.
        self._floats = self._file.subtype in {"FLOAT", "DOUBLE"}
        # Of what is coded with loss, a sample depends on where decoding began.
        self.exact: bool = self._floats or self._file.subtype.startswith("PCM_")
        self._closed = False
        self._lock = threading.Lock()  # libsndfile must not close a file that it is reading

    def __iter__(self) -> Iterator[Block]:
        """Deliver the recording, from its first sample."""
        import soundfile

        start = self._first
        try:
            while len(samples := self._read(start)):
                if self._floats:
                    self._check(samples, start)
                yield Block(samples, start, self.rate)
                start += len(samples)
        except soundfile.LibsndfileError as error:
            raise AudioError(
                f"{self.path}: unreadable after {start / self.rate:.2f} s ({error.error_string})"
            ) from None
        # An MP3 has no count of its samples, only a guess.
        promised = self.length if self._last is None else self._last
        if not self._closed and start < promised and self._file.format != "MP3":
            raise AudioError(
                f"{self.path}: cut off: {start / self.rate:.2f} s of the "
                f"{self.length / self.rate:.2f} s that its header promises"
            )

    def poll_events(self) -> list[Event]:
        """Nothing: only a device has something to tell."""
        return []

    def close(self) -> None:
        """End the iteration and let go of the file; from any thread."""
        with self._lock:
            self._closed = True
            self._file.close()

    def _read(self, start: int) -> Samples:
        """Return the next block, [0, channels] at the end."""
        with self._lock:
            if self._closed:
                return np.empty((0, self.channels), np.float32)
            if start == self._first:
                self._file.seek(start)
            wanted = self._block if self._last is None else min(self._block, self._last - start)
            samples: Samples = self._file.read(wanted, dtype="float32", always_2d=True)
            return samples

    def _check(self, samples: Samples, start: int) -> None:
        finite = np.isfinite(samples).all(axis=1)
        if not finite.all():
            at = (start + int(np.argmin(finite))) / self.rate
            raise AudioError(f"{self.path}: not a number (NaN or infinity) at {at:.3f} s")


def name_of(path: str | PathLike[str]) -> str | bytes:
    """Return a path as soundfile takes it: it can't encode a name that is not UTF-8."""
    return os.fsencode(path) if os.name == "posix" else os.fspath(path)


def _open(path: Path) -> Any:
    """Return an open SoundFile, after the checks that libsndfile does not make."""
    if not path.exists():
        raise AudioError(f"{path}: no such file")
    if path.is_dir():
        raise AudioError(f"{path}: a directory; name the audio files in it")
    import soundfile

    try:
        if not path.stat().st_size:
            raise AudioError(f"{path}: empty (0 bytes)")
        with open(path, "rb") as begun:
            promised, there = promised_bytes(begun)
        if there < promised:
            raise AudioError(
                f"{path}: cut off: its header promises {promised} bytes of audio, {there} are there"
            )
        file = soundfile.SoundFile(name_of(path))
    except soundfile.LibsndfileError as error:
        raise AudioError(f"{path}: not audio that can be read ({error.error_string})") from None
    except OSError as error:
        raise AudioError(f"{path}: {error.strerror or error}") from None
    except TypeError:  # what soundfile says to a name that ends in .raw
        raise AudioError(
            f"{path}: raw samples tell neither rate nor channels; "
            f"pipe them in: kws spot - --rate 16000 --channels 1 < {path}"
        ) from None
    if not file.frames:
        file.close()
        raise AudioError(f"{path}: holds no samples")
    return file
