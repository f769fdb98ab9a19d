"""Tiny ONNX models that hear tones: a stream model and its twin, a window model.

A keyword is a tone; its score is a sigmoid of the tone's mean power over the window. The
stream model keeps the powers of the hops before; both give the same scores.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from kws.card import KEY, Card, Decision, Gate, Label, Threshold, Verification, encode

RATE = 16_000
HOP = 320
HOPS = 4
WINDOW = HOP * HOPS
TONES = {"yes": 500, "no": 1_000, "jarvis": 1_500}
LABELS = [
    Label("yes", "keyword", median_length_s=0.2),
    Label("no", "keyword", median_length_s=0.2),
    Label("jarvis", "wake", median_length_s=0.2),
    Label("_rest_"),
]


def card(kind="stream", *, hop=HOP, hops=HOPS, **changes):
    """A card for a model of tones."""
    fields = {
        "version": 1,
        "kind": kind,
        "family": "tones",
        "sample_rate": RATE,
        "window": hop * hops,
        "hop": hop,
        "labels": LABELS,
        "activation": "sigmoid",
        "producer": "tests",
        "date": "2026-01-01",
        "thresholds": {name: Threshold(0.6) for name in TONES},
        "decision": Decision(smoothing_s=0.06, refractory_s=0.3),
        "gate": Gate("none"),
    }
    return Card(**fields | changes)


def verifier_card(**verification):
    """A card for a window model of tones that verifies, its window longer than a first stage's."""
    return card("window", hops=10, thresholds={}, verification=Verification(**verification))


def tone(keyword, seconds, *, amplitude=0.3):
    """A keyword, spoken by a sine."""
    time = np.arange(round(seconds * RATE)) / RATE
    return (amplitude * np.sin(2 * np.pi * TONES[keyword] * time)).astype(np.float32)


def noise(seconds, *, amplitude=0.001, seed=1):
    """Quiet noise."""
    samples = np.random.default_rng(seed).standard_normal(round(seconds * RATE))
    return (amplitude * samples).astype(np.float32)


def write(path, what: Card | None = None, *, hop=HOP, hops=HOPS, labels=None) -> Path:
    """Write a model of the card's kind; hop, hops, labels: of the graph."""
    what = what or card()
    graph = _graph(what.kind, hop, hops, labels or len(LABELS))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {KEY: encode(what)})
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return Path(path)


def write_fragile(path, what: Card, *, most=0.01, **sizes) -> Path:
    """Write a model whose calls fail as soon as a sample is louder than `most`; 0: all of them."""
    model = onnx.load(str(write(path, what, **sizes)))
    graph, node = model.graph, helper.make_node
    graph.node[-1].output[0] = "unchecked"
    graph.initializer.append(numpy_helper.from_array(np.zeros(1, np.float32), "nothing"))
    graph.initializer.append(numpy_helper.from_array(np.float32(1 / most if most else 0), "per"))
    graph.initializer.append(numpy_helper.from_array(np.float32(not most), "least"))
    graph.node.extend(
        [
            node("Abs", ["audio"], ["loudness"]),
            node("ReduceMax", ["loudness"], ["loudest"], keepdims=0),
            node("Mul", ["loudest", "per"], ["relative"]),
            node("Add", ["relative", "least"], ["from least"]),
            node("Cast", ["from least"], ["place"], to=TensorProto.INT64),
            node("Gather", ["nothing", "place"], ["zero"]),  # has one place
            node("Add", ["unchecked", "zero"], ["scores"]),
        ]
    )
    onnx.save(model, str(path))
    return Path(path)


def _constants(hop, hops, labels):
    time = np.arange(hop) / RATE
    turns = 2 * np.pi * np.array([*TONES.values()])[None] * time[:, None]
    bases = {"cos": np.cos(turns) * 2 / hop, "sin": np.sin(turns) * 2 / hop}
    constants = {name: basis.astype(np.float32) for name, basis in bases.items()}
    return constants | {
        "gain": np.float32(200),
        "offset": np.float32(5),
        "rest": np.full((1, labels - len(TONES)), 0.1, np.float32),
        "one": np.array([1], np.int64),
        "end": np.array([hops], np.int64),
        "hops": np.array([0, -1, hop], np.int64),
    }


def _graph(kind, hop, hops, labels):
    node = helper.make_node
    nodes = [
        node("Reshape", ["audio", "hops"], ["framed"]),
        node("MatMul", ["framed", "cos"], ["real"]),
        node("MatMul", ["framed", "sin"], ["imaginary"]),
        node("Mul", ["real", "real"], ["real2"]),
        node("Mul", ["imaginary", "imaginary"], ["imaginary2"]),
        node("Add", ["real2", "imaginary2"], ["power"]),
    ]
    powers = "power"
    audio = ["batch", hop] if kind == "stream" else ["batch", hop * hops]
    inputs = [helper.make_tensor_value_info("audio", TensorProto.FLOAT, audio)]
    outputs = [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", labels])]
    if kind == "stream":
        powers = "powers"
        shape = ["batch", hops - 1, len(TONES)]
        inputs.append(helper.make_tensor_value_info("state.power", TensorProto.FLOAT, shape))
        outputs.append(helper.make_tensor_value_info("state.power.next", TensorProto.FLOAT, shape))
        nodes += [
            node("Concat", ["state.power", "power"], ["powers"], axis=1),
            node("Slice", ["powers", "one", "end", "one"], ["state.power.next"]),
        ]
    nodes += _head(powers)
    constants = _constants(hop, hops, labels).items()
    kept = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants]
    return helper.make_graph(nodes, "tones", inputs, outputs, kept)


def _head(powers):
    node = helper.make_node
    return [
        node("ReduceMean", [powers], ["mean"], axes=[1], keepdims=0),
        node("Mul", ["mean", "gain"], ["scaled"]),
        node("Sub", ["scaled", "offset"], ["logits"]),
        node("Sigmoid", ["logits"], ["heard"]),
        node("ReduceSum", ["heard", "one"], ["sum"], keepdims=1),
        node("Mul", ["sum", "rest"], ["others"]),
        node("Concat", ["heard", "others"], ["scores"], axis=1),
    ]
