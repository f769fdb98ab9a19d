"""Windows of audio to learn from, most of them where the first stage proposes a keyword."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import kws
from export.training import augment
from export.training.strips import IGNORE, Composer, Strip, Word
from export.training.vocabulary import UNKNOWN

KINDS = ("words", "speech", "noise")
CANDIDATE = 0.05
"""Smoothed first-stage scores from which a window counts as proposed: lower than in use, because
the first stage has learnt from these very recordings."""
HOLD = 4
"""Hops after a proposal that the verifier hears, too."""
PROPOSED, OTHERS = 6, 2
"""So many proposed windows at most are taken of a strip, and so many others."""
NEAR = 0.4
"""So many of the other words in strips are near-words said by neural voices."""


@dataclass
class WordComposer(Composer):
    """A composer that also draws near-words, more often than their number would make it."""

    near: list[Word] | None = None

    def _draw(self, rng: np.random.Generator) -> Word:
        word = super()._draw(rng)
        if self.near and word.label == UNKNOWN and rng.random() < NEAR:
            return self.near[rng.integers(len(self.near))]
        return word


@dataclass(frozen=True, slots=True)
class Windows:
    """Audio int16 [n, samples], labels int64 [n], whether each was proposed bool [n]."""

    audio: Tensor
    labels: Tensor
    proposed: Tensor


@dataclass
class Miner(torch.utils.data.IterableDataset[Windows]):
    """Batches of windows, the same for the same seed, however many processes make them.

    first: the first stage's model file. shares: of each kind of strip. count, size: batches of
    strips, strips in each. window: samples.
    """

    composer: Composer
    first: Path
    rooms: Tensor
    shares: dict[str, float]
    count: int
    size: int
    window: int
    seed: tuple[int, ...]

    @cached_property
    def _model(self) -> kws.Model:
        return kws.load(self.first)

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in self.__dict__.items() if name != "_model"}

    def __iter__(self) -> Iterator[Windows]:
        torch.set_num_threads(1)
        worker = torch.utils.data.get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        for number in range(first, self.count, step):
            rng = np.random.default_rng([*self.seed, number])
            yield self._cut([self._strip(rng) for _ in range(self.size)], rng)

    def _strip(self, rng: np.random.Generator) -> Strip:
        kind = KINDS[rng.choice(len(KINDS), p=[self.shares[kind] for kind in KINDS])]
        if kind == "words":
            return self.composer.word_strip(rng)
        if kind == "noise":
            return self.composer.noise_strip(rng)
        return self.composer.speech_strip(int(rng.integers(len(self.composer.speech))), rng)

    def _cut(self, strips: list[Strip], rng: np.random.Generator) -> Windows:
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        words = torch.from_numpy(np.stack([strip.words for strip in strips]))
        background = torch.from_numpy(np.stack([strip.background for strip in strips]))
        heard = augment.mix(
            words, background, self.rooms, generator, strength=self.composer.strength
        )
        active = self._active(heard.numpy())
        audio = torch.nn.functional.pad((heard * 32767).round().to(torch.int16), (self.window, 0))
        cut, labels, proposed = [], [], []
        for row, strip in enumerate(strips):
            for hop in self._chosen(strip.targets, active[row], rng):
                end = (hop + 1) * self.composer.hop + self.window
                cut.append(audio[row, end - self.window : end])
                labels.append(int(strip.targets[hop]))
                proposed.append(bool(active[row, hop]))
        return Windows(torch.stack(cut), torch.tensor(labels), torch.tensor(proposed))

    def _active(self, audio: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return at which hops [strips, hops] the first stage proposes, or has just done so."""
        model, hop = self._model, self.composer.hop
        state, columns = None, [model.labels.index(name) for name in model.keywords]
        scores = []
        for at in range(0, audio.shape[1], hop):
            values, state = model.run(audio[:, at : at + hop], state)
            scores.append(values[:, columns])
        raw = np.stack(scores, 1)
        smooth = raw.copy()
        smooth[:, 1:] += raw[:, :-1]
        proposes = (smooth / 2).max(2) >= CANDIDATE
        active: NDArray[np.bool_] = proposes.copy()
        for late in range(1, HOLD + 1):
            active[:, late:] |= proposes[:, :-late]
        return active

    def _chosen(
        self, targets: NDArray[np.int64], active: NDArray[np.bool_], rng: np.random.Generator
    ) -> list[int]:
        known = targets != IGNORE
        chosen = []
        for places, most in ((known & active, PROPOSED), (known & ~active, OTHERS)):
            found = np.flatnonzero(places)
            chosen += rng.permutation(found)[:most].tolist()
        return chosen
