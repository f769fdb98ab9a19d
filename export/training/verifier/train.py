"""Training: first the head on the resting encoder, then the encoder's last layers with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from export.training.verifier.features import Shard, learning
from export.training.verifier.network import Verifier

SAVED = 500
"""Steps between two saved states."""
WARM_UP = 0.15
"""The share of the steps in which the learning rate rises."""


def train_head(
    network: Verifier, shards: Sequence[Shard], recipe: dict[str, Any], folder: Path
) -> None:
    """Let the head learn from the untouched encoder's features; kept in `folder`."""
    path, settings = folder / "head.pt", recipe["head"]
    shards = [shards[number] for number in settings["shards"]]
    if path.exists():
        network.head.load_state_dict(torch.load(path, weights_only=True))
        return
    torch.manual_seed(recipe["seed"])
    features = torch.cat([shard.pooled for shard in shards])
    labels = torch.cat([shard.labels for shard in shards])
    steps = settings["epochs"] * (len(labels) // settings["batch"])
    optimizer = torch.optim.AdamW(
        network.head.parameters(), settings["rate"], weight_decay=settings["decay"]
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings["rate"], total_steps=steps + 1
    )
    network.head.train()
    for step, places in enumerate(_batches(len(labels), settings["batch"], steps, recipe["seed"])):
        logits, _ = network.head(features[places].float())
        loss = functional.cross_entropy(
            logits, labels[places], label_smoothing=settings["smoothing"]
        )
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if step % SAVED == 0:
            print(f"head: step {step} of {steps}, loss {loss.item():.3f}", flush=True)
    _save(network.head.state_dict(), path)


class Tuner:
    """Lets the encoder's last layers learn with the head; resumes from `folder`.

    shards: all there are; phase: which of the recipe's tunings this is. average: the network whose
    weights are the running mean of those that learn.
    """

    def __init__(
        self,
        network: Verifier,
        shards: Sequence[Shard],
        recipe: dict[str, Any],
        folder: Path,
        phase: int,
    ) -> None:
        settings = recipe["tuning"][phase]
        self._network, self._settings, self._layers = network, settings, recipe["layers"]
        self._shards = [shards[number] for number in settings["shards"]]
        self._seed, self._path = recipe["seed"] + phase, folder / f"tuning-{phase}.pt"
        self.average = deepcopy(network).eval()
        self._labels = torch.cat([shard.labels for shard in self._shards])
        self._starts = np.cumsum([0, *(len(shard.labels) for shard in self._shards)])
        self._steps = int(settings["epochs"] * len(self._labels) / settings["batch"])
        for parameter in network.parameters():
            parameter.requires_grad_(False)
        encoder = network.encoder
        last = nn.ModuleList([*encoder.layers[-self._layers :], encoder.norm])
        self._learning = [*last.parameters(), *network.head.parameters()]
        for parameter in self._learning:
            parameter.requires_grad_(True)
        rates = [settings["rate"], settings["head_rate"]]
        groups = [list(last.parameters()), list(network.head.parameters())]
        self._optimizer = torch.optim.AdamW(
            [{"params": group, "lr": rate} for group, rate in zip(groups, rates, strict=True)],
            weight_decay=settings["decay"],
        )
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimizer, rates, total_steps=self._steps + 1, pct_start=WARM_UP
        )

    def run(self) -> Verifier:
        """Learn what is left to learn; return the averaged network."""
        begun = self._resume()
        places = _batches(len(self._labels), self._settings["batch"], self._steps, self._seed)
        losses = []
        for step, chosen in enumerate(places, 1):
            if step <= begun:
                continue
            losses.append(self._step(np.sort(chosen), step))
            if step % SAVED == 0 or step == self._steps:
                self._keep(step)
                mean = float(np.mean(losses[-SAVED:]))
                print(f"tuning: step {step} of {self._steps}, loss {mean:.4f}", flush=True)
        return self.average.eval()

    def _step(self, places: NDArray[np.int64], step: int) -> float:
        self._network.train()
        with torch.autocast("cpu", torch.bfloat16):
            features = learning(self._network, self._layers, self._read(places))
            logits, _ = self._network.head(features)
        loss = functional.cross_entropy(
            logits.float(), self._labels[places], label_smoothing=self._settings["smoothing"]
        )
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._learning, 1.0)
        self._optimizer.step()
        self._schedule.step()
        decay = min(self._settings["average"], (1 + step) / (10 + step))
        with torch.no_grad():
            for kept, new in zip(
                self.average.parameters(), self._network.parameters(), strict=True
            ):
                if new.requires_grad:
                    kept.lerp_(new, 1 - decay)
            for own, its in zip(self.average.buffers(), self._network.buffers(), strict=True):
                own.copy_(its)
        return float(loss.item())

    def _read(self, places: NDArray[np.int64]) -> Tensor:
        shard = np.searchsorted(self._starts, places, side="right") - 1
        rows = [
            self._shards[number].middle[place - self._starts[number]]
            for number, place in zip(shard, places, strict=True)
        ]
        return torch.from_numpy(np.stack(rows)).float()

    def _keep(self, step: int) -> None:
        state = {
            "step": step,
            "network": self._network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
        }
        _save(state, self._path)

    def _resume(self) -> int:
        torch.manual_seed(self._seed)
        if not self._path.exists():
            return 0
        kept = torch.load(self._path, weights_only=True)
        self._network.load_state_dict(kept["network"])
        self.average.load_state_dict(kept["average"])
        self._optimizer.load_state_dict(kept["optimizer"])
        self._schedule.load_state_dict(kept["schedule"])
        torch.manual_seed(self._seed + kept["step"])  # of the dropout
        return int(kept["step"])


def _batches(count: int, size: int, steps: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Yield so many batches of places, each place once an epoch."""
    rng, left = np.random.default_rng([seed, 9]), np.zeros(0, np.int64)
    for _ in range(steps):
        if len(left) < size:
            left = rng.permutation(count)
        yield left[:size]
        left = left[size:]


def _save(state: Any, path: Path) -> None:
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)
