"""Family: our x-vector, as a stream model and as the window model that it must equal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from export import graph
from export.frontends.logmel import OVERLAP
from export.training.network import FIRST, KERNEL, STRIDE, Config, XVector, folded

FAMILY = "kws-xvector"
BANDS = (60.0, 7600.0, 16_000)


def read(checkpoint: Path) -> XVector:
    """Return the averaged network of a training checkpoint, batch norms folded away."""
    state: dict[str, Any] = torch.load(checkpoint, weights_only=True)
    network = XVector(Config(**state["config"]))
    average = {
        name.removeprefix("module."): value
        for name, value in state["average"].items()
        if name.startswith("module.")
    }
    network.load_state_dict(average)
    return folded(network)


class Window(nn.Module):
    """Audio [batch, window] -> probabilities [batch, labels]."""

    def __init__(self, network: XVector) -> None:
        super().__init__()
        self.network = network

    def forward(self, audio: Tensor) -> Tensor:
        """Score the window's last hop."""
        network = self.network
        means, moments = network.statistics(network.features(audio))
        logits: Tensor = network.classify(network.embedding(network.merge(means, moments)))
        return logits.softmax(1)


class Stream(nn.Module):
    """A hop of audio and what was kept of the past -> probabilities and what to keep."""

    def __init__(self, network: XVector) -> None:
        super().__init__()
        self.network = network

    def initial_state(self, batch: int = 1) -> dict[str, Tensor]:
        """Return empty states, by name, in the order that forward takes them."""
        config = self.network.config
        shapes: dict[str, tuple[int, ...]] = {
            "audio": (OVERLAP,),
            "mels": (config.mels, FIRST - STRIDE),
        }
        for i, dilation in enumerate(config.dilations):
            shapes[f"blocks.{i}"] = (config.channels, (KERNEL - 1) * dilation)
        shapes["means"] = shapes["moments"] = (config.pooled, config.pool - 1)
        return {f"state.{name}": torch.zeros(batch, *shape) for name, shape in shapes.items()}

    def forward(self, audio: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Score a hop: audio [batch, hop], states in the order of initial_state."""
        network = self.network
        past, mels_past, *blocks_past, means_past, moments_past = state
        heard = torch.cat([past, audio], 1)
        mels = torch.cat([mels_past, network.normalise(network.features(heard))], 2)
        frames, kept = network.begin(mels), []
        for block, before in zip(network.blocks, blocks_past, strict=True):
            seen = torch.cat([before, frames], 2)
            kept.append(seen[:, :, -before.shape[2] :])
            frames = block(seen)
        mean, moment = network.hop_statistics(network.widen(frames))
        means = torch.cat([means_past, mean], 2)
        moments = torch.cat([moments_past, moment], 2)
        scores = network.classify(network.embedding(network.merge(means, moments))).softmax(1)
        return (
            scores, heard[:, -OVERLAP:], mels[:, :, -(FIRST - STRIDE) :], *kept,
            means[:, :, 1:], moments[:, :, 1:],
        )  # fmt: skip


def stream_graph(network: XVector, *, int8: bool = True) -> onnx.ModelProto:
    """Return the stream model's graph; weights stored as int8 unless told otherwise."""
    module = Stream(network)
    state = module.initial_state()
    network.features.as_initializers()
    inputs = {"audio": torch.zeros(1, network.config.hop_samples), **state}
    outputs = ["scores", *(f"{name}.next" for name in state)]
    return _small(graph.trace(module, inputs, outputs, prefix="network."), int8)


def window_graph(network: XVector, *, int8: bool = True) -> onnx.ModelProto:
    """Return the window model's graph."""
    network.features.as_initializers()
    inputs = {"audio": torch.zeros(1, network.config.window)}
    return _small(graph.trace(Window(network), inputs, ["scores"], prefix="network."), int8)


def _small(model: onnx.ModelProto, int8: bool) -> onnx.ModelProto:
    low, high, rate = BANDS
    graph.form_logmel(model, "features.", low, high, rate)
    if int8:
        graph.store_int8(model)
    return model
