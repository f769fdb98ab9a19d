"""Folders: a folder of recordings a label, Speech Commands' own layout among them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from export.training.finetuning.audio import Clip, File
from export.training.finetuning.corpus import TEST, TRAIN, VALIDATION, Corpus, labels_of, mapped
from kws.errors import DataError
from kws.evaluate.corpus import speech_commands
from kws.evaluate.corpus.speech_commands import NOISE

OFFICIAL = {"training": TRAIN, "validation": VALIDATION, "testing": TEST}
LISTS = ("validation_list.txt", "testing_list.txt")
HASHED = "_nohash_"


def read(folder: Path) -> Corpus:
    """Find the recordings of a folder. Raises DataError: there are no label folders with some.

    Splits are the folder's own (`train/<label>/*.wav`), or Speech Commands' lists, or its
    publisher's hash where all names are `<speaker>_nohash_<n>`; else all is `train`.
    """
    inside = sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    given = mapped(inside)
    if inside and len(given) == len(inside) and all(_holds_folders(folder / n) for n in given):
        return _given(folder, given)
    splits = _by_hash(folder)
    clips = [clip for found in splits.values() for clip in found]
    notes = []
    if any((folder / name).is_file() for name in LISTS):
        notes.append("the splits are those of its validation_list.txt and testing_list.txt")
    elif all(HASHED in clip.name for clip in clips):
        notes.append("the splits are Speech Commands' own, by the hash of the speaker")
    # A part of the corpus may have speakers of one split only.
    covered = VALIDATION in splits and labels_of(splits.get(TRAIN, [])) == labels_of(clips)
    if not notes or not covered:
        splits, notes = {TRAIN: clips}, []
    noise = folder / NOISE
    return Corpus(folder.resolve().name, splits, notes, noise if noise.is_dir() else None)


def _holds_folders(folder: Path) -> bool:
    return any(path.is_dir() and not path.name.startswith(".") for path in folder.iterdir())


def _given(folder: Path, given: dict[str, str]) -> Corpus:
    splits: dict[str, list[Clip]] = {}
    for name, split in given.items():
        found = [clip for clips in _by_hash(folder / name).values() for clip in clips]
        splits.setdefault(split, []).extend(found)
    if TRAIN not in splits:
        raise DataError(f"{folder}: has {', '.join(given)}, but no train folder")
    return Corpus(folder.resolve().name, splits, [f"the splits are its folders {', '.join(given)}"])


def _by_hash(folder: Path) -> dict[str, list[Clip]]:
    """Return the clips of each split that has some: by the lists that are there, or the hash."""
    splits: dict[str, list[Clip]] = {}
    problems: list[DataError] = []
    for split, name in OFFICIAL.items():
        with _noted(problems):  # that there are none of this split, or none at all
            splits[name] = [_clip(clip) for clip in speech_commands.clips(folder, split)]
    if problems and not splits:
        raise problems[0]
    return splits


@contextmanager
def _noted(problems: list[DataError]) -> Iterator[None]:
    try:
        yield
    except DataError as error:
        problems.append(error)


def _clip(clip: speech_commands.Clip) -> Clip:
    speaker, hashed, _ = clip.path.stem.partition(HASHED)
    return Clip(clip.label, str(clip.path), File(clip.path), speaker if hashed else "")
