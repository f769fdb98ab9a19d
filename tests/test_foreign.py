"""Foreign files: `kws spot` and `kws export` say what a file is, and which command takes it."""

import numpy as np
import onnx
import pytest
import wake_heads
from onnx import helper, numpy_helper

import kws
from kws.cli import main

TAKES = "`kws import openwakeword HEAD.onnx -o mine.onnx`"
GRAPHS = {
    "head": ({"x": [1, 16, 96]}, {"y": [1, 1]}, "kws import openwakeword FILE -o mine.onnx"),
    "stateful": (
        {"x": [1, 1, 96], "hidden_in": [1, 1, 8], "cell_in": [1, 1, 8]},
        {"y": [1, 1]},
        "a nanowakeword head with a state of its own, which kws can't import",
    ),
    "embedding": ({"x": ["n", 76, 32, 1]}, {"y": ["n", 1, 1, 96]}, TAKES),
    "mel": ({"x": ["n", "m"]}, {"y": ["t", 1, "d", 32]}, TAKES),
    "silero": (
        {"input": ["n", "m"], "state": [2, "n", 128], "sr": [1]},
        {"output": ["n", 1]},
        "Silero's voice activity detector",
    ),
    "whisper": ({"input_features": ["n", 80, 3000]}, {"y": ["n", 2]}, "kws export FOLDER"),
    "sherpa": ({"x": [1, 45, 80], "x_lens": [1]}, {"y": [1, 8, 320]}, "a speech recogniser"),
    "unknown": (
        {"a": ["n", 40]},
        {"b": [1, 3]},
        "it hears a [?, 40] and gives b [1, 3], which kws does not know",
    ),
}


def write(path, inputs, outputs, metadata=None):
    """Write a graph with these tensors, whose outputs are constants."""
    made = [
        helper.make_node(
            "Constant",
            [],
            [name],
            value=numpy_helper.from_array(
                np.zeros([axis if isinstance(axis, int) else 1 for axis in shape], np.float32)
            ),
        )
        for name, shape in outputs.items()
    ]
    wake_heads.save(path, made, inputs, outputs, {})
    if metadata:
        model = onnx.load(path)
        helper.set_model_props(model, metadata)
        onnx.save(model, path)
    return path


def refusals(path, capsys):
    """Return what `kws spot --model` and `kws export` say of a file."""
    told = []
    for command in (
        ["spot", "any.wav", "--model", str(path)],
        ["export", str(path), "-o", str(path.with_name("out.onnx"))],
    ):
        assert 2 == main(command)
        told.append(capsys.readouterr().err)
    return told


@pytest.mark.parametrize("kind", GRAPHS)
def test_a_graph_without_a_card_is_named(kind, tmp_path, capsys):
    """Both commands say the same: what it is, and what takes it; neither sends to the other."""
    inputs, outputs, wanted = GRAPHS[kind]
    path = write(tmp_path / f"{kind}.onnx", inputs, outputs)

    for told in refusals(path, capsys):
        assert f"kws: {path}: " in told
        assert wanted.replace("FILE", str(path)) in told
        assert 1 == len(told.splitlines())


def test_a_graph_says_its_kind_in_its_metadata(tmp_path, capsys):
    """An end-to-end nanowakeword model looks like others, but for its metadata."""
    path = write(tmp_path / "e2e.onnx", {"input": [1, 32_000]}, {"output": [1, 1]}, {"mode": "e2e"})

    assert all("an end-to-end nanowakeword model" in told for told in refusals(path, capsys))


@pytest.mark.parametrize(
    ("name", "content", "wanted"),
    [
        ("alexa.tflite", b"\x1c\0\0\0TFL3" + bytes(80), "import openwakeword alexa.onnx"),
        ("git.onnx", b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        ("page.onnx", b"\n<!DOCTYPE html><html>", "is a web page"),
        ("noise.onnx", b"\x07\x01\x02", "is not a readable ONNX model"),
    ],
    ids=["tflite", "git", "page", "noise"],
)
def test_what_is_no_onnx_is_named(name, content, wanted, tmp_path, capsys):
    """By its first bytes."""
    path = tmp_path / name
    path.write_bytes(content)

    assert all(wanted in told for told in refusals(path, capsys))


def test_micro_wake_word_is_named(tmp_path, capsys):
    """Its JSON file lies beside it."""
    (tmp_path / "nabu.json").write_text('{"type": "micro"}')
    path = tmp_path / "nabu.tflite"
    path.write_bytes(b"\x1c\0\0\0TFL3" + bytes(80))

    assert all("microWakeWord's" in told for told in refusals(path, capsys))


def test_a_checkpoint_is_sent_to_export(tmp_path, capsys):
    """A checkpoint given as a model."""
    path = tmp_path / "weights.pt"
    path.write_bytes(b"PK\x03\x04" + bytes(80))

    assert 2 == main(["spot", "any.wav", "--model", str(path)])
    assert f"`kws export {path} -o mine.onnx`" in capsys.readouterr().err


def test_a_model_of_ours_is_not_exported_again(capsys, tmp_path):
    """It is one already."""
    assert 2 == main(["export", str(kws.load().path), "-o", str(tmp_path / "out.onnx")])
    assert "is a kws model already" in capsys.readouterr().err


def test_every_format_is_offered(capsys):
    """`kws import --help` is there, under that name."""
    assert 0 == main(["import", "--help"])
    assert "openwakeword" in capsys.readouterr().out
