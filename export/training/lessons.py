"""Lessons: what a network is taught, whoever put it together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.training import corpus, recordings
from export.training.network import XVector
from export.training.vocabulary import BUNDLED, Vocabulary


@dataclass(frozen=True)
class Lessons:
    """What a network is taught.

    rooms: impulse responses, float32 [n] each. start: the network to go on from; None is a fresh
    one, as the recipe says.
    """

    vocabulary: Vocabulary
    corpus: corpus.Corpus
    rooms: Sequence[NDArray[np.float32]]
    start: XVector | None = None


def bundled(folder: Path) -> Lessons:
    """Return what the bundled model is taught; decoded recordings are kept in `folder`."""
    return Lessons(BUNDLED, corpus.gather("train", folder), recordings.rooms("train"))
