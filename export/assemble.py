"""Assembly: front end, network and probabilities become one graph, waveform in, scores out.

Two ways, which agree: optimum exports the network and the front end is put before it, or torch
exports both at once.
"""

from __future__ import annotations

import tempfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import onnx
import torch
from onnx import TensorProto, compose, helper
from torch import Tensor, nn

from export import OPSET, graph
from export.families import Original
from kws.errors import ExportError
from kws.install_hint import install_hint

Way = Literal["optimum", "torch"]

FRONT = "/front/"
"""What the names of the front end's nodes begin with, whichever way they came."""


class Whole(nn.Module):
    """Waveform -> scores and embedding, as far as the network has them."""

    def __init__(self, original: Original) -> None:
        super().__init__()
        if original.front is None or original.network is None:
            raise ExportError(f"{original.family} has no front end or no network")
        self.front, self.network = original.front, original.network
        self.outputs, self.activation = original.outputs, original.activation

    def forward(self, audio: Tensor) -> tuple[Tensor, ...]:
        """Return what `names` says, in its order."""
        found: dict[str, Tensor] = {}
        found |= zip(self.outputs, self.network(self.front(audio)), strict=True)
        if "logits" in found:
            logits = found.pop("logits")
            scores = logits.softmax(-1) if self.activation == "softmax" else logits.sigmoid()
            found = {"scores": scores, **found}
        return tuple(found.values())


def names(original: Original) -> list[str]:
    """Return the graph's outputs: `scores`, `embedding` or both."""
    return [{"logits": "scores"}.get(name, name) for name in sorted(original.outputs, reverse=True)]


def way(original: Original, asked: Way | None = None) -> Way:
    """Choose how the network is exported: by optimum where it can and is installed.

    Raises ExportError: optimum is asked for, but is missing, or doesn't know the network.
    """
    here = find_spec("optimum.exporters.onnx") if find_spec("optimum") else None
    if asked == "optimum" and here is None:
        raise ExportError(f"optimum is missing; say --via torch, or {install_hint('export')}")
    if asked == "optimum" and original.optimum is None:
        raise ExportError(f"optimum can't export {original.family} networks; say --via torch")
    if asked is None:
        return "optimum" if here is not None and original.optimum is not None else "torch"
    return asked


def told(chosen: Way) -> str:
    """Return the way in words, with versions, for the card."""
    tools = ["torch"] if chosen == "torch" else ["optimum-onnx", "torch"]
    return ", ".join(f"{tool} {version(tool)}" for tool in tools)


def assemble(original: Original, chosen: Way, folder: Path) -> onnx.ModelProto:
    """Return the float32 graph; where it is too large for one file, its weights lie in `folder`."""
    if original.graph is not None:
        return original.graph
    audio = {"audio": 0.1 * torch.randn(1, original.window)}
    torch.set_num_threads(1)
    if chosen == "torch":
        model = graph.trace(Whole(original), audio, names(original), folder=folder, dynamic=True)
    else:
        if original.front is None:
            raise ExportError(f"{original.family} has no front end")
        front = graph.trace(Front(original.front), audio, ["features"], dynamic=True)
        model = _join(front, _by_optimum(original, folder), original)
    _declare(model, original)
    if original.finish is not None:
        original.finish(model)
    return model


class Front(nn.Module):
    """Gives the front end the name under which it stands in the whole."""

    def __init__(self, front: nn.Module) -> None:
        super().__init__()
        self.front = front

    def forward(self, audio: Tensor) -> Tensor:
        """Return the features."""
        features: Tensor = self.front(audio)
        return features


def _by_optimum(original: Original, folder: Path) -> onnx.ModelProto:
    from optimum.exporters.onnx import onnx_export_from_model

    from export.pretrained import quiet

    with quiet(), tempfile.TemporaryDirectory() as temporary:
        large = graph.parameters(original.optimum) > graph.LIMIT  # type: ignore[arg-type]
        target = folder if large else Path(temporary)
        onnx_export_from_model(
            original.optimum,
            target,
            task="audio-classification",
            opset=OPSET,
            do_validation=False,
        )
        return onnx.load(target / "model.onnx", load_external_data=not large)


def _join(front: onnx.ModelProto, network: onnx.ModelProto, original: Original) -> onnx.ModelProto:
    """Put the front end before the network, and probabilities behind it."""
    named = compose.add_prefix(front, "front.", rename_nodes=False, rename_inputs=False)
    # Graphs, not models: those would be checked, weights that lie beside them and all.
    whole = compose.merge_graphs(
        named.graph,
        network.graph,
        [("front.features", network.graph.input[0].name)],
        outputs=["logits"],
    )
    joined = helper.make_model(whole, opset_imports=network.opset_import)
    if original.activation == "softmax":
        last = helper.make_node("Softmax", ["logits"], ["scores"], "/scores", axis=-1)
    else:
        last = helper.make_node("Sigmoid", ["logits"], ["scores"], "/scores")
    joined.graph.node.append(last)
    return joined


def _declare(model: onnx.ModelProto, original: Original) -> None:
    """Say of inputs and outputs what is known: batch and samples are free, labels are not."""
    labels: dict[str, Any] = {"scores": len(original.labels)}
    # In place: the tensors are kept as they are.
    del model.graph.input[:], model.graph.output[:], model.graph.value_info[:]
    float32 = TensorProto.FLOAT
    model.graph.input.append(helper.make_tensor_value_info("audio", float32, ["batch", "samples"]))
    for name in names(original):
        shape = ["batch", labels.get(name, "d")]
        model.graph.output.append(helper.make_tensor_value_info(name, float32, shape))
