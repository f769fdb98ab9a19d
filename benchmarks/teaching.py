"""Teaching: trains a network on Speech Commands' train split; another split tells when it is best.

Nothing here sees the validation split.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.checkpoints import COMMANDS
from benchmarks.pupils import DECIBEL, Pupil
from export.training import augment, recordings
from export.training.recordings import RATE, Clip, Pcm

BATCH = 64
SEED = 1
SHIFT = 8
"""Frames by which a word is moved at most; what leaves at one end comes in at the other."""
GAIN_DB = (-20.0, 8.0)
SNR_DB = (3.0, 30.0)
NOISY = 0.5
"""The share of clips that get noise."""
NOISE_STEP = 4
"""Every so many recordings of noise serve."""


@dataclass(frozen=True)
class Words:
    """Log energies [n, mels, frames] in half precision, how many frames count, and the labels."""

    energies: Tensor
    frames: Tensor
    labels: Tensor

    def batches(self, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield energies [batch, mels, frames] and labels, shuffled; clips of like length together.

        A batch is cut to its shortest clip, for a network hears clips as long as they are.
        """
        order = torch.randperm(len(self.labels), generator=generator)
        order = order[self.frames[order].argsort(stable=True)]
        runs = torch.split(order, BATCH)
        for number in torch.randperm(len(runs), generator=generator).tolist():
            run = runs[number]
            yield self.energies[run][..., : int(self.frames[run].min())].float(), self.labels[run]


def words(pupil: Pupil, split: str) -> Words:
    """Read a split of the words as a pupil hears them."""
    return _heard(pupil, recordings.table("speech_commands", split))


def noise(pupil: Pupil) -> Tensor:
    """Return seconds of noise [n, mels, frames] as a pupil hears them."""
    seconds = [
        Clip(clip.shard, start, RATE, "", clip.split, clip.speaker, clip.source, clip.name)
        for clip in recordings.table("noise", "train")[::NOISE_STEP]
        for start in range(clip.start, clip.start + clip.samples - RATE + 1, RATE)
    ]
    return _heard(pupil, seconds).energies


@torch.no_grad()
def _heard(pupil: Pupil, clips: list[Clip]) -> Words:
    pcm = recordings.load(clips)
    found = []
    for first in range(0, len(pcm), BATCH):
        audio = torch.from_numpy(np.stack([_second(each) for each in pcm[first : first + BATCH]]))
        found.append(pupil.energies(audio).half())
    return Words(
        torch.cat(found),
        torch.tensor([pupil.frames(min(clip.samples, RATE)) for clip in clips]),
        torch.tensor([COMMANDS.index(clip.label) if clip.label else -1 for clip in clips]),
    )


def _second(pcm: Pcm) -> np.ndarray[Any, np.dtype[np.float32]]:
    padded = np.pad(pcm[:RATE], (0, max(0, RATE - len(pcm))))
    found: np.ndarray[Any, np.dtype[np.float32]] = padded.astype(np.float32) / np.float32(32768)
    return found


def varied(energies: Tensor, noises: Tensor, generator: torch.Generator) -> Tensor:
    """Return log energies [batch, mels, frames]: moved, at other levels, half of them in noise."""
    batch, _, frames = energies.shape

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(batch, 1, 1, generator=generator) * (high - low) + low

    shift = torch.randint(-SHIFT, SHIFT + 1, (batch, 1, 1), generator=generator)
    places = (torch.arange(frames) + shift) % frames
    moved = energies.gather(2, places.expand_as(energies))
    picked = noises[torch.randint(len(noises), (batch,), generator=generator)]
    added = picked[..., :frames].float()
    above = moved.logsumexp((1, 2), keepdim=True) - added.logsumexp((1, 2), keepdim=True)
    level = above - uniform(*SNR_DB) * DECIBEL
    level = level.masked_fill(uniform(0, 1) > NOISY, -math.inf)
    return torch.logaddexp(moved, added + level) + uniform(*GAIN_DB) * DECIBEL


class Lessons:
    """A training that a kill costs no more than an epoch.

    state: where it stands, written after each epoch.
    """

    def __init__(self, pupil: Pupil, state: Path) -> None:
        self.pupil, self.state = pupil, state
        self.known: dict[str, Any] = {"epoch": 0, "best": -1.0, "seconds": 0.0, "history": []}

    def run(self) -> dict[str, Any]:
        """Train, or go on; leave the best epoch's weights in the network. Return its figures."""
        if self.state.exists():
            self.known = torch.load(self.state, weights_only=True)
        if self.known["epoch"] < self.pupil.epochs:
            self._train()
        self.pupil.network.load_state_dict(self.known["weights"])
        self.pupil.network.eval()
        figures = {name: self.known[name] for name in ("best", "seconds", "history")}
        return {"epochs": self.pupil.epochs, **figures}

    def _train(self) -> None:
        network, begun = self.pupil.network, time.perf_counter()
        learned, held = words(self.pupil, "train"), words(self.pupil, "calibration")
        noises = noise(self.pupil)
        _tell(f"{len(learned.labels)} words, {len(noises)} s of noise, {_since(begun)}")
        steps = -(-len(learned.labels) // BATCH) * self.pupil.epochs
        optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.02, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, self.pupil.peak, steps, pct_start=0.2
        )
        if self.known["epoch"]:
            network.load_state_dict(self.known["network"])
            optimizer.load_state_dict(self.known["optimizer"])
            schedule.load_state_dict(self.known["schedule"])
        for epoch in range(self.known["epoch"], self.pupil.epochs):
            begun = time.perf_counter()
            generator = torch.Generator().manual_seed(SEED + epoch)
            loss = self._epoch(learned, noises, generator, optimizer, schedule)
            share = self.accuracy(held)
            _tell(f"epoch {epoch + 1}: loss {loss:.3f}, held {share:.4f}, {_since(begun)}")
            self.known["seconds"] += time.perf_counter() - begun
            self._keep(epoch + 1, share, optimizer, schedule)

    def _epoch(
        self, learned: Words, noises: Tensor, generator: torch.Generator, optimizer: Any,
        schedule: Any,
    ) -> float:  # fmt: skip
        self.pupil.network.train()
        losses = []
        for energies, labels in learned.batches(generator):
            heard = varied(energies, noises, generator)
            for _ in range(self.pupil.masks):
                heard = augment.mask(heard, generator)
            with torch.autocast("cpu", torch.bfloat16):
                logits = self.pupil.logits(heard)
            loss = nn.functional.cross_entropy(logits.float(), labels)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(self.pupil.network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        return float(np.mean(losses))

    @torch.no_grad()
    def accuracy(self, held: Words) -> float:
        """Return the share of words that are named right."""
        self.pupil.network.eval()
        right = 0
        for energies, labels in held.batches(torch.Generator()):
            with torch.autocast("cpu", torch.bfloat16):
                logits = self.pupil.logits(energies)
            right += int((logits.argmax(1) == labels).sum())
        return right / len(held.labels)

    def _keep(self, epoch: int, share: float, optimizer: Any, schedule: Any) -> None:
        weights = {name: each.clone() for name, each in self.pupil.network.state_dict().items()}
        if share > self.known["best"]:
            self.known.update(best=share, weights=weights)
        self.known["history"].append(round(share, 4))
        self.known.update(
            epoch=epoch, network=weights, optimizer=optimizer.state_dict(),
            schedule=schedule.state_dict(),
        )  # fmt: skip
        fresh = self.state.with_suffix(".new")
        torch.save(self.known, fresh)
        fresh.replace(self.state)


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _since(begun: float) -> str:
    return f"{time.perf_counter() - begun:.0f} s"
