"""Outside: an exported file needs no code of ours, in Python or elsewhere."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile
from quantizing import LABELS, RATE, WINDOW, Tdnn, Transformer, clips, saved

from export.int8 import quantize
from export.write import write
from kws import card as cards
from kws import load

NODE = Path(__file__).parent / "node"
KINDS = {"dynamic": Transformer, "static": Tdnn}

PLAIN = """
import json, sys
import numpy, onnxruntime, soundfile

audio, rate = soundfile.read(sys.argv[2], dtype="float32")
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
(card,) = session.get_modelmeta().custom_metadata_map.values()
(scores,) = session.run(["scores"], {"audio": audio[numpy.newaxis]})
assert rate == json.loads(card)["sample_rate"]
assert not {"kws", "export"} & set(sys.modules)
print(json.dumps(scores[0].tolist()))
"""
"""All that a program needs."""


@pytest.fixture(scope="module", params=KINDS)
def exported(request, tmp_path_factory):
    """An int8 model file, a recording as WAV, and the scores that kws gives."""
    folder = tmp_path_factory.mktemp(request.param)
    source, target, path = (
        saved(KINDS[request.param], folder),
        folder / "int8.onnx",
        folder / "m.onnx",
    )
    quantization = quantize.quantize(source, target, request.param, clips())
    card = cards.Card(
        version=1, kind="window", family="test", sample_rate=RATE, window=WINDOW, hop=WINDOW // 2,
        labels=[cards.Label(name, "keyword") for name in LABELS], activation="softmax",
        min_samples=1_600, producer="test", date="2026-01-01", quantization=quantization,
    )  # fmt: skip
    write(onnx.load(target), card, path)
    wav = folder / "recording.wav"
    soundfile.write(wav, np.concatenate(clips(3)), RATE, "PCM_16")
    audio, _ = soundfile.read(wav, dtype="float32")
    return path, wav, load(path).scores(audio)


def printed(*command, **options):
    result = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60, **options
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_plain_onnxruntime_gives_the_same_scores(exported, tmp_path):
    """NumPy, onnxruntime and soundfile are enough; the card is among the metadata."""
    path, wav, wanted = exported
    program = tmp_path / "plain.py"
    program.write_text(PLAIN)
    # Far from this repository: nothing of it can be imported by accident.
    found = printed(
        sys.executable, "-P" if sys.version_info >= (3, 11) else "-I", program, path, wav
    )

    assert np.abs(wanted - found).max() <= 1e-6


def test_node_gives_the_same_scores(exported):
    """In JavaScript, with onnxruntime-node. Seen: equal to the bit; 1e-5 is what is promised."""
    if not shutil.which("node") or not (NODE / "node_modules").is_dir():
        reason = "onnxruntime-node is missing; `.ci/setup test` installs it"
        if os.environ.get("CI"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    path, wav, wanted = exported
    found = printed("node", NODE / "score.js", path, wav)

    assert np.abs(wanted - found).max() <= 1e-5
