"""Graphs: a torch module becomes ONNX, its large constants become small."""

from __future__ import annotations

import math
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from export import IR, OPSET
from export.frontends import logmel

LIMIT = 1_900_000_000
"""Bytes of weights up to which a graph is one file; protobuf ends at 2 GiB."""
SMALL = 1024
"""Bytes up to which a constant stays float32."""


def trace(
    module: nn.Module,
    inputs: dict[str, Tensor],
    outputs: Sequence[str],
    prefix: str = "",
    *,
    dynamic: bool = False,
    folder: Path | None = None,
) -> onnx.ModelProto:
    """Export `module` with a dynamic batch; initializers keep their state-dict names.

    prefix: is dropped from those names, so that they are the inner network's own. dynamic: the
    inputs' second axis is free too. folder: where the weights of a network that is too large for
    one file are left, for the graph to refer to.
    """
    batch = {0: "batch"}
    axes = {**batch, 1: "samples"} if dynamic else batch
    large = folder is not None and parameters(module) > LIMIT
    with tempfile.TemporaryDirectory() as temporary, warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # tracing turns fixed sizes into constants: intended
        path = (folder if folder and large else Path(temporary)) / "traced.onnx"
        torch.onnx.export(
            module.eval(),
            tuple(inputs.values()),
            str(path),  # what is over 2 GB goes beside a path that is a text
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes={**dict.fromkeys(inputs, axes), **dict.fromkeys(outputs, batch)},
            opset_version=OPSET,
            dynamo=False,
        )
        model = onnx.load(path, load_external_data=not large)
    _rename(model, {i.name: i.name.removeprefix(prefix) for i in model.graph.initializer})
    return model


def save(model: onnx.ModelProto, path: Path, properties: dict[str, str]) -> None:
    """Save a graph with its metadata; what is too large for one file has its weights beside it."""
    declare_once(model)
    model.ir_version = IR
    del model.metadata_props[:], model.graph.value_info[:]
    helper.set_model_props(model, properties)
    large = model.ByteSize() > LIMIT
    onnx.save(model, path, save_as_external_data=large, location=f"{path.name}.data")


def declare_once(model: onnx.ModelProto) -> None:
    """Drop the sets of operators that are not used, or are named again since graphs were joined."""
    used = {"", *(node.domain for node in model.graph.node)}
    versions = {each.domain: each.version for each in model.opset_import if each.domain in used}
    del model.opset_import[:]
    model.opset_import.extend(helper.make_opsetid(*each) for each in versions.items())


def saved_bytes(path: Path) -> int:
    """Return what a saved graph takes on disk, with the weights that lie beside it."""
    model = onnx.load(path, load_external_data=False)
    told = [entry for i in model.graph.initializer for entry in i.external_data]
    beside = {path.parent / entry.value for entry in told if entry.key == "location"}
    return sum(file.stat().st_size for file in {path, *beside})


def parameters(module: nn.Module) -> int:
    """Return how many bytes a module's weights take."""
    tensors = [*module.parameters(), *module.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def store_int8(model: onnx.ModelProto) -> None:
    """Store float weights as int8 with a scale per output channel: Cast, then Mul.

    onnxruntime folds both at load, so that arithmetic stays float32: at the few frames of a
    hop int8 arithmetic is slower. Vectors and small constants are left alone.
    """
    for initializer in list(model.graph.initializer):
        weight = numpy_helper.to_array(initializer)
        if not initializer.name.endswith(".weight") or weight.ndim < 2 or weight.nbytes <= SMALL:
            continue
        axes = tuple(range(1, weight.ndim))
        scale = np.abs(weight).max(axis=axes, keepdims=True) / 127
        scale = np.where(scale > 0, scale, 1).astype(np.float32)
        name = initializer.name
        replace_initializer(
            model,
            name,
            [
                helper.make_node("Cast", [name], [f"{name}.float"], to=TensorProto.FLOAT),
                helper.make_node("Mul", [f"{name}.float", f"{name}.scale"], [f"{name}.value"]),
            ],
            {
                name: np.rint(weight / scale).astype(np.int8),
                f"{name}.scale": scale,
            },
        )


def form_logmel(model: onnx.ModelProto, prefix: str, low: float, high: float, rate: int) -> None:
    """Replace a LogMel's two large constants by the few nodes that compute them at load."""
    mels = int(_initializer(model, f"{prefix}mel").dims[1])
    _form_fine(model, f"{prefix}fine")
    _form_mel(model, f"{prefix}mel", np.array([logmel.mel(low), logmel.mel(high)]), mels, rate)


def _form_fine(model: onnx.ModelProto, name: str) -> None:
    def join(parts: Sequence[str], made: str, axis: int) -> onnx.NodeProto:
        return helper.make_node("Concat", [f"{name}.{p}" for p in parts], [made], axis=axis)

    nodes = [
        helper.make_node("Mul", [f"{name}.n", f"{name}.k"], [f"{name}.nk"]),
        # whole turns are taken out in integers: float32 would lose the phase
        helper.make_node("Mod", [f"{name}.nk", f"{name}.size"], [f"{name}.turn"]),
        helper.make_node("Cast", [f"{name}.turn"], [f"{name}.real"], to=TensorProto.FLOAT),
        helper.make_node("Mul", [f"{name}.real", f"{name}.unit"], [f"{name}.phase"]),
        helper.make_node("Cos", [f"{name}.phase"], [f"{name}.cos"]),
        helper.make_node("Sin", [f"{name}.phase"], [f"{name}.sin"]),
        helper.make_node("Neg", [f"{name}.sin"], [f"{name}.minus"]),
        join(["cos", "minus"], f"{name}.reals", axis=2),
        join(["sin", "cos"], f"{name}.imaginaries", axis=2),
        join(["reals", "imaginaries"], f"{name}.value", axis=1),
    ]
    constants: dict[str, NDArray[Any]] = {
        f"{name}.n": np.arange(logmel.FINE, dtype=np.int32)[None, :, None],
        f"{name}.k": logmel.bins().numpy().astype(np.int32)[:, None],
        f"{name}.size": np.asarray(logmel.FRAME, np.int32),
        f"{name}.unit": np.asarray(2 * math.pi / logmel.FRAME, np.float32),
    }
    replace_initializer(model, name, nodes, constants)


def _form_mel(
    model: onnx.ModelProto, name: str, edges: NDArray[np.float64], mels: int, rate: int
) -> None:
    low, high = edges
    step = (high - low) / (mels + 1)
    position = logmel.bin_positions(rate).numpy() / step
    centre = low / step + np.arange(1, mels + 1)
    nodes = [
        helper.make_node("Sub", [f"{name}.position", f"{name}.centre"], [f"{name}.offset"]),
        helper.make_node("Abs", [f"{name}.offset"], [f"{name}.distance"]),
        helper.make_node("Sub", [f"{name}.one", f"{name}.distance"], [f"{name}.slope"]),
        helper.make_node("Relu", [f"{name}.slope"], [f"{name}.value"]),
    ]
    constants: dict[str, NDArray[Any]] = {
        f"{name}.position": position.astype(np.float32)[:, None],
        f"{name}.centre": centre.astype(np.float32)[None],
        f"{name}.one": np.asarray(1, np.float32),
    }
    replace_initializer(model, name, nodes, constants)


def largest_float(model: onnx.ModelProto) -> tuple[str, int]:
    """Return name and bytes of the largest float32 constant."""
    sizes = {
        i.name: numpy_helper.to_array(i).nbytes
        for i in model.graph.initializer
        if i.data_type == TensorProto.FLOAT
    }
    return max(sizes.items(), key=lambda item: item[1])


def _initializer(model: onnx.ModelProto, name: str) -> TensorProto:
    found: TensorProto = next(i for i in model.graph.initializer if i.name == name)
    return found


def replace_initializer(
    model: onnx.ModelProto,
    name: str,
    nodes: list[onnx.NodeProto],
    constants: dict[str, NDArray[Any]],
) -> None:
    """Let `nodes` (the last one makes `<name>.value`) stand where initializer `name` was used."""
    for node in model.graph.node:
        node.input[:] = [f"{name}.value" if used == name else used for used in node.input]
    model.graph.initializer.remove(_initializer(model, name))
    model.graph.initializer.extend(
        numpy_helper.from_array(value, key) for key, value in constants.items()
    )
    old = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*nodes, *old])


def _rename(model: onnx.ModelProto, names: dict[str, str]) -> None:
    for initializer in model.graph.initializer:
        initializer.name = names[initializer.name]
    for node in model.graph.node:
        node.input[:] = [names.get(used, used) for used in node.input]
