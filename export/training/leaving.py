"""Leaving: what a training leaves out, so that it can be judged by what nobody taught it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import asdict, dataclass
from typing import Any

from export.training.recordings import Clip
from kws.errors import ConfigError

FOLDS = 5


@dataclass(frozen=True)
class Leaving:
    """Words, recorded or in a transcript, and a fold of all splits' speakers.

    fold: from 0; a speaker is in one fold, and where none is named, a file.
    Raises ConfigError: there is no such fold.
    """

    words: tuple[str, ...] = ()
    fold: int | None = None

    def __post_init__(self) -> None:
        if self.fold is not None and not 0 <= self.fold < FOLDS:
            raise ConfigError(f"--fold {self.fold}: there are 0 to {FOLDS - 1}")

    @property
    def splits(self) -> tuple[str, ...]:
        """What is learnt from: a fold is made of all splits, for it ships nothing."""
        return ("train",) if self.fold is None else ("train", "calibration", "validation")

    def holds(self, clip: Clip) -> bool:
        """Tell whether a clip is left out."""
        if self.fold is not None and clip.kind != "noise" and fold_of(clip) == self.fold:
            return True
        said = {clip.label, *re.findall(r"[a-z]+", clip.text.lower())}
        return not said.isdisjoint(self.words)

    def as_recipe(self) -> dict[str, Any]:
        """Return what makes the run another than others; nothing where nothing is left out."""
        return {} if self == NOTHING else {"leaving": asdict(self)}


NOTHING = Leaving()


def fold_of(clip: Clip) -> int:
    """Return a clip's fold, by the hash of who speaks, else of its name."""
    who = clip.speaker or clip.name
    return int(hashlib.sha1(who.encode()).hexdigest(), 16) % FOLDS  # noqa: S324 - it only shuffles
