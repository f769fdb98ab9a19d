"""AudioFile: a recording, streamed; never loaded whole."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from kws.errors import AudioError
from kws.flow import Block, Event, Samples, check_format
from kws.sources.formats import FROM_FILES, LOOKED_AT, NO_AUDIO, format_name
from kws.sources.headers import Claim, PatchedFile, examine

BLOCK_S = 0.5
"""Seconds of audio a block: few calls, little memory."""
MOST_VALUES = 1 << 19
"""Samples times channels that a block may have, whatever a header claims."""
DENSEST = 1 << 16
"""No format holds more samples in a byte: FLAC puts 65,535 zeros into a dozen."""


class AudioFile:
    """Any file that libsndfile reads, at its own rate, with all its channels.

    rate: Hz. channels: how many. length: samples that the header promises, None where it
    doesn't tell, or tells what can't be: then all is heard that comes.
    exact: whether reading may begin anywhere and give the same samples.
    first, last: deliver only the samples [first, last); None is to the end.
    Blocks are float32 [n, channels], full scale 1.0; `start` counts from the file's beginning.

    Raises AudioError, when made or while read: no such file, a directory, empty, not audio,
    of no usable rate, cut off (once what is there was delivered), not finite.
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
        self._claim = _examined(self.path)
        self._file, self._opened = _open(self.path, self._claim)
        self.rate: int = self._file.samplerate
        self.channels: int = self._file.channels
        self.length = _believed(self._file.frames, self.path)
        self._first, self._last = first, last
        self._block = max(1, min(round(block_s * self.rate), MOST_VALUES // self.channels))
        # Only these can hold what is not a number.
        self._floats = self._file.subtype in {"FLOAT", "DOUBLE"}
        # Of what is coded with loss, a sample depends on where decoding began.
        self.exact: bool = self._floats or self._file.subtype.startswith("PCM_")
        self._begun = self._closed = False
        self._lock = threading.Lock()  # libsndfile must not close a file that it is reading

    def __iter__(self) -> Iterator[Block]:
        """Deliver the recording, from its first sample."""
        import soundfile

        start = self._first
        try:
            self._begin()
            while len(samples := self._read(start)):
                if self._floats:
                    self._check(samples, start)
                yield Block(samples, start, self.rate)
                start += len(samples)
        except soundfile.LibsndfileError as error:
            raise AudioError(
                f"{self.path}: unreadable after {start / self.rate:.2f} s ({error.error_string})"
            ) from None
        if not self._closed:
            self._check_end(start)

    def _check_end(self, end: int) -> None:
        """Raise AudioError where less was there than the header promises."""
        claim, whole = self._claim, self._last is None
        if whole and claim.there < claim.size:
            raise AudioError(
                f"{self.path}: cut off: its header promises {claim.size} bytes of audio, "
                f"{claim.there} are there"
            )
        promised = self.length if whole else self._last
        # An MP3 has no count of its samples, only a guess.
        if promised is not None and end < promised and self._file.format != "MP3":
            raise AudioError(
                f"{self.path}: cut off: {end / self.rate:.2f} s of the "
                f"{promised / self.rate:.2f} s that its header promises"
            )

    def poll_events(self) -> list[Event]:
        """Nothing: only a device has something to tell."""
        return []

    def close(self) -> None:
        """End the iteration and let go of the file; from any thread."""
        with self._lock:
            self._closed = True
            self._opened.close()

    def _begin(self) -> None:
        """Go to the first sample; a second time by opening anew: not every file can go back."""
        with self._lock:
            if self._closed:
                return
            if self._begun:
                self._opened.close()
                self._file, self._opened = _open(self.path, self._claim)
            self._begun = True
            if self._first:
                self._file.seek(self._first)
            # Or it looks for the file's end after every block, which a stream may lack.
            self._file.seekable = lambda: False

    def _read(self, start: int) -> Samples:
        """Return the next block, [0, channels] at the end."""
        with self._lock:
            if self._closed:
                return np.empty((0, self.channels), np.float32)
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


def _examined(path: Path) -> Claim:
    """Return what a file's header claims, after the checks that libsndfile does not make."""
    if not path.exists():
        raise AudioError(f"{path}: no such file")
    if path.is_dir():
        raise AudioError(f"{path}: a directory; name the audio files in it")
    if not path.is_file():
        raise AudioError(f"{path}: not a regular file; pipe it in: kws spot - < {path}")
    try:
        if not path.stat().st_size:
            raise AudioError(f"{path}: empty (0 bytes)")
        with open(path, "rb") as begun:
            return examine(begun)
    except OSError as error:
        raise AudioError(f"{path}: {error.strerror or error}") from None


def _open(path: Path, claim: Claim) -> tuple[Any, ExitStack]:
    """Return an open SoundFile, and what closes it and the file beneath."""
    import soundfile

    with ExitStack() as opened:
        source: str | bytes | PatchedFile = name_of(path)
        try:
            if claim.patches:
                beneath = opened.enter_context(open(path, "rb"))
                source = PatchedFile(beneath, claim.patches)
            file = opened.enter_context(soundfile.SoundFile(source))
        except soundfile.LibsndfileError as error:
            raise _unreadable(path, error.error_string) from None
        except OSError as error:
            raise AudioError(f"{path}: {error.strerror or error}") from None
        except TypeError:  # what soundfile says to a name that ends in .raw
            raise AudioError(
                f"{path}: raw samples tell neither rate nor channels; "
                f"pipe them in: kws spot - --rate 16000 --channels 1 < {path}"
            ) from None
        check_format(file.samplerate, file.channels, where=str(path))
        if not file.frames:
            raise AudioError(f"{path}: holds no samples")
        return file, opened.pop_all()


def _unreadable(path: Path, reason: str) -> AudioError:
    with open(path, "rb") as file:
        name = format_name(file.read(LOOKED_AT))
    if name is None or name in FROM_FILES:
        return AudioError(f"{path}: not audio that can be read ({reason})")
    remedy = "" if name in NO_AUDIO else f"; convert it: ffmpeg -i {path} out.wav"
    return AudioError(f"{path}: not audio that can be read: it is {name}{remedy}")


def _believed(frames: int, path: Path) -> int | None:
    """Return a header's count of samples; None where no file of that size can hold so many."""
    return frames if frames < path.stat().st_size * DENSEST else None
