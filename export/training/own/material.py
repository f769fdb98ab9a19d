"""Material: a person's own recordings, read and parted into what is learnt and what is kept aside.

Words lie in folders of their names; `_unknown_` holds other words, `_silence_`, `noise` and
`_background_noise_` hold noise.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export import labels
from export.training.recordings import RATE, Pcm
from kws.errors import AudioError, DataError
from kws.evaluate.corpus import reading, speech_commands

PIECE_S = 8.0
"""Long recordings are cut into pieces of this length."""
MOST_HOURS = 8.0
"""As much is taken of a folder of speech or noise; its files evenly chosen."""
LONGEST_S = 4.0
"""A recording of a word holds no more."""
LEAST = 3
"""So few recordings of a word teach something."""
Say = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Recording:
    """int16 [n] at 16 kHz. speaker: who speaks, by the file's name; else the file itself."""

    audio: Pcm
    name: str
    speaker: str

    @property
    def seconds(self) -> float:
        """Its length."""
        return len(self.audio) / RATE


@dataclass(frozen=True)
class Words:
    """What a folder of words holds: by label, and beside them other words and noise."""

    of: dict[str, list[Recording]] = field(default_factory=dict)
    others: list[Recording] = field(default_factory=list)
    noise: list[Recording] = field(default_factory=list)


def plain(label: str) -> str:
    """Return a label as it is compared: `Hey Marvin` is `hey_marvin`."""
    return "_".join(re.findall(r"[^\W_]+", label.lower()))


def read_words(folder: Path, say: Say) -> Words:
    """Return the recordings in label folders. A file that can't be read is told of and left out.

    Raises DataError: no folders, an empty one, none of it readable, or labels that contradict.
    """
    found = Words()
    names = speech_commands.labels(folder)
    _check_names(folder, names)
    for name in names:
        files = _files(folder / name)
        recordings = [r for file in files if (r := _read(file, folder, say)) is not None]
        if not recordings:
            raise DataError(f"{folder / name}: none of its {len(files)} files can be read as audio")
        if plain(name) in {"unknown", "other"}:
            found.others.extend(recordings)
        elif labels.is_background(name):
            found.noise.extend(recordings)
        else:
            found.of[name] = [_one_word(recording) for recording in recordings]
    if (folder / speech_commands.NOISE).is_dir():
        found.noise.extend(read_background(folder / speech_commands.NOISE, say))
    _check_twins(found)
    return found


def read_background(folder: Path, say: Say) -> list[Recording]:
    """Return what lies in a folder and below it, in pieces of 8 s; at most 8 h.

    Raises DataError: nothing there, nothing readable.
    """
    files = _files(folder)
    found: list[Recording] = []
    left = MOST_HOURS * 3600
    order = np.random.default_rng(1).permutation(len(files))
    for number in order:
        recording = _read(files[number], folder.parent, say)
        if recording is None:
            continue
        found += _pieces(recording)
        left -= recording.seconds
        if left < 0:
            say(f"{folder}: {MOST_HOURS:g} h of it are used")
            break
    if not found:
        raise DataError(f"{folder}: none of its {len(files)} files can be read as audio")
    return found


def hours(pieces: Iterable[Recording]) -> float:
    """Return how long recordings are together."""
    return sum(piece.seconds for piece in pieces) / 3600


def fingerprint(groups: Iterable[Iterable[Recording]], rooms: Sequence[NDArray[np.float32]]) -> str:
    """Return a hash of all that was read: names and samples."""
    found = hashlib.sha256()
    for group in groups:
        for recording in group:
            found.update(f"{recording.name}\n".encode())
            found.update(recording.audio.tobytes())
        found.update(b"--")
    for room in rooms:
        found.update(room.tobytes())
    return found.hexdigest()


def _files(folder: Path) -> list[Path]:
    try:
        return reading.recordings_of(folder)
    except AudioError as error:
        raise DataError(f"{error}; add some, or take it away") from None


def _read(file: Path, folder: Path, say: Say) -> Recording | None:
    """Read a recording; None, and a line of it, where that is impossible."""
    try:
        audio = reading.read(file, RATE)
    except AudioError as error:
        say(f"{error}; left out")
        return None
    pcm = np.rint(audio.clip(-1, 1) * 32767).astype(np.int16)
    if len(pcm) < RATE // 10 or not pcm.any():
        say(f"{file}: {'is digital silence' if len(pcm) else 'is empty'}; left out")
        return None
    return Recording(pcm, str(file), _speaker(file, folder))


def _speaker(file: Path, folder: Path) -> str:
    """Return who speaks: before `_nohash_`, or the folder below the word's; else the file."""
    inner = file.relative_to(folder).parts if file.is_relative_to(folder) else (file.name,)
    before, hashed, _ = file.stem.partition("_nohash_")
    if hashed:
        return before
    return "/".join(inner[:2]) if len(inner) > 2 else str(file)


def _one_word(recording: Recording) -> Recording:
    """Return the loudest stretch that a word's recording may last."""
    most = round(LONGEST_S * RATE)
    if len(recording.audio) <= most:
        return recording
    power = np.cumsum(recording.audio.astype(np.float64) ** 2)
    start = int(np.argmax(power[most:] - power[:-most]))
    return Recording(recording.audio[start : start + most], recording.name, recording.speaker)


def _pieces(recording: Recording) -> list[Recording]:
    size = round(PIECE_S * RATE)
    cuts = range(0, max(1, len(recording.audio) - size // 4), size)
    return [
        Recording(recording.audio[at : at + size].copy(), recording.name, recording.speaker)
        for at in cuts
    ]


def _check_names(folder: Path, names: Sequence[str]) -> None:
    known: dict[str, str] = {}
    for name in names:
        if other := known.get(plain(name)):
            raise DataError(f"{folder}: {other} and {name} are the same word; put them together")
        known[plain(name)] = name


def _check_twins(found: Words) -> None:
    """Raise DataError where the very same recording lies under two labels."""
    seen: dict[bytes, tuple[str, str]] = {}
    groups = {**found.of, "_unknown_": found.others}
    for label, recordings in groups.items():
        for recording in recordings:
            key = hashlib.sha256(recording.audio.tobytes()).digest()
            before = seen.setdefault(key, (label, recording.name))
            if before[0] != label:
                raise DataError(
                    f"{recording.name}: is the same recording as {before[1]}, under another "
                    "word; remove the wrong one"
                )
