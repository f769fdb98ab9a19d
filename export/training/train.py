"""The training loop: seeded, resumable, logged."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from export.training import augment, corpus, lessons
from export.training.lessons import Lessons
from export.training.network import Config, XVector
from export.training.state import fingerprint, save
from export.training.strips import IGNORE, STRETCH, Strip
from kws.errors import DataError

ROOM_TAPS = 8_000
"""Half a second."""
HEAD = ("embed", "classify")
"""What learns at the full rate where the rest, the trunk, learns at a share of it."""


def _print(line: str) -> None:
    print(line, flush=True)


class Trainer:
    """Network, averaged network, optimizer and schedule of one run in `folder`.

    taught: None is what the bundled model is. say: hears each epoch's figures, a line of JSON.
    """

    def __init__(
        self,
        recipe: dict[str, Any],
        folder: Path,
        taught: Lessons | None = None,
        say: Callable[[str], None] = _print,
    ) -> None:
        self.recipe, self.folder, self.epoch, self._say = recipe, folder, 0, say
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        torch.manual_seed(recipe["seed"])
        taught = taught or lessons.bundled(folder)
        self.vocabulary = taught.vocabulary
        self.fresh = taught.start is None
        self.network = taught.start or XVector(
            Config(labels=len(self.vocabulary.labels), **recipe["network"])
        )
        self.network.to(self.device)
        self.config = self.network.config
        self._set_up(taught)

    def _set_up(self, taught: Lessons) -> None:
        recipe, settings = self.recipe, self.recipe["training"]
        self.average = AveragedModel(
            self.network,
            multi_avg_fn=get_ema_multi_avg_fn(settings["average"]),  # type: ignore[no-untyped-call]
            use_buffers=True,
        )
        groups = _groups(self.network, settings)
        self.optimizer = torch.optim.AdamW(groups, weight_decay=settings["decay"])
        steps = settings["epochs"] * (recipe["strips"]["epoch"] // settings["batch"])
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer,
            [group["lr"] for group in groups],
            total_steps=steps + 1,
            pct_start=0.1,
        )
        self.samples = recipe["strips"]["hops"] * self.config.hop_samples
        self.composer = corpus.composer(
            taught.corpus,
            self.samples,
            self.config.hop_samples,
            self.vocabulary,
            recipe["strips"].get("stretch", STRETCH),
        )
        self.hardness = np.full(len(self.composer.speech), 0.5)
        rooms = torch.stack([_taps(room) for room in taught.rooms]).to(self.device)
        self.rooms = augment.room_spectra(rooms, self.samples)

    @property
    def checkpoint(self) -> Path:
        """Where the run's state is kept after every epoch."""
        return self.folder / "checkpoint.pt"

    def resume(self) -> None:
        """Go on where an interrupted run of the same recipe stopped."""
        if not self.checkpoint.is_file():
            if self.fresh:
                self._measure_features()
            return
        state = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
        if state["recipe"] != fingerprint(self.recipe):
            raise DataError(
                f"{self.checkpoint}: made by another recipe; remove it or choose another folder"
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
            self._say(json.dumps(facts))

    def _one_epoch(self) -> dict[str, float]:
        settings, strips = self.recipe["training"], self.recipe["strips"]
        seed = self.recipe["seed"]
        kinds = ("words", "speech", "places", "noise")
        shares = {kind: strips[kind] for kind in kinds if kind in strips}
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
        generator = self._generator(seed * 1000 + self.epoch)
        self.network.train()
        losses, hits, total = [], 0, 0
        for batch in loader:
            loss, right, count = self._step(batch, generator)
            losses.append(loss)
            hits, total = hits + right, total + count
        return {"loss": round(float(np.mean(losses)), 4), "hops_right": round(hits / total, 4)}

    def _step(self, batch: list[Strip], generator: torch.Generator) -> tuple[float, int, int]:
        targets = torch.from_numpy(np.stack([s.targets for s in batch])).to(self.device)
        with torch.no_grad():
            mels = self._features(batch, generator)
            if self.recipe["training"].get("throats"):
                mels = augment.throat(mels, generator)
            mels = augment.mask(mels, generator)
        with torch.autocast(self.device.type, torch.bfloat16):
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
        words, background = (
            torch.from_numpy(np.stack(each)).to(self.device)
            for each in ([s.words for s in batch], [s.background for s in batch])
        )
        level = torch.tensor([s.level for s in batch], device=self.device)
        audio = augment.mix(words, background, level, self.rooms, generator)
        audio = torch.nn.functional.pad(audio, (XVector.pad(), 0))
        return self.network.features.fast(audio)

    def _note_hardness(self, batch: list[Strip], logits: Tensor) -> None:
        """Remember how high a keyword scored where none was said."""
        highest = logits.softmax(2)[:, :, : self.vocabulary.unknown].amax((1, 2))
        for strip, score in zip(batch, highest.tolist(), strict=True):
            if strip.source >= 0:
                old = self.hardness[strip.source]
                self.hardness[strip.source] = max(0.05, 0.5 * old + 0.5 * score)

    def _measure_features(self) -> None:
        """Set the fixed affine map from the log-mels of a few hundred strips."""
        rng = np.random.default_rng(self.recipe["seed"])
        generator = self._generator(self.recipe["seed"])
        batch = [self.composer.word_strip(rng) for _ in range(256)]
        mels = self._features(batch, generator)
        deviation = mels.std((0, 2)).unsqueeze(1)
        for network in (self.network, self.average.module):
            network.scale.data = 1 / deviation
            network.shift.data = -mels.mean((0, 2)).unsqueeze(1) / deviation

    def _generator(self, seed: int) -> torch.Generator:
        return torch.Generator(self.device).manual_seed(seed)

    def _save(self) -> None:
        state = {
            "recipe": fingerprint(self.recipe),
            "config": self.config.as_card(),
            "labels": self.vocabulary.labels,
            "epoch": self.epoch,
            "hardness": self.hardness.tolist(),
            **{
                name: getattr(self, name).state_dict()
                for name in ("network", "average", "optimizer", "schedule")
            },
        }
        save(state, self.checkpoint)


def _groups(network: XVector, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the weights to learn with their rates; the recipe may slow the trunk down."""
    learnt = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    rate, slower = settings["rate"], settings.get("trunk", 1.0)
    if slower == 1:
        return [{"params": [p for _, p in learnt], "lr": rate}]
    head = [p for name, p in learnt if name.startswith(HEAD)]
    trunk = [p for name, p in learnt if not name.startswith(HEAD)]
    return [{"params": head, "lr": rate}, {"params": trunk, "lr": rate * slower}]


def _taps(room: np.ndarray) -> Tensor:
    padded = np.zeros(ROOM_TAPS, np.float32)
    padded[: len(room)] = room[:ROOM_TAPS]
    return torch.from_numpy(padded)
