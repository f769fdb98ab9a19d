"""Corpus: labelled recordings from wherever the user has them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from export.sources import HUB_ID
from export.training.finetuning.audio import Clip
from export.training.finetuning.options import Options
from kws.errors import DataError

TRAIN, VALIDATION, TEST = "train", "validation", "test"
SPLITS = {
    "train": TRAIN, "training": TRAIN,
    "validation": VALIDATION, "valid": VALIDATION, "val": VALIDATION, "dev": VALIDATION,
    "test": TEST, "testing": TEST, "eval": TEST, "evaluation": TEST,
}  # fmt: skip
"""What splits are called, and which one is meant."""


@dataclass(frozen=True)
class Corpus:
    """Recordings by split, as the data gives them.

    name: for people. A single `train` is all there is. notes: what was recognised, a line each.
    noise: a folder of long recordings without words, of which silence is made.
    """

    name: str
    splits: dict[str, list[Clip]]
    notes: list[str] = field(default_factory=list)
    noise: Path | None = None

    @property
    def labels(self) -> list[str]:
        """Every label, sorted."""
        return sorted({clip.label for clips in self.splits.values() for clip in clips})

    def counts(self) -> dict[str, dict[str, int]]:
        """Return the recordings of each label, by split."""
        return {
            split: {label: sum(c.label == label for c in clips) for label in self.labels}
            for split, clips in self.splits.items()
        }


def find(data: str, options: Options, say: Callable[[str], None]) -> Corpus:
    """Find the recordings that `data` names; audio is not read yet.

    data: a folder of label folders, Speech Commands as published, a Hugging Face dataset in a
    folder or by its id (`owner/name`, `owner/name:config`).
    Raises DataError: there is no such thing, or it has no labels.
    """
    from export.training.finetuning import folders, tables

    path = Path(data)
    if path.is_dir():
        if tables.is_dataset(path):
            return tables.local(path, options)
        _refuse_columns(data, options)
        return folders.read(path)
    if path.exists():
        raise DataError(f"{data}: is a file; give a folder that holds a folder of clips per label")
    if not HUB_ID.fullmatch(data.partition(":")[0]):
        raise DataError(f"{data}: no such folder, and no dataset's id such as owner/name")
    return tables.hub(data, options, say)


def _refuse_columns(data: str, options: Options) -> None:
    if options.audio_column or options.label_column:
        raise DataError(
            f"{data}: holds label folders, which have no columns; columns are for Hugging Face "
            "datasets"
        )


def mapped(names: Iterable[str]) -> dict[str, str]:
    """Return which split each name means; names that mean none are left out."""
    return {name: SPLITS[name.lower()] for name in names if name.lower() in SPLITS}


def labels_of(clips: Sequence[Clip]) -> set[str]:
    """Return the labels that are there."""
    return {clip.label for clip in clips}
