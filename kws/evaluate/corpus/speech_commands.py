"""Speech Commands: recordings in label folders, and the split that each belongs to.

After Warden, "Speech Commands: A Dataset for Limited-Vocabulary Speech Recognition" (2018).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from kws.errors import ConfigError, DataError
from kws.evaluate.protocols import COMMANDS, SILENCE, UNKNOWN
from kws.evaluate.tracks import SUFFIXES

WORDS = (
    "backward", "bed", "bird", "cat", "dog", "down", "eight", "five", "follow", "forward",
    "four", "go", "happy", "house", "learn", "left", "marvin", "nine", "no", "off", "on", "one",
    "right", "seven", "sheila", "six", "stop", "three", "tree", "two", "up", "visual", "wow",
    "yes", "zero",
)  # fmt: skip
"""The 35 words of version 2."""
SPLITS = ("training", "validation", "testing")
ARCHIVE_CLIPS = 4_890
"""How many clips the official test archive (speech_commands_test_set_v0.02) holds."""
NOISE = "_background_noise_"

_LISTS = {"validation": "validation_list.txt", "testing": "testing_list.txt"}
_BUCKETS = 2**27
_PERCENT = 100 / (_BUCKETS - 1)  # their modulus is one more than their divisor


@dataclass(frozen=True, slots=True)
class Clip:
    """A recording of one word. label: the name of its folder."""

    label: str
    path: Path

    @property
    def name(self) -> str:
        """Label and file name, the same on every machine."""
        return f"{self.label}/{self.path.name}"


def split_of(name: str) -> str:
    """Return the split of a file name by the official hash: 10 % validation, 10 % testing.

    What follows `_nohash_` does not count, so that a speaker is in one split only.
    """
    speaker = re.sub(r"_nohash_.*$", "", name)
    hashed = int(hashlib.sha1(speaker.encode()).hexdigest(), 16)  # noqa: S324 - their choice
    percent = hashed % _BUCKETS * _PERCENT
    return "validation" if percent < 10 else "testing" if percent < 20 else "training"


def is_corpus(folder: Path) -> bool:
    """Tell whether this is the corpus as published: with lists of its splits, or with noise."""
    return (folder / NOISE).is_dir() or any((folder / name).is_file() for name in _LISTS.values())


def is_archive(folder: Path) -> bool:
    """Tell whether these are the official test archive's twelve folders, no more and no less."""
    return set(labels(folder)) == {*COMMANDS, UNKNOWN, SILENCE} and not is_corpus(folder)


def labels(folder: Path) -> list[str]:
    """Return the names of the label folders, sorted.

    Raises DataError: there is no such folder, or no folder in it.
    """
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "no such folder"
        raise DataError(f"{folder}: {what}; give a folder that holds a folder of clips per label")
    found = sorted(
        path.name
        for path in folder.iterdir()
        if path.is_dir() and path.name != NOISE and not path.name.startswith(".")
    )
    if not found:
        raise DataError(f"{folder}: no label folders in it; clips lie in <label>/*.wav")
    return found


def clips(folder: Path, split: str | None = None) -> list[Clip]:
    """Return the clips of a split, sorted by label and name.

    split: `training`, `validation`, `testing`, by the lists where they are there, else by the
    official hash. None: the corpus's `testing`, all of any other folder.
    Raises DataError: no folder, a label without recordings, none of this split. ConfigError:
    there is no such split.
    """
    every = [Clip(label, path) for label in labels(folder) for path in _in_label(folder / label)]
    split = split or default_split(folder)
    if split is None:
        return every
    if split not in SPLITS:
        raise ConfigError(f"there is no split {split!r}; give {', '.join(SPLITS)}")
    listed = _listed(folder)
    found = [clip for clip in every if _split_of(clip, listed) == split]
    if not found:
        raise DataError(f"{folder}: none of its {len(every)} clips is of the split {split}")
    return found


def default_split(folder: Path) -> str | None:
    """Return the split that is meant where none is named; None: all clips."""
    return "testing" if is_corpus(folder) else None


def _in_label(folder: Path) -> list[Path]:
    found = sorted((file for file in folder.iterdir() if _is_audio(file)), key=lambda f: f.name)
    if not found:
        raise DataError(f"{folder}: no recordings in it; add some, or take it away")
    return found


def _is_audio(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def _listed(folder: Path) -> dict[str, set[str]]:
    """Return the lists that lie in the folder, without suffixes: FLAC copies are listed too."""
    found = {}
    for split, name in _LISTS.items():
        if (folder / name).is_file():
            lines = (folder / name).read_text(encoding="utf-8").split()
            found[split] = {line.rsplit(".", 1)[0] for line in lines}
    return found


def _split_of(clip: Clip, listed: dict[str, set[str]]) -> str:
    for split, names in listed.items():
        if f"{clip.label}/{clip.path.stem}" in names:
            return split
    hashed = split_of(clip.path.name)
    # What a list leaves out is not of its split, whatever the hash says.
    return "training" if hashed in listed or len(listed) == len(_LISTS) else hashed
