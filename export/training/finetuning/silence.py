"""Silence: clips without a word, cut from long recordings of noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from export.training.finetuning.audio import Clip, Noise
from export.training.finetuning.corpus import TEST, TRAIN, VALIDATION, Corpus, labels_of
from kws.errors import AudioError, DataError
from kws.evaluate.corpus.reading import recordings_of
from kws.evaluate.protocols import LOUDEST_DB, QUIETEST_DB, SILENCE

SECONDS = 1.0
PARTS = {TRAIN: (0.0, 0.8), VALIDATION: (0.82, 0.9), TEST: (0.92, 1.0)}
"""Which part of each long recording a split hears, as begins of the stretches."""


def add(corpus: Corpus, seed: int) -> Corpus:
    """Return the corpus with silence in each split, as many clips as its mean label has.

    Raises DataError: its folder of noise holds no recordings.
    """
    if corpus.noise is None or SILENCE in corpus.labels:
        return corpus
    try:
        long = recordings_of(corpus.noise)
    except AudioError as error:
        raise DataError(f"{error}; put noise there, or take the folder away") from None
    rng, splits = np.random.default_rng(seed), {}
    for split, clips in corpus.splits.items():
        splits[split] = list(clips)
        for number in range(max(1, round(len(clips) / len(labels_of(clips))))):
            path = long[number % len(long)]
            share, level = rng.uniform(*PARTS[split]), rng.uniform(QUIETEST_DB, LOUDEST_DB)
            noise = Noise(path, round(share, 4), SECONDS, round(level, 1))
            splits[split].append(Clip(SILENCE, str(path), noise))
    notes = [*corpus.notes, f"{SILENCE} is cut from {corpus.noise.name}"]
    return replace(corpus, splits=splits, notes=notes)
