"""The verifier's network: read from its package, the same as a graph and in int8."""

import struct
from functools import partial

import models as tones
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from export.int8.rows import LEAST, SMALLEST, STEPS, quantize_rows
from export.training.verifier import pretrained
from export.training.verifier.graph import AFTER, encoder_id, float_graph, head_graph
from export.training.verifier.network import Config, Encoder, FastLogMel, Verifier, front_end
from export.write import write
from kws.card import Label, replace
from kws.errors import DataError, ExportError
from kws.onnx_graph import OnnxGraph
from kws.session import load

SMALL = Config(4, window=6400, width=96, heads=4, layers=2, feed=192, steps=5, head_width=16)
"""Its larger matrices become int8."""


def network(config=SMALL):
    """Random weights that make it decide, its batch norms included."""
    torch.manual_seed(3)
    made = Verifier(config)
    for name, value in [*made.named_parameters(), *made.named_buffers()]:
        if value.ndim > 1 and name.endswith("weight"):
            value.data.mul_(2)
        if name.endswith(("running_mean", "bias", "positions", "places")):
            value.data.normal_(0, 0.3)
        elif name.endswith("running_var"):
            value.data.uniform_(0.5, 2)
    made.head.classify.weight.data.mul_(10)
    return made.eval()


def sounds(count=4, samples=SMALL.window):
    """Noise that comes and goes, louder from one to the next: float32 [count, samples]."""
    rng = np.random.default_rng(2)
    swell = np.sin(np.linspace(0, 9, samples))[None] * 10.0 ** np.arange(-3, count - 3)[:, None]
    return (rng.normal(0, 0.1, (count, samples)) * swell).clip(-1, 1).astype(np.float32)


def expected(of, audio):
    """Return scores and embeddings as the training computes them."""
    with torch.no_grad():
        logits, embedding = of(FastLogMel()(torch.from_numpy(audio)))
    return logits.softmax(1).numpy(), embedding.numpy()


def in_file(graph, path):
    """Return the model that a graph makes."""
    config = SMALL
    labels = [*tones.LABELS[: config.labels - 1], Label("_rest_")]
    card = replace(tones.verifier_card(), window=config.window, labels=labels)
    write(graph, card, path)
    return load(path)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The network, its float32 file, its int8 file, the int8 graph and what was told of it."""
    folder, torch_network = tmp_path_factory.mktemp("verifier"), network()
    graph = float_graph(torch_network)
    float32 = in_file(graph, folder / "float32.onnx")
    told = quantize_rows(graph)
    return torch_network, float32, in_file(graph, folder / "int8.onnx"), graph, told


def test_the_fast_front_end_is_the_exported_one():
    """What the network learns from is what the file will hear."""
    audio = torch.from_numpy(sounds())

    assert (FastLogMel()(audio) - front_end(SMALL)(audio)).abs().max() < 1e-4


def test_the_graph_is_the_network(made):
    """Scores and embedding are torch's."""
    torch_network, float32, *_ = made
    scores, embedding = expected(torch_network, sounds())

    assert np.ptp(scores, axis=0).max() > 0.3
    assert np.abs(float32.run(sounds())[0] - scores).max() <= 1e-4
    assert np.abs(float32.embedding(sounds()[2]) - embedding[2]).max() <= 1e-4


@pytest.mark.parametrize("samples", [1, 1_000, SMALL.window + 777])
def test_a_clip_is_heard_near_the_windows_end(made, samples):
    """A tenth of a second of zeros follows a shorter one; of a longer one its end counts."""
    torch_network, float32, int8, *_ = made
    clip = sounds(samples=SMALL.window + 777)[2, -samples:]
    after = np.zeros(min(AFTER, max(0, SMALL.window - len(clip))), np.float32)
    window = np.concatenate([np.zeros(SMALL.window, np.float32), clip, after])[-SMALL.window :]

    assert np.abs(float32.scores(clip) - expected(torch_network, window[None])[0]).max() <= 1e-4
    assert np.abs(int8.scores(clip) - int8.scores(window)).max() <= 1e-5


def test_int8_scores_stay_close(made):
    """A few hundredths, at any level."""
    _, float32, int8, _, told = made

    assert np.abs(int8.run(sounds())[0] - float32.run(sounds())[0]).max() < 0.05
    assert "int8-rows" == told.scheme


def test_what_shares_a_batch_does_not_matter(made):
    """Loud and quiet windows in one call: each scores as it does alone."""
    int8 = made[2]
    alone = np.stack([int8.scores(each) for each in sounds()])

    assert int8.takes_many
    assert np.abs(int8.run(sounds())[0] - alone).max() <= 1e-5


def test_every_large_matrix_is_int8(made):
    """Behind the front end no large float32 is left, nor a product of one."""
    graph = made[3].graph
    stored = {each.name: each for each in graph.initializer}
    floats = [
        name
        for name, each in stored.items()
        if each.data_type == TensorProto.FLOAT
        and np.prod(each.dims) >= SMALLEST
        and not name.startswith("front.")
    ]
    whole = [node.input[1] for node in graph.node if node.op_type == "MatMulInteger"]

    assert not floats
    assert len(whole) >= 4 * SMALL.layers
    assert all(stored[name].data_type == TensorProto.INT8 for name in whole)


def one_matrix(weight):
    """A graph that multiplies by a matrix."""
    value = partial(helper.make_tensor_value_info, elem_type=TensorProto.FLOAT)
    into, out = weight.shape
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "weight"], ["y"], "product")],
        "test",
        [value("x", shape=["batch", "rows", into])],
        [value("y", shape=["batch", "rows", out])],
        [numpy_helper.from_array(weight, "weight")],
    )
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])


def test_rows_are_what_their_arithmetic_says():
    """Every optimizer of ONNX Runtime on: each row keeps a scale of its own.

    A product of both scales would be fused into a pattern that has one scale for all rows.
    """
    rng = np.random.default_rng(4)
    weight = rng.normal(0, 1, (128, 160)).astype(np.float32)
    audio = rng.normal(0, 1, (2, 4, 128)).astype(np.float32)
    audio *= np.float32([[1, 1e-3, 100, 0], [0.1, 5, 1e-5, 1]])[:, :, None]
    model = one_matrix(weight)
    quantize_rows(model)
    onnx.checker.check_model(model)
    found = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": audio})[0]

    step = np.maximum(np.abs(audio).max(2, keepdims=True), LEAST) / STEPS
    scale = np.abs(weight).max(0) / STEPS
    wanted = np.rint(audio / step) @ np.rint(weight / scale) * step * scale
    size = np.abs(wanted).max(2, keepdims=True) + 1e-9
    assert (np.abs(found - wanted) / size).max() < 1e-5
    assert (np.abs(found - audio @ weight) / size).max() < 0.03


def test_without_a_large_matrix_nothing_is_quantized():
    """It says so."""
    with pytest.raises(ExportError, match="no matrices that can become int8"):
        quantize_rows(one_matrix(np.ones((8, 8), np.float32)))


def write_ctranslate2(path, arrays):
    """Write a model file as CTranslate2 does."""

    def text(value):
        return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"

    types = {np.dtype(kind): number for number, kind in pretrained.TYPES.items()}
    parts = [struct.pack("<I", 6), text("WhisperSpec"), struct.pack("<II", 3, len(arrays))]
    for name, value in arrays.items():
        parts += [
            text(name),
            struct.pack("<B", value.ndim),
            struct.pack(f"<{value.ndim}I", *value.shape),
        ]
        parts += [struct.pack("<BI", types[value.dtype], value.nbytes), value.tobytes()]
    path.write_bytes(b"".join(parts))


def pretrained_arrays(encoder):
    """Return an encoder's weights, named as CTranslate2 names them, with more positions."""
    state = {name: value.numpy().astype(np.float16) for name, value in encoder.state_dict().items()}
    positions = state.pop("positions")
    arrays = {
        "encoder/num_heads": np.array(4, np.int16),
        "encoder/position_encodings/encodings": np.concatenate([positions, positions + 1]),
        "decoder/layer_norm/gamma": np.ones(3, np.float32),
    }
    arrays |= {f"encoder/{name}": state[ours] for name, ours in pretrained._OUTER.items()}
    for number in range(SMALL.layers):
        for name, ours in pretrained._INNER.items():
            arrays[f"encoder/layer_{number}/{name}"] = state[f"layers.{number}.{ours}"]
    return arrays


def test_the_pretrained_encoder_is_read(tmp_path):
    """Every weight finds its place; of the positions the first are taken."""
    encoder = network().encoder
    arrays = pretrained_arrays(encoder)
    path = tmp_path / pretrained.WEIGHTS.name  # where a download would lie
    write_ctranslate2(path, arrays)
    found = pretrained.read(path)
    read = Encoder(SMALL)
    read.load_state_dict(pretrained.encoder_state(tmp_path, SMALL.positions))

    assert all(np.array_equal(found[name], value) for name, value in arrays.items())
    assert all(found[name].dtype == value.dtype for name, value in arrays.items())
    for name, value in encoder.state_dict().items():
        assert torch.equal(read.state_dict()[name], value.half().float()), name


@pytest.mark.parametrize("name", ["encoder/conv3/weight", "encoder/layer_0/ffn/linear_2/weight"])
def test_another_network_is_refused(tmp_path, name):
    """A weight without a place is named."""
    write_ctranslate2(tmp_path / pretrained.WEIGHTS.name, {name: np.ones((2, 2), np.float16)})
    with pytest.raises(DataError, match=f"unknown weight {name}"):
        pretrained.encoder_state(tmp_path, 4)


def test_the_graph_gives_the_features_that_heads_hear(made):
    """They are torch's; a head of its own on them gives that head's scores and embedding."""
    torch_network, float32, int8, *_ = made
    audio = sounds()
    with torch.no_grad():
        wanted = torch_network.features(FastLogMel()(torch.from_numpy(audio)))
    graph = OnnxGraph(float32.path)
    found = graph.run(["features"], {"audio": audio})[0]
    whole = OnnxGraph(int8.path).run(["features"], {"audio": audio})[0]
    alone = [OnnxGraph(int8.path).run(["features"], {"audio": each[None]})[0] for each in audio]

    assert found.shape == (4, SMALL.steps, SMALL.width)
    assert np.abs(found - wanted.numpy()).max() <= 1e-3
    assert np.abs(whole - found).max() < 0.3
    assert np.array_equal(whole, np.concatenate(alone))


def test_a_head_alone_is_a_graph(made, tmp_path):
    """Features in, the same scores and embedding out as behind the encoder."""
    torch_network = made[0]
    features = torch.randn(3, SMALL.steps, SMALL.width)
    path = tmp_path / "head.onnx"
    onnx.save(head_graph(torch_network.head, SMALL), path)
    graph = OnnxGraph(path)
    scores, embedding = graph.run(["scores", "embedding"], {"features": features.numpy()})
    with torch.no_grad():
        logits, wanted = torch_network.head(features)

    assert [node.name for node in graph.inputs] == ["features"]
    assert graph.inputs[0].shape == ["batch", SMALL.steps, SMALL.width]
    assert np.abs(scores - logits.softmax(1).numpy()).max() <= 1e-4
    assert np.abs(embedding - wanted.numpy()).max() <= 1e-4


def test_an_encoders_weights_name_it():
    """Another head leaves the name; another weight changes it."""
    one, other = network(), network()
    other.head.classify.weight.data.zero_()
    name = encoder_id(one)

    assert len(name) == 16
    assert encoder_id(other) == name
    other.encoder.layers[0].feed_in.bias.data[0] += 1
    assert encoder_id(other) != name
