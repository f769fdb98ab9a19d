"""The training corpus, decoded once and kept in one file for the next run."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from export.training import recordings
from export.training.recordings import RATE, Pcm
from export.training.strips import STRETCH, Composer, Strip, Word, find_word
from export.training.vocabulary import BUNDLED, LABELS, SPOKEN_AS, Vocabulary
from kws.errors import DataError

LONGEST_S = 4.0
"""Longer recordings of single words are somebody talking on: left out."""


@dataclass(frozen=True)
class Corpus:
    """A split's recordings: words by label, keywords in running speech, speech, noise."""

    words: list[list[Word]]
    places: list[Word]
    speech: list[Pcm]
    noise: list[Pcm]


def gather(split: str, cache: Path) -> Corpus:
    """Return words, places, speech and noise of a split, decoded; from `cache` when it is there."""
    path = cache / f"{split}.pickle"
    if path.is_file():
        kept: Corpus = pickle.loads(path.read_bytes())  # noqa: S301 - the file this very function wrote
        return kept
    clips = [
        clip
        for kind in ("speech_commands", "wake")
        for clip in recordings.table(kind, split)
        if clip.samples <= LONGEST_S * RATE
    ]
    words: list[list[Word]] = [[] for _ in LABELS]
    for clip, audio in zip(clips, recordings.load(clips), strict=True):
        word = find_word(audio, SPOKEN_AS.get(clip.label, clip.label))
        words[word.label].append(word)
    found = Corpus(
        words,
        _places(split),
        recordings.load(recordings.keyword_free(split)),
        [a for a in recordings.load(recordings.table("noise", split)) if len(a) > RATE // 10],
    )
    cache.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_bytes(pickle.dumps(found))
    partial.replace(path)
    return found


def _places(split: str) -> list[Word]:
    """Return keywords in running speech, each with a second before and half a second after."""
    clips = recordings.words_in_speech(split)
    audios = recordings.load(clips, margin=RATE)
    return [
        Word(
            audio[: RATE + clip.samples + RATE // 2],
            RATE,
            RATE + clip.samples,
            LABELS.index(clip.label),
            isolated=False,
        )
        for clip, audio in zip(clips, audios, strict=True)
    ]


@dataclass
class Strips(torch.utils.data.IterableDataset[list[Strip]]):
    """One epoch of batches, the same for the same seed and epoch.

    hardness: [utterances], how readily each made the network err; hard ones come more often.
    """

    composer: Composer
    shares: dict[str, float]
    epoch_strips: int
    batch: int
    seed: tuple[int, int]
    hardness: np.ndarray

    def __iter__(self) -> Iterator[list[Strip]]:
        for number in range(self.epoch_strips // self.batch):
            rng = np.random.default_rng([*self.seed, number])
            yield [self._strip(rng) for _ in range(self.batch)]

    def _strip(self, rng: np.random.Generator) -> Strip:
        kinds = list(self.shares)
        kind = kinds[rng.choice(len(kinds), p=list(self.shares.values()))]
        if kind == "words":
            return self.composer.word_strip(rng)
        if kind == "places":
            return self.composer.place_strip(rng)
        if kind == "noise":
            return self.composer.noise_strip(rng)
        weight = self.hardness / self.hardness.sum()
        return self.composer.speech_strip(int(rng.choice(len(weight), p=weight)), rng)


def composer(
    found: Corpus,
    samples: int,
    hop: int,
    vocabulary: Vocabulary = BUNDLED,
    stretch: float = STRETCH,
) -> Composer:
    """Return a composer over a split's recordings."""
    heard = zip(vocabulary.labels[: vocabulary.unknown + 1], found.words, strict=False)
    empty = [label for label, group in heard if not group]
    if empty:
        raise DataError(f"no recordings of {', '.join(empty)}; see KWS_DATA's README")
    return Composer(
        found.words,
        found.places,
        found.speech,
        found.noise,
        samples,
        hop,
        vocabulary=vocabulary,
        stretch=stretch,
    )
