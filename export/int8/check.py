"""Quantized: whether a file became int8 where it was meant to, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, external_data_helper, numpy_helper

from export.int8 import weights
from export.int8.weights import Scheme
from kws.errors import ExportError

GEMM = "_MatMul"
"""What onnxruntime's dynamic quantizer puts behind the name of a Gemm that it took apart."""
LARGEST = 4096
"""Bytes up to which a stream model's constant may stay float32."""


def check(source: Path, target: Path, scheme: Scheme) -> None:
    """Read `target` back, and hold it against the float32 graph it was made from.

    Raises ExportError, which names the node: a weight stayed float32, or became unsigned or one
    scale for all channels; an operator is of a kind that is slow; the front end was touched.
    """
    before = onnx.load(source, load_external_data=False)
    weights.prepare(before)
    after = Graph(onnx.load(target))
    for wrong in (
        *_slow(after),
        *_left(before, after, scheme),
        *_touched(before, after, source.parent),
    ):
        raise ExportError(f"{target}: {wrong}; this is a bug, or an unfit version of onnxruntime")


def check_storage(model: ModelProto) -> None:
    """Raise ExportError where a stream model keeps a float32 constant of more than 4 KB."""
    tensors = [*model.graph.initializer]
    for node in model.graph.node:
        tensors += [each.t for each in node.attribute if each.type == onnx.AttributeProto.TENSOR]
    for tensor in tensors:
        size = 4 * int(np.prod(tensor.dims))
        if tensor.data_type == TensorProto.FLOAT and size > LARGEST:
            raise ExportError(f"{tensor.name}: {size} bytes of float32 in a stream model")


class Graph:
    """A graph whose nodes are found by name and by output, its constants by name."""

    def __init__(self, model: ModelProto) -> None:
        self.nodes = {node.name: node for node in model.graph.node}
        self.makers = {name: node for node in model.graph.node for name in node.output}
        self.constants = {initializer.name: initializer for initializer in model.graph.initializer}

    def maker(self, name: str) -> str:
        """Return the kind of the node that makes a tensor; empty for constants and inputs."""
        return self.makers[name].op_type if name in self.makers else ""

    def is_int8(self, name: str) -> bool:
        """Whether a constant is int8."""
        found = self.constants.get(name)
        return found is not None and found.data_type == TensorProto.INT8

    def channels(self, name: str) -> int:
        """Return how many values a constant holds."""
        found = self.constants.get(name)
        return 0 if found is None else int(np.prod(found.dims))


def _slow(after: Graph) -> Iterator[str]:
    for node in after.nodes.values():
        if node.op_type == "ConvInteger" or node.op_type.startswith("QLinear") or node.domain:
            yield f"{node.name} is a {node.op_type}, which is slow or not portable"
    for name, constant in after.constants.items():
        if constant.data_type == TensorProto.UINT8 and np.prod(constant.dims) > 1:
            yield f"{name} is unsigned"


def _left(before: ModelProto, after: Graph, scheme: Scheme) -> Iterator[str]:
    stored = {initializer.name: initializer.dims for initializer in before.graph.initializer}
    for name, node in weights.weighted(before, scheme).items():
        channels = _channels(node, stored[node.input[1]])
        wrong = (_dynamic if scheme == "dynamic" else _static)(name, node, channels, after)
        if wrong:
            yield f"{name} {wrong}"


def _channels(node: NodeProto, dims: list[int]) -> int:
    """Return how many output channels a weight has."""
    if node.op_type == "MatMul":
        return dims[-1]
    transposed = any(each.name == "transB" and each.i for each in node.attribute)
    return dims[0] if node.op_type == "Conv" or transposed else dims[1]


def _dynamic(name: str, node: NodeProto, channels: int, after: Graph) -> str:
    made = after.nodes.get(f"{name}_quant") or after.nodes.get(f"{name}{GEMM}_quant")
    if made is None or made.op_type != "MatMulInteger":
        return "stayed in float32"
    if not after.is_int8(made.input[1]):
        return "has weights that are not int8"
    if after.channels(made.input[3]) != channels:
        return "has no scale for each channel"
    return ""


def _static(name: str, node: NodeProto, channels: int, after: Graph) -> str:
    made = after.nodes.get(name)
    if made is None or made.op_type != node.op_type:
        return "is gone"
    if {after.maker(used) for used in made.input[:2]} != {"DequantizeLinear"}:
        return "stayed in float32"
    stored, scale, _ = after.makers[made.input[1]].input
    if not after.is_int8(stored):
        return "has weights that are not int8"
    if after.channels(scale) != channels:
        return "has no scale for each channel"
    return ""


def _touched(before: ModelProto, after: Graph, folder: Path) -> Iterator[str]:
    constants = {initializer.name: initializer for initializer in before.graph.initializer}
    for node in filter(weights.in_front, before.graph.node):
        made = after.nodes.get(node.name)
        if made is None or _bytes(made, folder) != _bytes(node, folder):
            yield f"{node.name} of the front end was changed"
        for name in constants.keys() & set(node.input):
            if external_data_helper.uses_external_data(constants[name]):
                external_data_helper.load_external_data_for_tensor(constants[name], str(folder))
            kept = after.constants.get(name)
            if kept is None or not _equal(constants[name], kept):
                yield f"{name} of the front end was changed"


def _bytes(node: NodeProto, folder: Path) -> bytes:
    """Return a node as bytes, its values among them, wherever they lie or lay."""
    for attribute in node.attribute:
        if external_data_helper.uses_external_data(attribute.t):
            external_data_helper.load_external_data_for_tensor(attribute.t, str(folder))
            attribute.t.ClearField("external_data")
        attribute.t.ClearField("data_location")
    found: bytes = node.SerializeToString()
    return found


def _equal(one: TensorProto, other: TensorProto) -> bool:
    return np.array_equal(numpy_helper.to_array(one), numpy_helper.to_array(other))
