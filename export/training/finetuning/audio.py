"""Audio: where a recording lies, and how it is read; mono, at the network's rate."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import soundfile
import soxr

from kws.errors import AudioError, DataError
from kws.evaluate.corpus.reading import LongRecording, read
from kws.flow import Samples
from kws.mixing import mixed

MEAN_OF = 2
"""Channels that are averaged; of more, the first is heard: they may be an array's."""


class Audio(Protocol):
    """A recording that is read when it is asked for."""

    def read(self, rate: int) -> Samples:
        """Return it: float32 [n] mono at `rate` Hz. Raises DataError, with its name."""

    def identity(self) -> tuple[str, str]:
        """Return its file's name without suffix (empty: none) and a hash of its bytes."""


@dataclass(frozen=True, slots=True)
class File:
    """A recording in a file of its own."""

    path: Path

    def read(self, rate: int) -> Samples:
        """Return it; see Audio."""
        try:
            return read(self.path, rate)
        except AudioError as error:
            raise DataError(f"{error}; repair or remove it") from None

    def identity(self) -> tuple[str, str]:
        """Return its name and hash; see Audio."""
        try:
            with self.path.open("rb") as file:
                return self.path.stem, hashlib.sha256(file.read()).hexdigest()
        except OSError as error:
            raise DataError(f"{self.path}: {error.strerror or error}") from None


@dataclass(frozen=True, slots=True)
class Noise:
    """A stretch of a long recording: silence, as far as words go.

    share: where it begins, 0..1 of the recording. seconds: its length. level_db: its power, dBFS.
    """

    path: Path
    share: float
    seconds: float
    level_db: float

    def read(self, rate: int) -> Samples:
        """Return it; see Audio."""
        try:
            long = LongRecording(self.path, rate)
            wanted = min(len(long), round(self.seconds * rate))
            first = round(self.share * (len(long) - wanted))
            samples = long[first : first + wanted]
        except AudioError as error:
            raise DataError(f"{error}; repair or remove it") from None
        power = float(np.sqrt(np.mean(samples**2)))
        scale = 10 ** (self.level_db / 20) / power if power else 1.0
        quiet: Samples = (samples * np.float32(scale)).clip(-1, 1)
        return quiet

    def identity(self) -> tuple[str, str]:
        """Return its name and what tells it from the others."""
        return "", f"{self.path.name} {self.share}"


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """A recording in a table of a Hugging Face dataset.

    table: what gives a row's entry by its number. column: of the audio. name: for people.
    folder: where relative paths begin.
    """

    table: Any
    number: int
    column: str
    name: str
    folder: Path | None

    def read(self, rate: int) -> Samples:
        """Return it; see Audio."""
        entry = self._entry()
        if "array" in entry:
            audio = np.asarray(entry["array"], np.float32)
            return mono(audio.reshape(len(audio), -1), int(entry["sampling_rate"]), rate, self.name)
        if entry.get("bytes") is None:
            return File(self._path(entry)).read(rate)
        name = f"{self.name} ({entry['path']})" if entry.get("path") else self.name
        try:
            audio, own = soundfile.read(io.BytesIO(entry["bytes"]), dtype="float32", always_2d=True)
        except soundfile.SoundFileError as error:
            raise DataError(f"{name}: not audio that can be read ({error}); remove it") from None
        return mono(audio, own, rate, name)

    def identity(self) -> tuple[str, str]:
        """Return its name and hash; see Audio."""
        entry = self._entry()
        stem = Path(entry.get("path") or "").stem
        if "array" in entry:
            return stem, hashlib.sha256(np.asarray(entry["array"]).tobytes()).hexdigest()
        if entry.get("bytes") is None:
            return File(self._path(entry)).identity()
        return stem, hashlib.sha256(entry["bytes"]).hexdigest()

    def _entry(self) -> dict[str, Any]:
        entry = self.table[self.number][self.column]
        if isinstance(entry, str):
            return {"path": entry}
        if not isinstance(entry, dict):
            raise DataError(f"{self.name}: has no audio; remove the row")
        return entry

    def _path(self, entry: dict[str, Any]) -> Path:
        path = entry.get("path")
        if not path:
            raise DataError(f"{self.name}: has neither audio nor a file's name; remove the row")
        return (self.folder or Path()) / str(path)


@dataclass(frozen=True, slots=True)
class Clip:
    """A labelled recording. name: for people. speaker: who is heard, where the data tells."""

    label: str
    name: str
    audio: Audio
    speaker: str = ""


def mono(audio: Samples, own: int, rate: int, name: str) -> Samples:
    """Return [n, channels] at `own` Hz as [n] at `rate` Hz. Raises DataError: it can't be used."""
    if not len(audio):
        raise DataError(f"{name}: holds no samples; remove it")
    if not np.isfinite(audio).all():
        raise DataError(f"{name}: holds samples that are no numbers (NaN or infinity); remove it")
    single = mixed(audio) if audio.shape[1] <= MEAN_OF else audio[:, 0]
    if own == rate:
        return np.ascontiguousarray(single, np.float32)
    resampled: Samples = soxr.resample(single, own, rate).astype(np.float32)
    return resampled
