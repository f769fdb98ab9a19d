"""Splicing: parts of foreign ONNX graphs become one graph, and convolutions become streaming."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, inliner, numpy_helper

from export import IR, NEWEST_OPSET, OPSET
from kws.errors import ExportError

END = np.iinfo(np.int64).max
"""As the end of a slice: up to the last element."""


def read(path: Path) -> ModelProto:
    """Return a foreign graph. Raises ExportError."""
    try:
        model = onnx.load(path)
    except OSError as error:
        raise ExportError(f"{path}: can't be read: {error.strerror}") from None
    except Exception as error:  # noqa: BLE001 - protobuf's errors have no base of their own
        reason = " ".join(str(error).split())[:200]
        raise ExportError(f"{path}: is not a readable ONNX model: {reason}") from None
    if not model.graph.node:
        raise ExportError(f"{path}: is not a readable ONNX model: it holds no graph")
    return inliner.inline_local_functions(model) if model.functions else model


def shape(value: onnx.ValueInfoProto) -> list[int | str]:
    """Return a tensor's axes: their lengths, names where they are free, "?" without a name."""
    axes = value.type.tensor_type.shape.dim
    return [axis.dim_value or axis.dim_param or "?" for axis in axes]


def inputs(model: ModelProto) -> list[onnx.ValueInfoProto]:
    """Return what a graph is fed; old graphs list their weights among their inputs, too."""
    weights = {one.name for one in model.graph.initializer}
    return [one for one in model.graph.input if one.name not in weights]


def at_one_opset(models: Sequence[ModelProto], paths: Sequence[Path]) -> list[ModelProto]:
    """Return the graphs at the lowest set of operators that all can have, 17 at least.

    Raises ExportError: one can't be converted, or needs operators that are too new or foreign.
    """
    for model, path in zip(models, paths, strict=True):
        used = {node.domain for node in _nodes(model.graph)} - {"", "ai.onnx"}
        if used:
            raise ExportError(f"{path}: uses operators of {', '.join(sorted(used))}, not ONNX's")
    target = min(max(OPSET, *map(_opset, models)), NEWEST_OPSET)
    return [_converted(*each, target) for each in zip(models, paths, strict=True)]


def _nodes(graph: GraphProto) -> Iterable[NodeProto]:
    """Return a graph's nodes and those of its branches."""
    for node in graph.node:
        yield node
        for branch in _branches(node):
            yield from _nodes(branch)


def _branches(node: NodeProto) -> list[GraphProto]:
    single = [each.g for each in node.attribute if each.HasField("g")]
    return [*single, *(branch for each in node.attribute for branch in each.graphs)]


def _opset(model: ModelProto) -> int:
    return max([1, *(int(e.version) for e in model.opset_import if e.domain in {"", "ai.onnx"})])


def _converted(model: ModelProto, path: Path, target: int) -> ModelProto:
    if _opset(model) == target:
        return model
    try:
        return onnx.version_converter.convert_version(model, target)
    except Exception as error:  # noqa: BLE001 - the converter's errors are of many kinds
        raise ExportError(
            f"{path}: uses operators of opset {_opset(model)}, which can't be made those of "
            f"{target} ({' '.join(str(error).split())[:120]}); export it with opset {OPSET}"
        ) from None


def make_names_unique(graph: GraphProto, prefix: str, outer: frozenset[str] = frozenset()) -> None:
    """Put a prefix before every name, in branches too, and where they use what lies outside."""
    # onnx.compose.add_prefix leaves a branch's uses of outer names as they were.
    listed = [*graph.input, *graph.output, *graph.initializer]
    known = {one.name for one in listed} | {name for node in graph.node for name in node.output}
    names = frozenset(known - {""}) | outer
    for one in [*listed, *graph.value_info]:
        one.name = prefix + one.name
    for node in graph.node:
        node.name = prefix + node.name if node.name else ""
        for used in (node.input, node.output):
            used[:] = [prefix + name if name in names else name for name in used]
        for branch in _branches(node):
            make_names_unique(branch, prefix, names)


@dataclass
class StreamGraph:
    """A stream model's graph while it is put together: `audio`, `state.*` -> `scores`."""

    hop: int
    nodes: list[NodeProto] = field(default_factory=list)
    weights: list[TensorProto] = field(default_factory=list)
    inputs: list[onnx.ValueInfoProto] = field(default_factory=list)
    outputs: list[onnx.ValueInfoProto] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.inputs.append(helper.make_tensor_value_info("audio", TensorProto.FLOAT, [1, self.hop]))

    def constant(self, value: NDArray[Any]) -> str:
        """Add a constant; return its name."""
        name = f"constant.{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(value, name))
        return name

    def add(self, operator: str, used: Sequence[str], made: str, **attributes: Any) -> str:
        """Add a node with one output; return the output's name."""
        self.nodes.append(helper.make_node(operator, used, [made], name=made, **attributes))
        return made

    def reshape(self, used: str, made: str, lengths: Sequence[int]) -> str:
        """Add a change of shape."""
        return self.add("Reshape", [used, self.constant(np.array(lengths, np.int64))], made)

    def from_end(self, used: str, made: str, count: int, axis: int) -> str:
        """Add a slice of the last `count` elements along an axis."""
        bounds = (np.array([each], np.int64) for each in (-count, END, axis))
        return self.add("Slice", [used, *map(self.constant, bounds)], made)

    def with_history(self, used: str, name: str, lengths: Sequence[int], axis: int) -> str:
        """Put before a tensor what was last heard of it; return the two, joined along the axis.

        name: of the state; lengths: its shape.
        """
        state = f"state.{name}"
        before, after = (
            helper.make_tensor_value_info(each, TensorProto.FLOAT, lengths)
            for each in (state, f"{state}.next")
        )
        self.inputs.append(before)
        self.outputs.append(after)
        joined = self.add("Concat", [state, used], f"{name}.joined", axis=axis)
        self.from_end(joined, f"{state}.next", lengths[axis], axis)
        return joined

    def splice(self, model: ModelProto, prefix: str, used: str) -> str:
        """Add a whole graph of one input and one output, fed with `used`; return what it makes."""
        make_names_unique(model.graph, prefix)
        (source,) = inputs(model)
        self.add("Identity", [used], source.name)
        self.nodes.extend(model.graph.node)
        self.weights.extend(model.graph.initializer)
        return str(model.graph.output[0].name)

    def splice_streaming(
        self, model: ModelProto, prefix: str, used: str, lengths: Sequence[int], new: int
    ) -> str:
        """Add a convolutional graph that hears `new` frames a hop instead of its whole window.

        Each convolution over time keeps the frames that its kernel reaches back to, so that a hop
        costs `new` frames and gives the very numbers that the whole window gives at its end.
        lengths: the window's shape, [1, frames, bands, 1]. Raises ExportError: the graph is of
        another form: time is padded, or a pool would hear other frames together.
        """
        shapes = _convolution_inputs(model, lengths)
        for one in model.graph.initializer:
            values = numpy_helper.to_array(one)
            if values.dtype == np.int64 and lengths[1] in values.ravel():
                resized = np.where(values == lengths[1], new, values)
                one.CopyFrom(numpy_helper.from_array(resized, one.name))
        begun = len(self.nodes)
        made = self.splice(model, prefix, used)
        spliced, count = self.nodes[begun:], 0
        del self.nodes[begun:]
        phase = -lengths[1] % new  # where in a hop the whole window begins
        for node in spliced:
            phase = _next_phase(node, phase)
            if node.op_type == "Conv" and (reach := _reach(node)):
                channels, bands = shapes[node.input[0].removeprefix(prefix)]
                kept = [1, channels, reach, bands]
                node.input[0] = self.with_history(node.input[0], f"{prefix}{count}", kept, axis=2)
                count += 1
            self.nodes.append(node)
        return made

    def model(self, scores: str, labels: int, opset: int) -> ModelProto:
        """Return the finished graph, which gives `scores` [1, labels]."""
        self.add("Identity", [scores], "scores")
        output = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, labels])
        outputs = [output, *self.outputs]
        graph = helper.make_graph(self.nodes, "stream", self.inputs, outputs, self.weights)
        operators = [helper.make_opsetid("", opset)]
        return helper.make_model(graph, opset_imports=operators, ir_version=IR)


def _attributes(node: NodeProto) -> dict[str, Any]:
    return {each.name: helper.get_attribute_value(each) for each in node.attribute}


def _reach(node: NodeProto) -> int:
    """Return how many earlier frames a convolution needs."""
    found = _attributes(node)
    return int((found["kernel_shape"][0] - 1) * found.get("dilations", [1])[0])


def _next_phase(node: NodeProto, phase: int) -> int:
    """Return where in a hop a node's first output lies, if its first input lies at `phase`.

    Counted in the frames of each. Raises ExportError: frames depend on where the window begins.
    """
    if node.op_type not in {"Conv", "MaxPool"}:
        return phase
    found = _attributes(node)
    pads, step = found.get("pads", [0, 0, 0, 0]), found.get("strides", [1, 1])[0]
    pool = node.op_type == "MaxPool"
    apart = step == (found["kernel_shape"][0] if pool else 1)
    padded = pads[0] or pads[2] or found.get("auto_pad", b"NOTSET") != b"NOTSET"
    if padded or not apart or (pool and phase % step):
        raise ExportError(
            f"{node.name or node.output[0]}: can't be made streaming: its frames overlap, are "
            "padded, or depend on where a window begins"
        )
    return phase // step if pool else phase + _reach(node)


def _convolution_inputs(model: ModelProto, lengths: Sequence[int]) -> dict[str, tuple[int, int]]:
    """Return channels and bands of every tensor that a convolution hears."""
    known = ModelProto.FromString(model.SerializeToString())
    (source,) = inputs(known)
    source.CopyFrom(helper.make_tensor_value_info(source.name, TensorProto.FLOAT, lengths))
    del known.graph.output[0].type.tensor_type.shape.dim[:]
    known = onnx.shape_inference.infer_shapes(known, data_prop=True)
    shapes = {one.name: shape(one) for one in known.graph.value_info}
    used = {node.input[0] for node in model.graph.node if node.op_type == "Conv"}
    found = {}
    for name in used:
        axes = shapes.get(name, [])
        if len(axes) != 4 or not isinstance(axes[1], int) or not isinstance(axes[3], int):
            raise ExportError(f"{name}: can't be made streaming: its shape is not known")
        found[name] = (axes[1], axes[3])
    return found
