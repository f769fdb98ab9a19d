"""Export of our x-vector: the file equals the network, is small, and stands alone."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, numpy_helper

from export import graph, stream
from export.assemble import assemble
from export.checkpoints import xvector
from export.frontends import logmel
from export.training.network import Config, XVector, folded
from export.write import write
from kws import card as cards
from kws import load
from kws.errors import ExportError, ParityError

CONFIG = Config(
    labels=4, mels=20, channels=16, kernels=[5, 3], dilations=[1, 4], pooled=24, embedding=12,
    pool=6, segments=3,
)  # fmt: skip


def trained(config: Config = CONFIG) -> XVector:
    """A network with weights and batch norm statistics as training leaves them."""
    torch.manual_seed(3)
    network = XVector(config)
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm1d):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2)
            layer.weight.data.uniform_(0.5, 1.5)
            layer.bias.data.normal_()
    return network.eval()


def card(config: Config = CONFIG) -> cards.Card:
    """A card that fits the graph."""
    return cards.Card(
        version=1,
        kind="stream",
        family=xvector.FAMILY,
        sample_rate=16_000,
        window=config.window,
        hop=config.hop_samples,
        labels=[cards.Label("yes", "keyword"), *map(cards.Label, "abc")],
        activation="softmax",
        producer="test",
        date="2026-01-01",
    )


@pytest.fixture(scope="module")
def network() -> XVector:
    """The network that the files are made from."""
    return folded(trained())


@pytest.fixture(scope="module")
def audio() -> np.ndarray:
    """Three seconds that swell from silence to full scale."""
    rng = np.random.default_rng(5)
    return (rng.normal(0, 0.3, 48_000) * np.linspace(0, 1, 48_000)).clip(-1, 1).astype(np.float32)


def test_folding_changes_nothing(audio):
    """Without its batch norms and the scale of its mels the network gives the same logits."""
    network = trained()
    network.scale.data.uniform_(0.2, 0.3)
    network.shift.data.normal_()
    mels = network.features.fast(torch.from_numpy(audio)[None, : XVector.pad() + 30 * 1280])

    assert (network.logits(mels) - folded(network).logits(mels)).abs().max() < 1e-5


def test_both_forms_of_the_front_end_agree_with_float64(audio):
    """Two short transforms, an FFT, and a plain float64 spectrogram give the same log-mels."""
    front = logmel.LogMel()
    frames = np.lib.stride_tricks.sliding_window_view(audio[:4080].astype(np.float64), 400)[::160]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    power = np.abs(np.fft.rfft(frames * hann)) ** 2
    wanted = np.log(power @ front.once.double().numpy() + logmel.FLOOR).T
    heard = torch.from_numpy(audio[None, :4080])

    assert np.abs(front(heard)[0].numpy() - wanted).max() < 1e-3
    assert np.abs(front.fast(heard)[0].numpy() - wanted).max() < 1e-3


def test_the_stream_equals_the_window_over_silence_and_audio_at_every_hop(network, audio, tmp_path):
    """From the first hop on, within 1e-5, in float32."""
    path = tmp_path / "stream.onnx"
    write(xvector.stream_graph(network, int8=False), card(), path)
    streamed = stream.stream_scores(load(path), audio)
    model = assemble(xvector.window(network, ["yes", *"abc"]), "torch", tmp_path)
    model.ir_version = graph.IR
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    padded = np.concatenate([np.zeros(CONFIG.window, np.float32), audio])

    for number, scores in enumerate(streamed):
        end = CONFIG.window + (number + 1) * CONFIG.hop_samples
        (wanted,) = session.run(["scores"], {"audio": padded[None, end - CONFIG.window : end]})
        assert np.abs(scores - wanted[0]).max() <= 1e-5
    assert np.abs(streamed - stream.window_scores(network, audio)).max() <= 1e-4


def test_streams_in_one_batch_do_not_touch_each_other(network, audio, tmp_path):
    """Two streams in one call give what each gives alone."""
    path = tmp_path / "stream.onnx"
    write(xvector.stream_graph(network), card(), path)
    model = load(path)
    both = np.stack([audio[:1280], -audio[1280:2560]])
    state = [np.concatenate([value, value]) for value in model.initial_state]
    scores, _ = model.run(both, state)

    for row in range(2):
        alone, _ = model.run(both[row : row + 1], model.initial_state)
        assert np.abs(scores[row] - alone[0]).max() < 1e-6


def test_int8_storage_is_small_and_close(network, audio, tmp_path):
    """No float constant over 4 KB; weights keep their names; scores move a little at most."""
    model = xvector.stream_graph(network)
    path = tmp_path / "stream.onnx"
    write(model, card(), path)
    stored = {i.name: i for i in model.graph.initializer}

    name, size = graph.largest_float(model)
    assert size <= 4096, name
    assert TensorProto.INT8 == stored["blocks.1.linear.weight"].data_type
    assert stream.compare(load(path), network, [audio], drift=0.1).clips == 1
    for name, value in network.state_dict().items():
        if name.endswith(".weight") and value.nbytes > 1024:
            scale = numpy_helper.to_array(stored[f"{name}.scale"])
            back = numpy_helper.to_array(stored[name]) * scale
            assert np.abs(back - value.numpy()).max() <= scale.max() / 2 + 1e-7


def test_a_wrong_network_is_refused(network, audio, tmp_path):
    """A file that differs from what it claims to be is a ParityError."""
    path = tmp_path / "stream.onnx"
    write(xvector.stream_graph(network), card(), path)
    other = folded(trained())
    other.classify.bias.data += torch.tensor([3.0, 0, 0, 0])

    with pytest.raises(ParityError, match="differs from its source"):
        stream.compare(load(path), other, [audio])


def test_writing_is_whole_or_not_at_all(network, tmp_path, monkeypatch):
    """An existing target is kept, a failed write leaves nothing behind."""
    path = tmp_path / "model.onnx"
    model = xvector.stream_graph(network)
    write(model, card(), path)
    before = path.read_bytes()

    with pytest.raises(ExportError, match="exists"):
        write(model, card(), path)

    def full(*_: Path) -> None:
        raise OSError(28, "No space left")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(ExportError, match="No space left"):
            write(model, card(), path, overwrite=True)
    assert before == path.read_bytes()
    assert [path] == list(tmp_path.iterdir())


def test_the_oldest_runtime_can_read_it(network, tmp_path):
    """Opset 17, IR 8, one file, one card."""
    path = tmp_path / "model.onnx"
    write(xvector.stream_graph(network), card(), path)
    model = onnx.load(path)

    assert 8 == model.ir_version
    assert [("", 17)] == [(o.domain, o.version) for o in model.opset_import]
    assert [cards.KEY] == [p.key for p in model.metadata_props]
