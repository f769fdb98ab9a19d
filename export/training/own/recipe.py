"""The recipe of own words: how much is rendered, mixed and learnt."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """Sizes and settings; the defaults are what `kws train` uses.

    renderings: of each word by voices. near_words: that sound like each word, near_renderings: of
    each of them. positives, negatives: windows of each word, and of its near-words and parts.
    own_negatives: windows of the user's own speech and noise. folds: of the cross-validation.
    width: of the head. batch, epochs, rate, decay, smoothing, dropout: of its training.
    """

    renderings: int = 60
    near_words: int = 24
    near_renderings: int = 2
    positives: int = 1200
    negatives: int = 600
    own_negatives: int = 1500
    folds: int = 3
    width: int = 96
    batch: int = 128
    epochs: int = 6
    rate: float = 2e-3
    decay: float = 0.02
    smoothing: float = 0.02
    dropout: float = 0.3
