"""Made-up networks of openWakeWord's form: mel front end, embedding, heads."""

import hashlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT = TensorProto.FLOAT


def save(path, nodes, inputs, outputs, constants, *, opset=13):
    """Write a graph; inputs and outputs: shapes by name."""
    graph = helper.make_graph(
        nodes,
        "made up",
        [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def random(seed, *shape, scale=1.0):
    """Return weights."""
    return (scale * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def write_mel(path):
    """A front end that cuts off what lies far below the loudest value of its call."""
    node = helper.make_node
    nodes = [
        node("Unsqueeze", ["input", "one"], ["rows"]),
        node("Conv", ["rows", "filters"], ["bins"], strides=[160]),
        node("Transpose", ["bins"], ["turned"], perm=[0, 2, 1]),
        node("Mul", ["turned", "turned"], ["squares"]),
        node("MatMul", ["squares", "bands"], ["power"]),
        node("Clip", ["power", "least"], ["clipped"]),
        node("Log", ["clipped"], ["log"]),
        node("ReduceMax", ["log"], ["loudest"], keepdims=0),
        node("Sub", ["loudest", "range"], ["lowest"]),
        node("Clip", ["log", "lowest"], ["cut"]),
        node("Unsqueeze", ["cut", "one"], ["output"]),
    ]
    constants = {
        "one": np.array([1]),
        "filters": random(1, 40, 1, 512, scale=0.05),
        "bands": np.eye(40, 32, dtype=np.float32),
        "least": np.float32(1e-3),
        "range": np.float32(6),
    }
    outputs = {"output": ["time", 1, "frames", 32]}
    return save(path, nodes, {"input": ["batch", "samples"]}, outputs, constants)


def write_embedding(path, *, pad=0, reach=8):
    """Convolutions over time and bands, and pools, that make 96 numbers of 76 frames.

    reach: of the convolution after the first pool; only 8 lets pools fall on the same frames in
    every hop.
    """
    node = helper.make_node
    nodes = [
        node("Reshape", ["input_1", "frames"], ["x0"]),
        node("Conv", ["x0", "w0"], ["x1"], kernel_shape=[3, 3], pads=[pad, 1, pad, 1]),
        node("LeakyRelu", ["x1"], ["leaky"], alpha=0.2),
        node("Max", ["leaky", "lowest"], ["x2"]),
        node("Conv", ["x2", "w1"], ["x3"], kernel_shape=[1, 3], pads=[0, 1, 0, 1]),
        node("Conv", ["x3", "w2"], ["x4"], kernel_shape=[3, 1]),
        node("MaxPool", ["x4"], ["x5"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", ["x5", "w3"], ["x6"], kernel_shape=[1 + reach, 1]),
        node("MaxPool", ["x6"], ["x7"], kernel_shape=[2, 4], strides=[2, 4]),
        node("Conv", ["x7", "w4"], ["x8"], kernel_shape=[9, 1]),
        node("MaxPool", ["x8"], ["x9"], kernel_shape=[2, 4], strides=[2, 4]),
        node("Conv", ["x9", "w5"], ["x10"], kernel_shape=[3, 1]),
        node("Reshape", ["x10", "numbers"], ["conv2d_19"]),
    ]
    constants = {
        "frames": np.array([-1, 1, 76, 32]),
        "w0": random(2, 4, 1, 3, 3, scale=0.3),
        "w1": random(3, 8, 4, 1, 3, scale=0.3),
        "w2": random(4, 8, 8, 3, 1, scale=0.2),
        "w3": random(5, 8, 8, 1 + reach, 1, scale=0.2),
        "w4": random(6, 8, 8, 9, 1, scale=0.2),
        "w5": random(7, 96, 8, 3, 1, scale=0.2),
        "numbers": np.array([-1, 1, 1, 96]),
        "lowest": np.full((1, 1, 1, 1), -0.4, np.float32),
    }
    outputs = {"conv2d_19": ["batch", 1, 1, 96]}
    return save(path, nodes, {"input_1": ["batch", 76, 32, 1]}, outputs, constants)


def write_head(path, *, embeddings=16, scores=1, output="score", opset=13, seed=7, batch=1):
    """A head of one layer; `seed` makes it another word's."""
    node = helper.make_node
    nodes = [
        node("Flatten", ["x"], ["flat"]),
        node("Gemm", ["flat", "weight", "bias"], ["logits"]),
        node("Sigmoid" if scores == 1 else "Softmax", ["logits"], [output]),
    ]
    constants = {
        "weight": random(seed, 96 * embeddings, scores, scale=0.01),
        "bias": random(seed + 1, scores),
    }
    inputs, outputs = {"x": [batch, embeddings, 96]}, {output: [batch, scores]}
    return save(path, nodes, inputs, outputs, constants, opset=opset)


def write_tuned_head(path, heard, other):
    """A head that scores near 1 where the last embeddings are `heard`, near 0 where `other`.

    heard, other: float32 [16, 96].
    """
    node = helper.make_node
    apart = (heard - other).reshape(-1, 1)
    weight = 20 * apart / float(np.sum(apart**2))
    bias = (-10 - other.reshape(1, -1) @ weight)[0].astype(np.float32)
    nodes = [
        node("Flatten", ["x"], ["flat"]),
        node("Gemm", ["flat", "weight", "bias"], ["logits"]),
        node("Sigmoid", ["logits"], ["score"]),
    ]
    constants = {"weight": weight.astype(np.float32), "bias": bias}
    return save(path, nodes, {"x": [1, 16, 96]}, {"score": [1, 1]}, constants)


def write_branching_head(path):
    """A head whose branches use what lies outside, as openWakeWord's hey jarvis."""
    node = helper.make_node
    branch = {
        name: helper.make_graph(
            nodes, name, [], [helper.make_tensor_value_info(f"{name}.out", FLOAT, [1, 1])]
        )
        for name, nodes in {
            "surer": [
                node("Flatten", ["x"], ["surer.flat"]),
                node("Gemm", ["surer.flat", "second"], ["surer.logits"]),
                node("Sigmoid", ["surer.logits"], ["surer.out"]),
            ],
            "first": [node("Identity", ["p"], ["first.out"])],
        }.items()
    }
    nodes = [
        node("Flatten", ["x"], ["flat"]),
        node("Gemm", ["flat", "weight"], ["logits"]),
        node("Sigmoid", ["logits"], ["p"]),
        node("Greater", ["p", "half"], ["high"]),
        node("If", ["high"], ["y"], then_branch=branch["surer"], else_branch=branch["first"]),
    ]
    constants = {
        "weight": random(20, 1536, 1, scale=0.02),
        "second": random(21, 1536, 1, scale=0.02),
        "half": np.float32([[0.5]]),
    }
    return save(path, nodes, {"x": [1, 16, 96]}, {"y": [1, 1]}, constants)


def write_parts(folder):
    """Write front end and embedding; return their hashes by name, as they are pinned."""
    folder.mkdir(exist_ok=True)
    parts = [
        write_mel(folder / "melspectrogram.onnx"),
        write_embedding(folder / "embedding_model.onnx"),
    ]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in parts}
