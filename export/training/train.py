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

from export.frontends.logmel import LogMel
from export.training import augment, corpus
from export.training.batches import KINDS, Batch, Batches
from export.training.lessons import Lessons
from export.training.network import Config, XVector
from export.training.state import fingerprint, save
from export.training.strips import IGNORE, OVER_SPEECH, STRETCH, Composer
from kws.errors import DataError

ROOM_TAPS = 8_000
"""Half a second."""


def _print(line: str) -> None:
    print(line, flush=True)


class Trainer:
    """Network, averaged network, optimizer and schedule of one run in `folder`.

    say: hears each epoch's figures, a line of JSON.
    """

    def __init__(
        self,
        recipe: dict[str, Any],
        folder: Path,
        taught: Lessons,
        say: Callable[[str], None] = _print,
    ) -> None:
        self.recipe, self.folder, self.epoch, self._say = recipe, folder, 0, say
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        torch.manual_seed(recipe["seed"])
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
        learnt = [p for p in self.network.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            learnt, lr=settings["rate"], weight_decay=settings["decay"]
        )
        steps = settings["epochs"] * (recipe["strips"]["epoch"] // settings["batch"])
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer,
            settings["rate"],
            total_steps=steps + 1,
            pct_start=0.1,
        )
        strips = recipe["strips"]
        corpus.check(taught.corpus, self.vocabulary)
        samples = strips["hops"] * self.config.hop_samples
        rooms = torch.stack([_taps(room) for room in taught.rooms])
        self.batches = Batches(
            Composer(
                taught.corpus.words,
                taught.corpus.speech,
                taught.corpus.noise,
                samples,
                self.config.hop_samples,
                vocabulary=self.vocabulary,
                stretch=strips.get("stretch", STRETCH),
                over_speech=strips.get("over_speech", OVER_SPEECH),
            ),
            LogMel(self.config.mels),
            augment.room_spectra(rooms, samples),
            {kind: strips[kind] for kind in KINDS},
            strips["epoch"] // settings["batch"],
            settings["batch"],
            (recipe["seed"],),
            np.full(len(taught.corpus.speech), 0.5),
        )

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
        self.batches.hardness = np.array(state["hardness"])
        self.epoch = state["epoch"]

    def run(self, until: int | None = None) -> None:
        """Train what is left of the recipe's epochs, or up to epoch `until`."""
        threads = torch.get_num_threads()
        workers = max(1, threads // 2)  # what makes batches has as much to do as what learns
        torch.set_num_threads(max(1, threads - workers))
        try:
            while self.epoch < (until or self.recipe["training"]["epochs"]):
                self._run_one(workers)
        finally:
            torch.set_num_threads(threads)

    def _run_one(self, workers: int) -> None:
        begun = time.monotonic()
        facts = self._one_epoch(workers)
        self.epoch += 1
        self._save()
        facts = {"epoch": self.epoch, **facts, "seconds": round(time.monotonic() - begun)}
        with open(self.folder / "log.jsonl", "a", encoding="utf-8") as log:
            print(json.dumps(facts), file=log)
        self._say(json.dumps(facts))

    def _one_epoch(self, workers: int) -> dict[str, float]:
        seed, settings = self.recipe["seed"], self.recipe["training"]
        self.batches.seed = (seed, self.epoch)
        # Words alone first, then more and more of the world: learnt in fewer steps.
        easy = settings.get("ramp", 0) * settings["epochs"]
        grown = min(1.0, self.epoch / easy) if easy else 1.0
        self.batches.composer.strength = grown * self.recipe["strips"].get("strength", 1.0)
        loader = torch.utils.data.DataLoader(
            self.batches, batch_size=None, num_workers=workers, prefetch_factor=4
        )
        generator = torch.Generator(self.device).manual_seed(seed * 1000 + self.epoch)
        self.network.train()
        losses, hits, total = [], 0, 0
        for batch in loader:
            loss, right, count = self._step(batch, generator)
            losses.append(loss)
            hits, total = hits + right, total + count
        return {"loss": round(float(np.mean(losses)), 4), "hops_right": round(hits / total, 4)}

    def _step(self, batch: Batch, generator: torch.Generator) -> tuple[float, int, int]:
        targets = batch.targets.to(self.device)
        with torch.no_grad():
            mels = augment.throat(batch.mels.to(self.device).float(), generator)
            if self.recipe["strips"].get("masks", True):
                mels = augment.mask(mels, generator)
        with torch.autocast(self.device.type, torch.bfloat16):
            logits = self.network.logits(mels)
        logits = logits.float()
        targets = targets[:, -logits.shape[1] :]
        loss = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1),
            targets.flatten(),
            ignore_index=IGNORE,
            label_smoothing=self.recipe["training"].get("smoothing", 0.0),
        )
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 2.0)
        self.optimizer.step()
        self.schedule.step()
        self.average.update_parameters(self.network)
        with torch.no_grad():
            self._note_hardness(batch.sources, logits)
            known = targets != IGNORE
            right = (logits.argmax(2) == targets)[known].sum()
        return loss.item(), int(right), int(known.sum())

    def _note_hardness(self, sources: Tensor, logits: Tensor) -> None:
        """Remember how high a keyword scored where none was said."""
        highest = logits.softmax(2)[:, :, : self.vocabulary.unknown].amax((1, 2))
        hardness = self.batches.hardness
        for source, score in zip(sources.tolist(), highest.tolist(), strict=True):
            if source >= 0:
                hardness[source] = max(0.05, 0.5 * hardness[source] + 0.5 * score)

    def _measure_features(self) -> None:
        """Set the fixed affine map from the log-mels of a few hundred strips."""
        rng = np.random.default_rng(self.recipe["seed"])
        strips = [self.batches.composer.word_strip(rng) for _ in range(256)]
        generator = torch.Generator().manual_seed(self.recipe["seed"])
        mels = self.batches.heard(strips, generator).mels.float()
        deviation = mels.std((0, 2)).unsqueeze(1)
        for network in (self.network, self.average.module):
            network.scale.data = (1 / deviation).to(self.device)
            network.shift.data = (-mels.mean((0, 2)).unsqueeze(1) / deviation).to(self.device)

    def _save(self) -> None:
        state = {
            "recipe": fingerprint(self.recipe),
            "config": self.config.as_card(),
            "labels": self.vocabulary.labels,
            "epoch": self.epoch,
            "hardness": self.batches.hardness.tolist(),
            **{
                name: getattr(self, name).state_dict()
                for name in ("network", "average", "optimizer", "schedule")
            },
        }
        save(state, self.checkpoint)


def _taps(room: np.ndarray) -> Tensor:
    padded = np.zeros(ROOM_TAPS, np.float32)
    padded[: len(room)] = room[:ROOM_TAPS]
    return torch.from_numpy(padded)
