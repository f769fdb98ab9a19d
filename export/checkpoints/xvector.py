"""Family: our x-vector, as a stream model and as the window model that it must equal."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import onnx
import torch
from torch import Tensor, nn

from export import graph
from export.checkpoint import Checkpoint
from export.families import Asked, Known, Original
from export.frontends.logmel import OVERLAP
from export.stream import window_scores
from export.training.network import FIRST, STRIDE, Config, XVector, folded
from export.training.vocabulary import LABELS
from kws.card import Network
from kws.errors import ExportError
from kws.flow import Samples

SOURCES = "a checkpoint of export.training (one .pt file)"
FAMILY = "kws-xvector"
BANDS = (60.0, 7600.0, 16_000)


def matches(checkpoint: Checkpoint) -> bool:
    """Whether it is a single file of weights."""
    return checkpoint.path.is_file() and checkpoint.path.suffix == ".pt"


def read(checkpoint: Checkpoint, asked: Asked) -> Original:
    """Read the network as what is asked for, by default as a stream model. Raises ExportError."""
    path = checkpoint.path
    try:
        state = torch.load(path, weights_only=True)
        network, names = read_network(state), state.get("labels", LABELS)
        told = msgspec.json.decode(state.get("known", "{}"), type=Known)
    except Exception as error:  # noqa: BLE001 - whatever a hostile file provokes
        reason = " ".join(str(error).split())[:200]
        raise ExportError(f"{path}: is no checkpoint of export.training ({reason})") from None
    if len(names) != network.config.labels:
        raise ExportError(f"{path}: {network.config.labels} scores, but {len(names)} labels")
    if asked.kind == "window":  # its hop is another one, and so would the thresholds be
        return replace(window(network, names), known=msgspec.structs.replace(told, thresholds={}))
    rebuilt = Network(FAMILY, network.config.as_card())
    told = msgspec.structs.replace(told, network=rebuilt)
    return replace(stream(network, names), known=told)


def read_network(state: dict[str, Any]) -> XVector:
    """Return the averaged network of a training checkpoint, batch norms folded away."""
    return folded(averaged(state))


def averaged(state: dict[str, Any]) -> XVector:
    """Return the averaged network of a training checkpoint as it learnt.

    One that went on from a model file has no batch norms.
    """
    average = {
        name.removeprefix("module."): value
        for name, value in state["average"].items()
        if name.startswith("module.")
    }
    network = XVector(Config(**state["config"]), norm="scale" in average)
    network.load_state_dict(average)
    return network


def window(network: XVector, labels: list[str]) -> Original:
    """Return the network as a window model: every call hears the whole receptive field."""
    length = network.config.window

    def reference(audio: Samples) -> Samples:
        with torch.no_grad():
            mels = network.features.fast(torch.from_numpy(audio)[None])
            return network.logits(mels)[0, -1].softmax(0).numpy()

    def finish(model: onnx.ModelProto) -> None:
        graph.form_logmel(model, "front.", *BANDS)

    network.features.as_initializers()
    return Original(
        FAMILY,
        labels,
        BANDS[-1],
        length,
        reference,
        front=network.features,
        network=Window(network),
        outputs=("logits", "embedding"),
        scheme="static",
        min_samples=length,
        max_samples=length,
        finish=finish,
    )


def stream(network: XVector, labels: list[str]) -> Original:
    """Return the network as a stream model: every call hears a hop, and keeps what it must."""
    config = network.config
    return Original(
        FAMILY,
        labels,
        BANDS[-1],
        config.window,
        lambda audio: window_scores(network, audio)[-1],
        graph=stream_graph(network, int8=False),
        scheme="storage",
        min_samples=config.hop_samples,
        kind="stream",
        hop=config.hop_samples,
    )


class Window(nn.Module):
    """Log-mels of a window [batch, mels, frames] -> logits [batch, labels] and embedding."""

    def __init__(self, network: XVector) -> None:
        super().__init__()
        self.network = network

    def forward(self, mels: Tensor) -> tuple[Tensor, Tensor]:
        """Judge the window's last hop."""
        network = self.network
        embedding = network.embedding(network.merge(network.hop_means(mels)))
        return network.classify(embedding), embedding


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
            "mels": (FIRST - STRIDE, config.mels),
        }
        for i, block in enumerate(self.network.residual):
            shapes[f"blocks.{i}"] = (block.context, config.channels)
        shapes["means"] = (config.pooled, config.pool - 1)
        return {f"state.{name}": torch.zeros(batch, *shape) for name, shape in shapes.items()}

    def forward(self, audio: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Score a hop: audio [batch, hop], states in the order of initial_state."""
        network, config = self.network, self.network.config
        past, mels_past, *blocks_past, means_past = state
        heard = torch.cat([past, audio], 1)
        mels = torch.cat([mels_past, network.features.energies(heard)], 1)
        frames, kept = network.first.rows(mels, config.size, STRIDE), []
        for block, before in zip(network.residual, blocks_past, strict=True):
            hop = frames.reshape(-1, config.size, config.channels)
            seen = torch.cat([before, hop], 1)
            kept.append(hop if block.context == config.size else seen[:, -block.context :])
            frames = frames + block.rows(seen, config.size)
        wide = network.wide.rows(frames, config.size).reshape(-1, config.size, config.pooled)
        means = torch.cat([means_past, wide.mean(1)[:, :, None]], 2)
        scores = network.classify(network.embedding(network.merge(means))).softmax(1)
        return (
            scores, heard[:, -OVERLAP:], mels[:, -(FIRST - STRIDE) :], *kept, means[:, :, 1:],
        )  # fmt: skip


def stream_graph(network: XVector, *, int8: bool = True) -> onnx.ModelProto:
    """Return the stream model's graph; weights stored as int8 unless told otherwise."""
    module = Stream(network)
    state = module.initial_state()
    network.features.as_initializers()
    inputs = {"audio": torch.zeros(1, network.config.hop_samples), **state}
    outputs = ["scores", *(f"{name}.next" for name in state)]
    model = graph.trace(module, inputs, outputs, prefix="network.")
    graph.form_logmel(model, "features.", *BANDS)
    if int8:
        graph.store_int8(model)
    return model
