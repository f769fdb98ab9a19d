"""Model: what can be opened, what is refused, with which words."""

import subprocess
import sys
import threading

import numpy as np
import onnx
import pytest
from models import HOP, HOPS, LABELS, RATE, WINDOW, card, tone, write

import kws
from kws.errors import CardError, ModelError


def test_a_model_tells_what_it_is(models):
    model = models["stream"]

    assert ["yes", "no", "jarvis", "_rest_"] == model.labels
    assert ["yes", "no", "jarvis"] == model.keywords
    assert "stream.onnx" in repr(model)
    assert model.path.name == "stream.onnx"


def test_silent_history_is_computed_once_and_never_written_to(models):
    model = models["stream"]
    before = [tensor.copy() for tensor in model.initial_state]
    one, state = model.run(tone("yes", HOP / RATE)[None])
    two, _ = model.run(tone("yes", HOP / RATE)[None], model.initial_state)

    assert np.array_equal(one, two)
    assert all(map(np.array_equal, before, model.initial_state))
    assert not np.array_equal(state[0], before[0])


def test_many_streams_run_in_one_call(models):
    audio = np.stack([tone("yes", HOP / RATE), tone("no", HOP / RATE)])
    scores, state = models["stream"].run(audio)
    again, _ = models["stream"].run(audio, state)

    for row in range(2):
        alone, alone_state = models["stream"].run(audio[row : row + 1])
        assert np.allclose(alone[0], scores[row], atol=1e-6)
        alone, _ = models["stream"].run(audio[row : row + 1], alone_state)
        assert np.allclose(alone[0], again[row], atol=1e-6)


def test_threads_share_a_model(models):
    audio = tone("yes", 1.0).reshape(-1, 1, HOP)
    results = []

    def listen():
        state = None
        for hop in audio:
            scores, state = models["stream"].run(hop, state)
        results.append(scores)

    threads = [threading.Thread(target=listen) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(results[0], scores) for scores in results)
    assert len(results) == 4


def test_a_window_model_scores_a_clip(models):
    assert models["window"].scores(tone("no", WINDOW / RATE)).argmax() == 1


def write_text(path):
    path.write_text("hello")
    return path


def without_card(path):
    model = onnx.load(write(path))
    del model.metadata_props[:]
    onnx.save(model, path)
    return path


def with_card(path, text):
    model = onnx.load(write(path))
    model.metadata_props[0].value = text
    onnx.save(model, path)
    return path


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda path: path / "missing.onnx", ModelError, "no such file"),
        (lambda path: path, ModelError, "is a directory"),
        (lambda path: write_text(path / "t.onnx"), ModelError, "not a readable ONNX model"),
        (lambda path: without_card(path / "t.onnx"), CardError, "no model card"),
        (lambda path: with_card(path / "t.onnx", "{"), CardError, "not readable"),
        (lambda path: with_card(path / "t.onnx", '{"version": 9}'), CardError, "upgrade"),
        (lambda path: with_card(path / "t.onnx", '{"version": 1}'), CardError, "missing"),
        (lambda path: write(path / "t.onnx", card(labels=LABELS[:3])), CardError, "3 labels"),
        (lambda path: write(path / "t.onnx", card(hop=160), hop=320), CardError, "160"),
        (lambda path: write(path / "t.onnx", labels=5), CardError, "gives 5 scores"),
    ],
)
def test_a_file_that_is_no_model_is_refused_in_one_line(tmp_path, make, error, words):
    with pytest.raises(error, match=words) as caught:
        kws.load(make(tmp_path))

    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_a_graph_of_the_other_kind_is_refused(tmp_path):
    for kind, other in [("stream", "window"), ("window", "stream")]:
        path = write(tmp_path / "t.onnx", card(kind))
        model = onnx.load(path)
        model.metadata_props[0].value = model.metadata_props[0].value.replace(kind, other, 1)
        onnx.save(model, path)
        with pytest.raises(CardError, match="contradict"):
            kws.load(path)


def test_a_window_that_is_no_whole_number_of_hops(tmp_path):
    path = write(tmp_path / "t.onnx", card(window=HOP * HOPS - 7))

    assert kws.load(path).initial_state[0].shape == (1, HOPS - 1, 3)


HEAVY = ["torch", "sounddevice", "soundfile", "soxr", "onnxruntime", "numpy", "msgspec"]


def test_importing_kws_loads_nothing_heavy():
    code = "import kws, sys; print([name for name in sys.argv if name in sys.modules])"
    command = [sys.executable, "-c", code, *HEAVY]
    found = subprocess.run(command, capture_output=True, text=True, check=True)

    assert found.stdout.strip() == "[]"


def test_the_public_names_are_these():
    assert [
        *["AudioError", "AudioLost", "Block", "Capture", "Captured", "CardError"],
        *["ConfigError", "DataError"],
        *["Detection", "DeviceError", "DigitalSilence", "Event", "ExportError", "GateChanged"],
        *["KeywordStuck", "KwsError", "Model", "ModelError", "ParityError", "Scores"],
        *["Sink", "Source", "Spotter", "Stats", "VerifierFailed"],
        *["classify", "devices", "listen", "load", "spot"],
    ] == kws.__all__
    for name in kws.__all__:
        assert getattr(kws, name) is not None
    assert callable(kws.classify)
    with pytest.raises(AttributeError, match="nothing"):
        _ = kws.nothing
