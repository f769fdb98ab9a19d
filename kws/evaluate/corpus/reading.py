"""Reading: recordings of any rate as mono audio at one rate."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from kws.errors import AudioError
from kws.evaluate.tracks import recordings
from kws.flow import Block, Samples
from kws.resample import Channel, Resampler
from kws.sources.file import AudioFile, name_of


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
    """Return a recording whole, as `kws classify` hears it: float32 [n] mono at `rate` Hz.

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
            self._length = source.length * rate // source.rate
        self._path, self._rate = path, rate

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, stretch: slice) -> Samples:
        """Read one stretch. Raises AudioError: it can't be read."""
        import soundfile

        start, stop, _ = stretch.indices(self._length)
        try:
            with soundfile.SoundFile(name_of(self._path)) as file:
                scale = file.samplerate / self._rate
                first, last = round(start * scale), round(stop * scale)
                file.seek(first)
                audio = file.read(last - first, dtype="float32", always_2d=True)
                resampler = Resampler(self._rate)
                parts = resampler.process(Block(audio, 0, file.samplerate)) + resampler.flush()
        except soundfile.LibsndfileError as error:
            raise AudioError(
                f"{self._path}: unreadable at {start / self._rate:.2f} s ({error.error_string})"
            ) from None
        whole: Samples = np.concatenate([part.samples for part in parts])
        return whole
