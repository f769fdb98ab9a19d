"""Row-wise int8: matrices whose activations are scaled anew for each row.

Like dynamic quantization, but every row of an activation (a position of a window) has a scale of
its own. So a window's scores do not depend on what shares a call with it, and a loud position does
not coarsen a quiet one. All of it is standard ONNX: no calibration, any runtime runs it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from export.int8.weights import in_front, prepare
from kws import origin
from kws.errors import ExportError

SMALLEST = 16_384
"""Weights of fewer values stay float32: their arithmetic costs nothing."""
ZERO = 128
"""Activations become unsigned around it: x86's dot products take one unsigned factor."""
LEAST = 1e-8
"""A row of zeros is scaled by this."""
STEPS = 127.0


def quantize_rows(model: onnx.ModelProto) -> origin.Quantization:
    """Let every MatMul with a large stored weight compute in int8, in place.

    Raises ExportError: there is none.
    """
    prepare(model)
    stored = {each.name: each for each in model.graph.initializer}
    nodes: list[NodeProto] = []
    constants: dict[str, NDArray[Any]] = {
        "rows.zero": np.array(ZERO, np.uint8),
        "rows.centre": np.array(ZERO, np.float32),
        "rows.steps": np.array(STEPS, np.float32),
        "rows.least": np.array(LEAST, np.float32),
    }
    changed = set()
    for node in model.graph.node:
        weight = stored.get(node.input[1]) if node.op_type == "MatMul" else None
        if weight is None or in_front(node) or np.prod(weight.dims) < SMALLEST:
            nodes.append(node)
            continue
        if weight.name not in changed:
            constants |= _stored(weight.name, numpy_helper.to_array(weight))
            changed.add(weight.name)
        nodes += _integer(node, weight.name)
    if not changed:
        raise ExportError("the graph has no matrices that can become int8")
    kept = [each for each in model.graph.initializer if each.name not in changed]
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.initializer.extend(kept)
    model.graph.initializer.extend(
        numpy_helper.from_array(value, name) for name, value in constants.items()
    )
    model.graph.node.extend(nodes)
    return origin.Quantization("int8-rows", ["front end", "attention", "norms", "small matrices"])


def _stored(name: str, weight: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    """Return a weight [in, out] as int8 with a scale per output."""
    scale = np.maximum(np.abs(weight).max(0), LEAST) / STEPS
    return {name: np.rint(weight / scale).astype(np.int8), f"{name}.scale": scale}


def _integer(node: NodeProto, weight: str) -> Iterator[NodeProto]:
    (audio, _), (out,) = node.input, node.output

    def made(op: str, inputs: list[str], name: str, **attributes: Any) -> NodeProto:
        return helper.make_node(op, inputs, [name], f"{node.name}/{op}.{name[-6:]}", **attributes)

    yield made("Abs", [audio], f"{out}.size")
    yield made("ReduceMax", [f"{out}.size"], f"{out}.largest", axes=[-1], keepdims=1)
    yield made("Max", [f"{out}.largest", "rows.least"], f"{out}.range")
    yield made("Div", [f"{out}.range", "rows.steps"], f"{out}.step")
    yield made("Div", [audio, f"{out}.step"], f"{out}.scaled")
    yield made("Round", [f"{out}.scaled"], f"{out}.whole")
    yield made("Add", [f"{out}.whole", "rows.centre"], f"{out}.shifted")
    yield made("Cast", [f"{out}.shifted"], f"{out}.bytes", to=TensorProto.UINT8)
    yield made("MatMulInteger", [f"{out}.bytes", weight, "rows.zero"], f"{out}.sums")
    yield made("Cast", [f"{out}.sums"], f"{out}.float", to=TensorProto.FLOAT)
    # One after the other: ONNX Runtime takes a product of both scales for its own pattern, in which
    # an activation has one scale, and fuses it wrongly.
    yield made("Mul", [f"{out}.float", f"{out}.step"], f"{out}.rows")
    yield made("Mul", [f"{out}.rows", f"{weight}.scale"], out)
