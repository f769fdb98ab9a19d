"""Reading: recordings of any rate as mono audio at one rate."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from kws.evaluate.tracks import recordings
from kws.flow import Samples
from kws.resample import Channel, Resampler
from kws.sources.file import AudioFile


def recordings_of(path: Path) -> list[Path]:
    """Return the recordings in a folder and all below it, or the one that it is.

    Sorted by name, the same on every machine. Raises AudioError: there are none.
    """
    if path.is_file():
        return [path]
    return sorted(recordings(path), key=lambda file: file.relative_to(path).as_posix())


def stream(path: Path, rate: int, *, channel: Channel = None) -> Iterator[Samples]:
    """Yield a recording piece by piece: float32 [n] mono at `rate` Hz.

    Raises AudioError: what `AudioFile` raises, where it comes to it.
    """
    resampler = Resampler(rate, channel=channel)
    with closing(AudioFile(path)) as source:
        for block in source:
            yield from (out.samples for out in resampler.process(block))
    yield from (out.samples for out in resampler.flush())


def read(path: Path, rate: int, *, channel: Channel = None) -> Samples:
    """Return a recording whole: float32 [n] mono at `rate` Hz.

    Raises AudioError: no such file, not audio, cut off, not finite.
    """
    parts = list(stream(path, rate, channel=channel))
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


class LongRecording:
    """A recording of which short stretches are read when they are asked for.

    `len()` is its length at `rate` Hz; a slice is float32 [n] mono at `rate`.
    Raises AudioError, when made: not audio, empty.
    """

    def __init__(self, path: Path, rate: int) -> None:
        with closing(AudioFile(path)) as source:
            length = source.length
            if length is None:  # its header doesn't tell: count
                length = sum(len(block.samples) for block in source)
            self._length = length * rate // source.rate
            self._source_rate = source.rate
        self._path, self._rate = path, rate

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, stretch: slice) -> Samples:
        """Read one stretch. Raises AudioError: it can't be read."""
        start, stop, _ = stretch.indices(self._length)
        scale = self._source_rate / self._rate
        resampler = Resampler(self._rate)
        file = AudioFile(self._path, first=round(start * scale), last=round(stop * scale))
        with closing(file) as source:
            parts = [part for block in source for part in resampler.process(block)]
        parts += resampler.flush()
        whole: Samples = np.concatenate([part.samples for part in parts])
        return whole
