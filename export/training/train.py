"""The training loop: seeded, resumable, logged."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from export.training import augment, corpus, recordings
from export.training.network import Config, XVector
from export.training.strips import IGNORE, Strip
from export.training.vocabulary import LABELS, UNKNOWN
from kws.errors import DataError

ROOM_TAPS = 8_000
"""Half a second."""


class Trainer:
    """Network, averaged network, optimizer and schedule of one run in `folder`."""

    def __init__(self, recipe: dict[str, Any], folder: Path) -> None:
        self.recipe, self.folder, self.epoch = recipe, folder, 0
        torch.manual_seed(recipe["seed"])
        self.config = Config(labels=len(LABELS), **recipe["network"])
        self.network = XVector(self.config)
        settings = recipe["training"]
        self.average = AveragedModel(
            self.network,
            multi_avg_fn=get_ema_multi_avg_fn(settings["average"]),  # type: ignore[no-untyped-call]
            use_buffers=True,
        )
        self.optimizer = torch.optim.AdamW(
            [p for p in self.network.parameters() if p.requires_grad],
            lr=settings["rate"],
            weight_decay=settings["decay"],
        )
        steps = settings["epochs"] * (recipe["strips"]["epoch"] // settings["batch"])
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, settings["rate"], total_steps=steps + 1, pct_start=0.1
        )
        found = corpus.gather("train", folder)
        self.samples = recipe["strips"]["hops"] * self.config.hop_samples
        self.composer = corpus.composer(found, self.samples, self.config.hop_samples)
        self.hardness = np.full(len(self.composer.speech), 0.5)
        rooms = torch.stack([_taps(room) for room in recordings.rooms("train")])
        self.rooms = augment.room_spectra(rooms, self.samples)

    @property
    def checkpoint(self) -> Path:
        """Where the run's state is kept after every epoch."""
        return self.folder / "checkpoint.pt"

    def resume(self) -> None:
        """Go on where an interrupted run of the same recipe stopped."""
        if not self.checkpoint.is_file():
            self._measure_features()
            return
        state = torch.load(self.checkpoint, weights_only=True)
        if state["recipe"] != _fingerprint(self.recipe):
            raise DataError(
                f"{self.checkpoint}: made by another recipe; remove it or choose another --work"
            )
        for name in ("network", "average", "optimizer", "schedule"):
            getattr(self, name).load_state_dict(state[name])
        self.hardness = np.array(state["hardness"])
        self.epoch = state["epoch"]

    def run(self, until: int | None = None) -> None:
        """Train what is left of the recipe's epochs, or up to epoch `until`."""
        while self.epoch < (until or self.recipe["training"]["epochs"]):
            begun = time.monotonic()
            facts = self._one_epoch()
            self.epoch += 1
            self._save()
            facts = {"epoch": self.epoch, **facts, "seconds": round(time.monotonic() - begun)}
            with open(self.folder / "log.jsonl", "a", encoding="utf-8") as log:
                print(json.dumps(facts), file=log)
            print(json.dumps(facts), flush=True)

    def _one_epoch(self) -> dict[str, float]:
        settings, strips = self.recipe["training"], self.recipe["strips"]
        seed = self.recipe["seed"]
        shares = {kind: strips[kind] for kind in ("words", "speech", "places", "noise")}
        loader = torch.utils.data.DataLoader(
            corpus.Strips(
                self.composer,
                shares,
                strips["epoch"],
                settings["batch"],
                (seed, self.epoch),
                self.hardness,
            ),
            batch_size=None,
            num_workers=1,
            prefetch_factor=4,
        )
        generator = torch.Generator().manual_seed(seed * 1000 + self.epoch)
        self.network.train()
        losses, hits, total = [], 0, 0
        for batch in loader:
            loss, right, count = self._step(batch, generator)
            losses.append(loss)
            hits, total = hits + right, total + count
        return {"loss": round(float(np.mean(losses)), 4), "hops_right": round(hits / total, 4)}

    def _step(self, batch: list[Strip], generator: torch.Generator) -> tuple[float, int, int]:
        targets = torch.from_numpy(np.stack([s.targets for s in batch]))
        with torch.no_grad():
            mels = augment.mask(self._features(batch, generator), generator)
        with torch.autocast("cpu", torch.bfloat16):
            logits = self.network.logits(mels)
        logits = logits.float()
        targets = targets[:, -logits.shape[1] :]
        loss = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1),
            targets.flatten(),
            ignore_index=IGNORE,
            label_smoothing=self.recipe["training"]["smoothing"],
        )
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 2.0)
        self.optimizer.step()
        self.schedule.step()
        self.average.update_parameters(self.network)
        with torch.no_grad():
            self._note_hardness(batch, logits)
            known = targets != IGNORE
            right = (logits.argmax(2) == targets)[known].sum()
        return loss.item(), int(right), int(known.sum())

    def _features(self, batch: list[Strip], generator: torch.Generator) -> Tensor:
        words = torch.from_numpy(np.stack([s.words for s in batch]))
        background = torch.from_numpy(np.stack([s.background for s in batch]))
        level = torch.tensor([s.level for s in batch])
        audio = augment.mix(words, background, level, self.rooms, generator)
        audio = torch.nn.functional.pad(audio, (XVector.pad(), 0))
        return self.network.features.fast(audio)

    def _note_hardness(self, batch: list[Strip], logits: Tensor) -> None:
        """Remember how high a keyword scored where none was said."""
        highest = logits.softmax(2)[:, :, :UNKNOWN].amax((1, 2))
        for strip, score in zip(batch, highest.tolist(), strict=True):
            if strip.source >= 0:
                old = self.hardness[strip.source]
                self.hardness[strip.source] = max(0.05, 0.5 * old + 0.5 * score)

    def _measure_features(self) -> None:
        """Set the fixed affine map from the log-mels of a few hundred strips."""
        rng = np.random.default_rng(self.recipe["seed"])
        generator = torch.Generator().manual_seed(self.recipe["seed"])
        batch = [self.composer.word_strip(rng) for _ in range(256)]
        mels = self._features(batch, generator)
        deviation = mels.std((0, 2)).unsqueeze(1)
        for network in (self.network, self.average.module):
            network.scale.data = 1 / deviation
            network.shift.data = -mels.mean((0, 2)).unsqueeze(1) / deviation

    def _save(self) -> None:
        state = {
            "recipe": _fingerprint(self.recipe),
            "config": self.config.as_card(),
            "labels": LABELS,
            "epoch": self.epoch,
            "hardness": self.hardness.tolist(),
            **{
                name: getattr(self, name).state_dict()
                for name in ("network", "average", "optimizer", "schedule")
            },
        }
        partial = self.checkpoint.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self.checkpoint)


def _fingerprint(recipe: dict[str, Any]) -> str:
    """Return what makes two runs the same: everything but how the result ships."""
    return json.dumps({key: value for key, value in recipe.items() if key != "shipping"})


def _taps(room: np.ndarray) -> Tensor:
    padded = np.zeros(ROOM_TAPS, np.float32)
    padded[: len(room)] = room[:ROOM_TAPS]
    return torch.from_numpy(padded)
