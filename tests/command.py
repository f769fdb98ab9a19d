"""Running the command line in a test, without another process."""

import json
from types import SimpleNamespace

import models
import numpy as np
import pytest
from audio_files import written

from kws.cli import main


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model whose words are tones."""
    return str(models.write(tmp_path_factory.mktemp("models") / "tones.onnx"))


@pytest.fixture
def kws(capsys):
    """Run a command line; return its exit code, stdout and stderr."""

    def run(*args):
        code = main([str(arg) for arg in args])
        said = capsys.readouterr()
        return SimpleNamespace(code=code, out=said.out, err=said.err)

    return run


@pytest.fixture
def words(tmp_path):
    """A recording of yes, no, yes; two seconds each."""
    parts = []
    for keyword in ["yes", "no", "yes"]:
        parts += [models.noise(0.7), models.tone(keyword, 0.3), models.noise(1.0)]
    return written(tmp_path, "words.wav", np.concatenate(parts), models.RATE)


def keywords(result):
    """Return the detections among the JSON lines on stdout."""
    lines = [json.loads(line) for line in result.out.splitlines()]
    return [line["keyword"] for line in lines if line["type"] == "detection"]
