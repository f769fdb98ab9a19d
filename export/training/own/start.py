"""Start: the network that a shipped model file was made of, given other words to tell apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor

from export.training.network import Config, XVector
from kws.card import Network
from kws.errors import DataError
from kws.session import Model

FAMILY = "kws-xvector"
SPREAD = 0.05
"""Standard deviation of a new label's weights: small beside those of a label that was learnt."""


def read(model: Model) -> XVector:
    """Return the network that a model file holds, dequantised, its batch norms folded away.

    Raises DataError: the file doesn't say how to rebuild it, or lacks weights.
    """
    told = model.card.network
    if told is None or told.family != FAMILY:
        raise DataError(f"{model.path}: can't be trained further; start from the bundled model")
    network = XVector(_config(told, model.path), norm=False)
    stored = _initializers(model.path)
    state = {name: stored.get(name) for name in network.state_dict()}
    missing = [name for name, value in state.items() if value is None]
    if missing:
        raise DataError(f"{model.path}: lacks {missing[0]}; start from the bundled model")
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{model.path}: its weights don't fit its card ({reason})") from None
    return network


def with_labels(network: XVector, old: Sequence[str], new: Sequence[str], seed: int) -> XVector:
    """Return the network with other outputs; a label that it knew keeps what it learnt.

    old: its labels, in the order of its outputs; new: those to be.
    """
    config = Config(**{**network.config.as_card(), "labels": len(new)})  # type: ignore[arg-type]
    changed = XVector(config, norm=False)
    state = network.state_dict()
    weight, bias = state["classify.weight"], state["classify.bias"]
    generator = torch.Generator().manual_seed(seed)
    fresh = torch.randn(len(new), config.embedding, generator=generator) * SPREAD
    kept = {place: old.index(label) for place, label in enumerate(new) if label in old}
    biases = torch.full((len(new),), float(bias.min()))
    for place, before in kept.items():
        fresh[place], biases[place] = weight[before], bias[before]
    changed.load_state_dict({**state, "classify.weight": fresh, "classify.bias": biases})
    return changed


def _config(told: Network, path: Path) -> Config:
    try:
        return Config(**told.config)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: its card describes no network of ours ({error})") from None


def _initializers(path: Path) -> dict[str, Tensor]:
    """Return a graph's constants by name; what is stored as int8 times its scale."""
    graph = onnx.load(path).graph
    stored: dict[str, NDArray[np.float32]] = {
        each.name: numpy_helper.to_array(each) for each in graph.initializer
    }
    found = {}
    for name, value in stored.items():
        scale = stored.get(f"{name}.scale")
        whole = value if scale is None else value.astype(np.float32) * scale
        found[name] = torch.from_numpy(np.array(whole))
    return found
