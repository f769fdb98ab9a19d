"""Features of the training windows, computed once: what the encoder's resting layers give."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from export.training.verifier.network import FastLogMel, Verifier
from export.training.verifier.windows import Miner, Windows

LARGEST = 8 * 16
"""Windows that a batch of strips gives at most."""


@dataclass(frozen=True)
class Shard:
    """Some of the windows.

    middle: float16 [n, positions, width], what the first layers gave; on disk. pooled: float16
    [n, steps, width], what the untouched encoder gave. labels: int64 [n].
    """

    middle: NDArray[np.float16]
    pooled: Tensor
    labels: Tensor


def resting(network: Verifier, layers: int, mels: Tensor) -> Tensor:
    """Return what all but the encoder's last `layers` layers give of log-mels."""
    encoder = network.encoder
    x = functional.gelu(encoder.conv1(mels))
    x = functional.gelu(encoder.conv2(x)).transpose(1, 2) + encoder.positions
    for layer in encoder.layers[: len(encoder.layers) - layers]:
        x = layer(x)
    return x


def learning(network: Verifier, layers: int, middle: Tensor) -> Tensor:
    """Return the features [batch, steps, width] that the last layers make of that."""
    x = middle
    for layer in network.encoder.layers[len(network.encoder.layers) - layers :]:
        x = layer(x)
    x = network.encoder.norm(x)
    steps, width = network.config.steps, network.config.width
    found: Tensor = x.reshape(-1, steps, network.config.positions // steps, width).mean(2)
    return found


def shards(
    network: Verifier, miner: Callable[[int], Miner], recipe: dict[str, Any], folder: Path
) -> list[Shard]:
    """Return all shards, made where `folder` lacks them.

    miner: gives the windows of a shard by its number.
    """
    count, layers = len(recipe["windows"]["shards"]), recipe["layers"]
    for number in range(count):
        if not _paths(folder, number)[1].exists():
            print(f"windows {number + 1} of {count}", flush=True)
            _make(network, miner(number), layers, *_paths(folder, number))
    return [_open(*_paths(folder, number)) for number in range(count)]


def _paths(folder: Path, number: int) -> tuple[Path, Path]:
    return folder / f"windows-{number}.npy", folder / f"windows-{number}.pt"


def _open(middle: Path, rest: Path) -> Shard:
    kept = torch.load(rest, weights_only=True)
    features = np.load(middle, mmap_mode="r")[: len(kept["labels"])]
    return Shard(features, kept["pooled"], kept["labels"])


def _make(network: Verifier, miner: Miner, layers: int, middle: Path, rest: Path) -> None:
    middle.parent.mkdir(parents=True, exist_ok=True)
    config, mel = network.config, FastLogMel()
    kept = np.lib.format.open_memmap(
        middle,
        mode="w+",
        dtype=np.float16,
        shape=(miner.count * LARGEST, config.positions, config.width),
    )
    pooled, labels, at = [], [], 0
    for windows in _loaded(miner):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            found = resting(network, layers, mel(windows.audio.float() / 32768))
            last = learning(network, layers, found)
        kept[at : at + len(found)] = found.half().numpy()
        pooled.append(last.half())
        labels.append(windows.labels)
        at += len(found)
    kept.flush()
    partial = rest.with_suffix(".partial")
    torch.save({"pooled": torch.cat(pooled), "labels": torch.cat(labels)}, partial)
    partial.replace(rest)


def _loaded(miner: Miner) -> Iterator[Windows]:
    """Yield batches that a process beside this one makes."""
    loader: Any = torch.utils.data.DataLoader(
        miner, batch_size=None, num_workers=1, prefetch_factor=4
    )
    yield from loader
