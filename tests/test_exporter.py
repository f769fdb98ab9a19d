"""`kws export`: from a checkpoint to a file that is proven, or to one line that says why not."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile
import torch
from test_export import trained

from export import exporter, families, verify
from export.checkpoints import xvector
from export.exporter import Options
from export.write import write
from kws import card as cards
from kws import load, selftest
from kws.card import replace as replaced
from kws.cli import main
from kws.errors import ExportError, ParityError

LABELS = ["yes", "no", "up", "_silence_"]
SAY = [].append
DEMO = Path(__file__).parent.parent / "kws" / "models" / "demo.flac"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A training checkpoint of a small network."""
    network = trained()
    network.classify.weight.data *= 20  # so that labels stand apart
    average = {f"module.{name}": value for name, value in network.state_dict().items()}
    path = tmp_path_factory.mktemp("training") / "checkpoint.pt"
    state = {"config": network.config.as_card(), "labels": LABELS, "average": average}
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """Recordings in label folders: tones, long and short."""
    folder = tmp_path_factory.mktemp("words")
    for label, hertz in {"yes": 400, "no": 900}.items():
        (folder / label).mkdir()
        for number in range(4):
            time_s = np.arange(8000 + 3000 * number) / 16_000
            tone = 0.3 * np.sin(2 * np.pi * hertz * (1 + 0.05 * number) * time_s)
            soundfile.write(folder / label / f"{number}.wav", tone, 16_000)
    return folder


@pytest.mark.parametrize("kind", ["stream", "window"])
def test_a_checkpoint_becomes_a_file_that_spots(kind, checkpoint, tmp_path, capsys):
    """Both kinds: the file loads, its card holds what was proven, the chain runs it."""
    out = tmp_path / "model.onnx"

    assert 0 == main(["export", str(checkpoint), "-o", str(out), "--kind", kind, "--force"])
    told = capsys.readouterr()
    model = load(out)
    parity = model.card.parity

    assert kind == model.card.kind
    assert LABELS == model.labels
    assert ["yes", "no", "up"] == model.keywords
    assert ["source", "float32", "int8"] == [variant.name for variant in parity.variants]
    assert parity.max_difference <= 1e-4
    assert "webrtc" == model.card.gate.name
    assert "checkpoint.pt" == model.card.source.name
    assert "float32 differs from the source by" in told.out
    assert "comparing with the source" in told.err
    demo = str(DEMO)
    assert 0 == main(["spot", "--model", str(out), "--threshold", "0.001", demo])
    assert '"keyword"' in capsys.readouterr().out


def test_the_quantized_window_model_is_int8_and_small(checkpoint, tmp_path):
    """Weights are int8, the front end is formed in the graph, and none of it is left in float."""
    exporter.export(
        str(checkpoint),
        tmp_path / "model.onnx",
        Options(asked=families.Asked(kind="window"), force=True),
        SAY,
    )
    model = onnx.load(tmp_path / "model.onnx")
    types = {i.data_type for i in model.graph.initializer if "conv" in i.name.lower()}

    assert {onnx.TensorProto.INT8} <= types
    assert "QuantizeLinear" in {node.op_type for node in model.graph.node}
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


def test_accuracy_is_told_where_labels_are_known(checkpoint, words, tmp_path):
    """Folders' names are labels; every form is judged on the same recordings."""
    options = Options(calibration=words, force=True)
    card = exporter.export(str(checkpoint), tmp_path / "model.onnx", options, SAY)

    assert 8 == card.parity.clips
    assert all(8 == variant.labelled for variant in card.parity.variants)
    assert all(0 <= variant.accuracy <= 1 for variant in card.parity.variants)


@pytest.mark.parametrize("kind", ["stream", "window"])
@pytest.mark.parametrize("quantize", ["int8", "none"])
def test_a_file_holds_a_test_that_it_passes(checkpoint, tmp_path, kind, quantize, capsys):
    """Of synthesised audio; it is no large part of the file, and `kws info` tells of it."""
    out, asked = tmp_path / "model.onnx", families.Asked(kind=kind)
    options = Options(quantize=quantize, asked=asked, force=True)
    card = exporter.export(str(checkpoint), out, options, SAY)
    model = load(out)

    assert model.card.self_test == card.self_test
    assert selftest.deviation(model) < selftest.TOLERANCE / 2
    assert len(cards.encode(card)) - len(cards.encode(replaced(card, self_test=None))) < 20_000
    assert 0 == main(["info", str(out)])
    hops = len(card.self_test.scores)
    assert f"self-test        {hops} hops, which `kws serve` repeats" in capsys.readouterr().out


def test_a_test_can_be_put_into_a_file_that_is_there(tmp_path):
    model, path = load(), tmp_path / "tested.onnx"
    write(onnx.load(model.path), replaced(model.card, self_test=selftest.made(model)), path)

    assert selftest.deviation(load(path)) < selftest.TOLERANCE
    assert path.stat().st_size - model.path.stat().st_size < 20_000


def test_a_file_that_differs_from_its_source_is_not_written(checkpoint, tmp_path, monkeypatch):
    """ParityError and no file; --force writes it, and its card and `kws info` say so."""
    out = tmp_path / "model.onnx"
    whole = xvector.read

    def wrong(checkpoint, asked):
        original = whole(checkpoint, asked)
        return replace(original, reference=lambda audio: np.roll(original.reference(audio), 1))

    monkeypatch.setattr(xvector, "read", wrong)
    with pytest.raises(ParityError, match="differs from its source"):
        exporter.export(str(checkpoint), out, Options(), SAY)
    assert not list(tmp_path.iterdir())
    card = exporter.export(str(checkpoint), out, Options(force=True), SAY)

    assert card.parity.forced
    assert load(out).card.parity.forced


def test_int8_that_names_other_labels_is_not_written(checkpoint, tmp_path, monkeypatch):
    """Under 98 % agreement nothing is written; float32 alone is fine."""
    out = tmp_path / "model.onnx"
    monkeypatch.setattr(verify, "AGREEMENT", 1.01)

    with pytest.raises(ParityError, match="names the label of float32 on"):
        exporter.export(str(checkpoint), out, Options(), SAY)
    assert not list(tmp_path.iterdir())


def test_a_parity_of_nan_is_none():
    """What can't be compared is not equal."""
    parity = verify.Parity(1, float("nan"), 1.0)

    with pytest.raises(ParityError):
        verify.judge(parity, "model.onnx")
    assert verify.judge(parity, "model.onnx", force=True).forced


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (["--quantize", "int4"], "there are int8 and none"),
        (["--via", "tensorflow"], "there are optimum and torch"),
        (["--via", "optimum"], "optimum can't export"),
        (["--wake", "computer"], "no label computer; there are yes, no, up"),
        (["--window-s", "1"], "leave --window-s out"),
        (["--kind", "window", "--window-s", "9"], "at most"),
        (["--gate", "door"], "there are webrtc and none"),
        (["--calibration", "nowhere"], "is no folder of recordings"),
    ],
)
def test_a_wrong_option_is_one_line(options, wanted, checkpoint, tmp_path, capsys):
    """Exit code 2, a line that says what there is, and no file."""
    assert 2 == main(["export", str(checkpoint), "-o", str(tmp_path / "m.onnx"), *options])
    told = capsys.readouterr().err

    assert wanted in told
    assert "Traceback" not in told
    assert not list(tmp_path.iterdir())


def test_an_existing_file_is_kept(checkpoint, tmp_path, capsys):
    """Without --overwrite nothing is even begun."""
    out = tmp_path / "model.onnx"
    out.write_bytes(b"precious")

    assert 2 == main(["export", str(checkpoint), "-o", str(out)])
    assert "--overwrite" in capsys.readouterr().err
    assert b"precious" == out.read_bytes()


def test_a_folder_that_does_not_exist_is_told_first(checkpoint, tmp_path, capsys):
    """Before minutes of work, not after."""
    assert 2 == main(["export", str(checkpoint), "-o", str(tmp_path / "no" / "m.onnx")])
    assert "existing folder" in capsys.readouterr().err


def test_a_killed_export_leaves_nothing(checkpoint, tmp_path):
    """Killed while it compares: no file at the target, whole or half."""
    out = tmp_path / "out" / "model.onnx"
    out.parent.mkdir()
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    process = subprocess.Popen(
        [sys.executable, "-m", "export", str(checkpoint), "-o", str(out)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env=environment,
    )
    for line in process.stderr:
        if "comparing" in line:
            break
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=30)
    process.stderr.close()

    assert not list(out.parent.iterdir())


def test_a_full_disk_is_one_line(checkpoint, tmp_path, monkeypatch):
    """What lies about meanwhile needs space too."""

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(onnx, "save", full)
    with pytest.raises(ExportError, match="No space left"):
        exporter.export(str(checkpoint), tmp_path / "model.onnx", Options(), SAY)


def test_json_is_one_object(checkpoint, tmp_path, capsys):
    """For programs."""
    out = tmp_path / "model.onnx"
    main(["export", str(checkpoint), "-o", str(out), "--json", "--quantize", "none"])
    told = json.loads(capsys.readouterr().out)

    assert str(out) == told["file"]
    assert 1.0 == told["parity"]["top1_agreement"]
    assert ["source", "float32"] == [each["name"] for each in told["parity"]["variants"]]


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04 broken"])
def test_a_file_that_is_no_checkpoint_is_one_line(content, tmp_path, capsys):
    """Whatever lies in it."""
    path = tmp_path / "wrong.pt"
    path.write_bytes(content)

    assert 2 == main(["export", str(path), "-o", str(tmp_path / "m.onnx")])
    told = capsys.readouterr().err
    assert "is no checkpoint of export.training" in told
    assert 1 == len(told.splitlines())


def test_a_malicious_pickle_runs_nothing(tmp_path, capsys):
    """Weights are read as weights."""
    marker = tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {marker}",)

    path = tmp_path / "evil.pt"
    torch.save({"config": Evil()}, path)

    assert 2 == main(["export", str(path), "-o", str(tmp_path / "m.onnx")])
    assert not marker.exists()
    assert 1 == len(capsys.readouterr().err.splitlines())


def test_without_torch_the_user_learns_what_to_install(checkpoint, tmp_path, monkeypatch, capsys):
    """One line, before anything is imported."""
    from kws.commands import export as command

    monkeypatch.setattr(command, "NEEDED", ("torch", "no_such_package"))

    assert 2 == main(["export", str(checkpoint), "-o", str(tmp_path / "m.onnx")])
    assert "no_such_package is missing; run: " in (told := capsys.readouterr().err)
    assert "[export]" in told
