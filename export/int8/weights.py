"""Weights: which nodes of a graph hold the ones that are worth making small."""

from __future__ import annotations

from collections import Counter
from typing import Literal

from onnx import ModelProto, NodeProto, TensorProto

from export.assemble import FRONT

Scheme = Literal["dynamic", "static"]

QUANTIZED = {"dynamic": ("MatMul", "Gemm"), "static": ("Conv", "Gemm", "MatMul")}
"""What becomes int8. A Conv's activations scaled at run time would be slower than float."""
POOLS = ("pool", "asp")
"""What the names of modules begin with whose statistics a static range would coarsen; `asp` is
SpeechBrain's attentive statistics pooling."""


def prepare(model: ModelProto) -> None:
    """Name each node, and let each weight be an initializer, as quantizers expect.

    Shapes noted by an exporter are dropped: some describe weights before they were transposed.
    """
    del model.graph.value_info[:]
    for number, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{number}"
    _store_constants(model)
    _skip_identities(model)
    _own_weights(model)


def weighted(model: ModelProto, scheme: Scheme) -> dict[str, NodeProto]:
    """Return the nodes that are to become int8, by name."""
    return {
        name: node
        for name, node in _weighted(model).items()
        if node.op_type in QUANTIZED[scheme] and not (scheme == "static" and _pools(name))
    }


def kept(model: ModelProto, scheme: Scheme) -> list[str]:
    """Say in words what stays in float although it has weights."""
    left = _weighted(model).keys() - weighted(model, scheme).keys()
    nodes = _weighted(model)
    words = {
        "pooling" if scheme == "static" and _pools(name) else nodes[name].op_type for name in left
    }
    return ["front end", *sorted(words)]


def in_front(node: NodeProto) -> bool:
    """Whether a node belongs to the front end."""
    name: str = node.name
    return name.startswith(FRONT)


def _weighted(model: ModelProto) -> dict[str, NodeProto]:
    """Return the nodes behind the front end that multiply by a stored float32 matrix or kernel."""
    stored = {
        initializer.name
        for initializer in model.graph.initializer
        if initializer.data_type == TensorProto.FLOAT and len(initializer.dims) > 1
    }
    return {
        node.name: node
        for node in model.graph.node
        if node.op_type in QUANTIZED["static"] and node.input[1] in stored and not in_front(node)
    }


def _pools(name: str) -> bool:
    return any(part.startswith(POOLS) for part in name.split("/"))


def _store_constants(model: ModelProto) -> None:
    for node in list(model.graph.node):
        value = node.attribute[0] if node.op_type == "Constant" else None
        if value is None or in_front(node) or value.name != "value" or len(value.t.dims) < 2:
            continue
        model.graph.initializer.append(value.t)
        model.graph.initializer[-1].name = node.output[0]
        model.graph.node.remove(node)


def _skip_identities(model: ModelProto) -> None:
    """Drop the Identity nodes by which exporters let one stored weight have several names."""
    origin = {initializer.name: initializer.name for initializer in model.graph.initializer}
    outputs = {output.name for output in model.graph.output}
    for node in list(model.graph.node):
        if node.op_type == "Identity" and node.input[0] in origin and node.output[0] not in outputs:
            origin[node.output[0]] = origin[node.input[0]]
            model.graph.node.remove(node)
    for node in model.graph.node:
        node.input[:] = [origin.get(name, name) for name in node.input]


def _own_weights(model: ModelProto) -> None:
    """Give each Gemm a weight of its own: the quantizer transposes it in place."""
    users = Counter(name for node in model.graph.node for name in set(node.input))
    stored = {initializer.name: initializer for initializer in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Gemm" and node.input[1] in stored and users[node.input[1]] > 1:
            name = f"{node.input[1]}.{node.name}"
            model.graph.initializer.append(stored[node.input[1]])
            model.graph.initializer[-1].name = name
            node.input[1] = name
