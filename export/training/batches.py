"""Batches: strips as the network hears them, made by processes beside the one that learns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from export.frontends.logmel import LogMel
from export.training import augment
from export.training.network import XVector
from export.training.strips import Composer, Strip

KINDS = ("words", "speech", "noise")


@dataclass(frozen=True, slots=True)
class Batch:
    """Log-mels float16 [batch, mels, frames], targets int64 [batch, hops], sources int64 [batch].

    sources: see `Strip.source`.
    """

    mels: Tensor
    targets: Tensor
    sources: Tensor


@dataclass
class Batches(torch.utils.data.IterableDataset[Batch]):
    """An epoch of batches, the same for the same seed, however many processes make them.

    shares: of each kind of strip. hardness: [utterances], how readily each made the network err;
    hard ones come more often. rooms: see `augment.mix`.
    """

    composer: Composer
    features: LogMel
    rooms: Tensor
    shares: dict[str, float]
    count: int
    size: int
    seed: tuple[int, ...]
    hardness: np.ndarray

    def __iter__(self) -> Iterator[Batch]:
        worker = torch.utils.data.get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        for number in range(first, self.count, step):
            rng = np.random.default_rng([*self.seed, number])
            generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
            yield self.heard([self._strip(rng) for _ in range(self.size)], generator)

    def heard(self, strips: list[Strip], generator: torch.Generator) -> Batch:
        """Let strips be heard through rooms and microphones."""
        words = torch.from_numpy(np.stack([s.words for s in strips]))
        background = torch.from_numpy(np.stack([s.background for s in strips]))
        audio = augment.mix(
            words, background, self.rooms, generator, strength=self.composer.strength
        )
        with torch.no_grad():
            mels = self.features.fast(torch.nn.functional.pad(audio, (XVector.pad(), 0)))
        targets = torch.from_numpy(np.stack([s.targets for s in strips]))
        return Batch(mels.half(), targets, torch.tensor([s.source for s in strips]))

    def _strip(self, rng: np.random.Generator) -> Strip:
        kind = KINDS[rng.choice(len(KINDS), p=[self.shares[kind] for kind in KINDS])]
        if kind == "words":
            return self.composer.word_strip(rng)
        if kind == "noise":
            return self.composer.noise_strip(rng)
        weight = self.hardness / self.hardness.sum()
        return self.composer.speech_strip(int(rng.choice(len(weight), p=weight)), rng)
