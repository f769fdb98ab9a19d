"""Export without optimum, by the newest transformers: an environment of its own, one process each.

Checkpoints and references are made here, by the transformers that `make test` has, and read
there: parity is held against saved numbers, never against a seed.
"""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
import test_export_ast
import test_export_wav2vec2_bert
import test_export_waveform

from export.checkpoint import Checkpoint
from export.families import Asked, find
from kws import load

ROOT = Path(__file__).parent.parent
PYTHON = ROOT / ".venv-torch" / "bin" / "python"

MAKERS = {
    "ast": test_export_ast.save,
    "wav2vec2": test_export_waveform.saved,
    "wav2vec2_bert": test_export_wav2vec2_bert.save,
}


@pytest.mark.parametrize("name", MAKERS)
def test_another_transformers_exports_the_same(name, tmp_path):
    """The file says that torch alone made it, and gives the scores that were saved."""
    folder, out = tmp_path / "checkpoint", tmp_path / "model.onnx"
    MAKERS[name](folder)
    original = find(Checkpoint(folder, name)).read(Checkpoint(folder, name), Asked())
    audio = (0.1 * np.random.default_rng(1).standard_normal((3, 16_000))).astype(np.float32)
    np.save(tmp_path / "wanted.npy", [original.reference(clip) for clip in audio])
    (tmp_path / "noise").mkdir()
    for number, clip in enumerate(audio):
        soundfile.write(tmp_path / "noise" / f"{number}.wav", clip, 16_000)

    arguments = ["-m", "export", folder, "-o", out, "--quantize", "none"]
    arguments += ["--calibration", tmp_path / "noise"]
    if not PYTHON.exists():
        pytest.fail(f"{PYTHON.parent.parent.name} is missing: run .ci/setup test")
    done = subprocess.run(
        [PYTHON, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert 0 == done.returncode, done.stderr
    model = load(out)
    found = np.stack([model.scores(clip) for clip in audio])

    assert model.card.source.way.startswith("torch ")
    assert np.abs(found - np.load(tmp_path / "wanted.npy")).max() <= 1e-4
