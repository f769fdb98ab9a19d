"""Quantization: what was to be int8 is int8, nothing else is, and the scores stay."""

from functools import partial

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static
from quantizing import Tdnn, Transformer, clips, saved

from export import graph
from export.int8 import quantize, weights
from export.int8.check import check, check_storage
from export.int8.quantize import Calibration
from kws.errors import ExportError

KINDS = {"dynamic": Transformer, "static": Tdnn}


@pytest.fixture(scope="module", params=KINDS)
def made(request, tmp_path_factory):
    """A scheme, its float32 file, its int8 file, and what was told of it."""
    scheme = request.param
    source = saved(KINDS[scheme], tmp_path_factory.mktemp(scheme))
    target = source.with_name("int8.onnx")
    return scheme, source, target, quantize.quantize(source, target, scheme, clips())


def scores(path, audio):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return np.stack([session.run(["scores"], {"audio": clip[None]})[0][0] for clip in audio])


def kinds(path):
    return {node.op_type for node in onnx.load(path).graph.node}


def test_scores_stay(made):
    """On clips between which it decides, each probability stays within 0.05; not one is equal."""
    _, source, target, _ = made
    audio = clips(30)[12:]
    before, after = scores(source, audio), scores(target, audio)

    assert (before.max(0) - before.min(0)).min() > 0.1
    assert 1e-6 < np.abs(before - after).max() < 0.05


def test_weights_become_a_quarter(made):
    """All stored matrices behind the front end are int8, a scale for each output channel."""
    scheme, source, target, _ = made
    before, after = onnx.load(source), onnx.load(target)
    weights.prepare(before)
    meant = weights.weighted(before, scheme)
    stored = [each for each in after.graph.initializer if each.data_type == TensorProto.INT8]

    assert {"dynamic": 8, "static": 4}[scheme] == len(meant)
    assert len({node.input[1] for node in meant.values()}) == len(
        [each for each in stored if len(each.dims) > 1]
    )


def test_the_rest_stays_in_float(made):
    """Front end, patches and pooling are what they were, and the card says so."""
    scheme, source, target, told = made
    kept = {"dynamic": "Conv", "static": "pooling"}[scheme]
    conv = {"dynamic": "/network/patch/Conv", "static": "/network/pool/pool.0/Conv"}[scheme]
    before, after = (
        {node.name: node for node in onnx.load(path).graph.node} for path in (source, target)
    )
    front = [name for name in before if name.startswith("/front/")]

    assert {"Conv", "MatMul", "Log"} <= {before[name].op_type for name in front}
    assert [before[name] for name in (*front, conv)] == [after[name] for name in (*front, conv)]
    assert (f"int8-{scheme}", ["front end", kept]) == (told.scheme, told.excluded)


def test_only_fast_and_portable_operators_are_used(made):
    """No ConvInteger, no QOperator format; opset 17 of the standard alone, and IR 8."""
    scheme, _, target, _ = made
    model = onnx.load(target)
    integer = {"dynamic": "MatMulInteger", "static": "DequantizeLinear"}[scheme]

    assert integer in kinds(target)
    assert not {kind for kind in kinds(target) if kind.startswith(("QLinear", "ConvInteger"))}
    assert [("", 17)] == [(each.domain, each.version) for each in model.opset_import]
    assert model.ir_version == 8


def test_nothing_but_the_target_is_left_behind(made):
    """Working files beside the source are gone."""
    _, source, target, _ = made

    assert {source, target} == set(source.parent.iterdir())


def test_a_network_over_2_gb_comes_as_one_int8_file(tmp_path, monkeypatch):
    """Weights that lie beside the float32 graph give the file that weights inside give.

    Where even int8 is too large, that is said, and nothing is left at the target.
    """
    source = saved(Transformer, tmp_path)
    quantize.quantize(source, tmp_path / "inside.onnx", "dynamic")
    outer = tmp_path / "outer"
    outer.mkdir()
    onnx.save(
        onnx.load(source), outer / "large.onnx", save_as_external_data=True,
        location="weights.data", size_threshold=0,
    )  # fmt: skip
    before = set(outer.iterdir())
    quantize.quantize(outer / "large.onnx", tmp_path / "outside.onnx", "dynamic")

    assert np.array_equal(
        *(scores(tmp_path / f"{each}side.onnx", clips()) for each in ("in", "out"))
    )
    assert before == set(outer.iterdir())

    monkeypatch.setattr(graph, "LIMIT", 10_000)
    with pytest.raises(ExportError, match="even as int8, and one file ends at 2 GB"):
        quantize.quantize(outer / "large.onnx", outer / "int8.onnx", "dynamic")
    assert before == set(outer.iterdir())


def test_weights_are_found_behind_constants_and_identities(tmp_path):
    """However an exporter stores a matrix, it becomes int8."""
    values = np.random.default_rng(0).standard_normal((8, 8)).astype(np.float32)
    node = helper.make_node
    nodes = [
        node("Constant", [], ["constant"], value=numpy_helper.from_array(values)),
        node("Identity", ["stored"], ["alias"]),
        node("Identity", ["alias"], ["alias.of.alias"]),
        node("MatMul", ["audio", "constant"], ["x"]),
        node("MatMul", ["x", "alias.of.alias"], ["y"]),
        node("Gemm", ["y", "stored"], ["z"], transB=1),
        node("MatMul", ["z", "stored"], ["w"]),
        node("Softmax", ["w"], ["scores"]),
    ]
    value = partial(helper.make_tensor_value_info, elem_type=TensorProto.FLOAT)
    inputs, outputs = (value(name, shape=["batch", 8]) for name in ("audio", "scores"))
    stored = [numpy_helper.from_array(values, "stored")]
    made = helper.make_graph(nodes, "test", [inputs], [outputs], stored)
    source, target = tmp_path / "float32.onnx", tmp_path / "int8.onnx"
    imports = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(made, ir_version=8, opset_imports=imports), source)
    quantize.quantize(source, target, "dynamic")
    audio = [np.linspace(-1, 1, 8, dtype=np.float32)]

    assert not {"MatMul", "Gemm", "Identity"} & kinds(target)
    assert np.abs(scores(source, audio) - scores(target, audio)).max() < 0.05


def ours(scheme, source, target):
    """Quantize by onnxruntime with the right options, and some that are wrong."""
    prepared = source.with_name("prepared.onnx")
    model = onnx.load(source)
    weights.prepare(model)
    model.metadata_props.add(**quantize.PREPARED)
    onnx.save(model, prepared)
    nodes = list(weights.weighted(model, scheme))
    options = {"nodes_to_quantize": nodes, "weight_type": QuantType.QInt8, "per_channel": True}
    if scheme == "dynamic":
        options["nodes_to_quantize"] = nodes + [f"{name}_MatMul" for name in nodes]
        return partial(quantize_dynamic, prepared, target), options
    options["op_types_to_quantize"] = ["Conv", "Gemm", "MatMul"]
    options["activation_type"] = QuantType.QInt8
    return partial(quantize_static, prepared, target, Calibration(clips(3))), options


@pytest.mark.parametrize(
    ("scheme", "changes", "message"),
    [
        ("dynamic", {}, None),
        ("dynamic", {"weight_type": QuantType.QUInt8}, "is unsigned"),
        ("dynamic", {"per_channel": False}, "no scale for each channel"),
        ("dynamic", {"nodes_to_quantize": ["/network/wide/MatMul"]}, "stayed in float32"),
        ("dynamic", {"nodes_to_quantize": []}, "is a ConvInteger|front end was changed"),
        ("static", {}, None),
        ("static", {"weight_type": QuantType.QUInt8}, "QUInt8|is unsigned"),
        ("static", {"per_channel": False}, "no scale for each channel"),
        ("static", {"nodes_to_quantize": ["/network/first/Conv"]}, "stayed in float32"),
        ("static", {"nodes_to_quantize": []}, "front end was changed"),
        ("static", {"quant_format": QuantFormat.QOperator}, "is a QLinearConv"),
    ],
)
def test_a_file_that_is_not_what_it_should_be_is_refused(scheme, changes, message, tmp_path):
    """Quantized with one wrong option, the file is refused, and the node named."""
    source = saved(KINDS[scheme], tmp_path)
    target = tmp_path / "int8.onnx"
    call, options = ours(scheme, source, target)
    if scheme == "static" and changes.get("weight_type") == QuantType.QUInt8:
        changes = {**changes, "activation_type": QuantType.QUInt8}
    call(**options | changes)

    if message is None:
        check(source, target, scheme)
        return
    with pytest.raises(ExportError, match=message) as caught:
        check(source, target, scheme)
    assert "\n" not in str(caught.value)


def test_a_changed_constant_of_the_front_end_is_noticed(made, tmp_path):
    """Not only nodes are compared, but what they multiply by."""
    scheme, source, target, _ = made
    model = onnx.load(target)
    constant = next(each for each in model.graph.initializer if "front.mel" in each.name)
    constant.CopyFrom(
        numpy_helper.from_array(0.99 * numpy_helper.to_array(constant), constant.name)
    )
    onnx.save(model, tmp_path / "changed.onnx")

    with pytest.raises(ExportError, match=r"front\.mel of the front end was changed"):
        check(source, tmp_path / "changed.onnx", scheme)


def test_static_ranges_need_recordings(tmp_path):
    """Without a recording nothing is written."""
    source = saved(Tdnn, tmp_path)

    with pytest.raises(ExportError, match="no recordings to calibrate on"):
        quantize.quantize(source, tmp_path / "int8.onnx", "static", [])
    assert [source] == list(tmp_path.iterdir())


def test_a_graph_without_weights_is_refused(tmp_path):
    """It says what to do instead."""
    value = partial(helper.make_tensor_value_info, elem_type=TensorProto.FLOAT, shape=["batch", 8])
    nodes = [helper.make_node("Softmax", ["audio"], ["scores"])]
    made = helper.make_graph(nodes, "test", [value("audio")], [value("scores")])
    onnx.save(helper.make_model(made, ir_version=8), tmp_path / "float32.onnx")

    with pytest.raises(ExportError, match="say --quantize none"):
        quantize.quantize(tmp_path / "float32.onnx", tmp_path / "int8.onnx", "dynamic")


def test_calibration_prints_nothing(tmp_path, capfd):
    """The quantizer's own progress is kept from the user."""
    quantize.quantize(saved(Tdnn, tmp_path), tmp_path / "int8.onnx", "static", clips(2))

    assert ("", "") == capfd.readouterr()


@pytest.mark.parametrize("floats", [1024, 1025])
def test_a_stream_model_keeps_no_large_float(floats):
    """A float32 constant of 4096 bytes may stay, a larger one is named; wherever it is stored."""
    tensor = numpy_helper.from_array(np.zeros(floats, np.float32), "weight")
    named = helper.make_node("Constant", [], ["weight"], value=tensor)
    stored = helper.make_graph([], "test", [], [], [tensor])
    constant = helper.make_graph([named], "test", [], [])

    for each in (stored, constant):
        if floats == 1024:
            check_storage(helper.make_model(each))
        else:
            with pytest.raises(ExportError, match="weight: 4100 bytes"):
                check_storage(helper.make_model(each))
