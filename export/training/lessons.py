"""Lessons: what a network is taught, whoever put it together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.training import corpus, fragments, recordings
from export.training.corpus import Corpus
from export.training.leaving import NOTHING, Leaving
from export.training.network import XVector
from export.training.vocabulary import BUNDLED, UNKNOWN, Vocabulary


@dataclass(frozen=True)
class Lessons:
    """What a network is taught.

    rooms: impulse responses, float32 [n] each. start: the network to go on from; None is a fresh
    one, as the recipe says.
    """

    vocabulary: Vocabulary
    corpus: Corpus
    rooms: Sequence[NDArray[np.float32]]
    start: XVector | None = None


def bundled(folder: Path, recipe: dict[str, Any], leaving: Leaving = NOTHING) -> Lessons:
    """Return what the bundled model is taught; decoded recordings are kept in `folder`.

    To the other words come pieces of running speech, and halves of ours: nobody's list of words is
    as long as what people say.
    """
    found, rng = corpus.gather(folder, leaving), np.random.default_rng([recipe["seed"], 5])
    ours, strips = [word for group in found.words[:UNKNOWN] for word in group], recipe["strips"]
    some = [ours[place] for place in rng.permutation(len(ours))[: strips["halves"]]]
    free = [speech.audio for speech in found.speech if not speech.ours]
    others = [
        *found.words[UNKNOWN],
        *fragments.fragments(free, strips["fragments"], UNKNOWN, rng),
        *fragments.halves(some, UNKNOWN, rng),
    ]
    taught = Corpus([*found.words[:UNKNOWN], others, []], found.speech, found.noise)
    return Lessons(BUNDLED, taught, recordings.rooms("train"))
