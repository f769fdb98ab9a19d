"""Models that only give embeddings: exported, asked, and refused where words are wanted."""

import json

import numpy as np
import pytest
import soundfile
import test_export_transformers_xvector as xvectors

from kws import load
from kws.cli import main
from kws.errors import ModelError


@pytest.fixture(scope="module")
def speaker(tmp_path_factory):
    """A speaker's x-vector, exported; the checkpoint beside it."""
    folder = tmp_path_factory.mktemp("speaker")
    (folder / "checkpoint").mkdir()
    xvectors.saved(folder / "checkpoint")
    out = folder / "speaker.onnx"
    assert 0 == main(["export", str(folder / "checkpoint"), "-o", str(out)])
    return out


@pytest.fixture
def said(tmp_path):
    """A recording, 8 kHz, two channels."""
    path = tmp_path / "said.wav"
    noise = np.random.default_rng(3).standard_normal((12_000, 2)).cumsum(0)
    noise[:, 1] = noise[:, 0] + noise[:, 1] / 10  # as two microphones hear one voice
    soundfile.write(path, 0.3 * noise / np.abs(noise).max(), 8_000)
    return path


def test_classify_gives_the_embedding(speaker, said, capsys):
    """As a JSON object, or a line of numbers; int8 close to the original."""
    assert 0 == main(["classify", "--model", str(speaker), "--embedding", "--json", str(said)])
    told = json.loads(capsys.readouterr().out)
    assert 0 == main(["classify", "--model", str(speaker), "--embedding", str(said)])
    line = capsys.readouterr().out

    numbers = [float(number) for number in line.partition(": ")[2].split()]
    assert str(said) == told["audio"]
    assert np.allclose(told["embedding"], numbers, rtol=1e-4)
    assert load(speaker).card.parity.top1_agreement >= 0.98


def test_a_long_recording_is_heard_in_pieces(speaker, tmp_path, capsys):
    """Longer than the network hears at once: the mean over the pieces."""
    model = load(speaker)
    most = model.card.max_samples
    audio = 0.1 * np.random.default_rng(1).standard_normal(2 * most)
    soundfile.write(tmp_path / "long.wav", audio, 16_000, subtype="FLOAT")
    main(["classify", "--model", str(speaker), "--embedding", "--json", str(tmp_path / "long.wav")])
    found = json.loads(capsys.readouterr().out)["embedding"]
    halves = np.split(audio.astype(np.float32), 2)
    wanted = np.mean([model.embedding(half) for half in halves], axis=0)

    assert np.allclose(found, wanted, atol=1e-4)


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["classify"], "names no labels, it gives embeddings only"),
        (["spot"], "names no keyword to spot"),
    ],
)
def test_words_are_refused_in_one_line(command, told, speaker, said, capsys):
    """Exit code 2, and what to do."""
    assert 2 == main([*command, "--model", str(speaker), str(said)])
    line = capsys.readouterr().err

    assert told in line
    assert "--embedding" in line
    assert 1 == len(line.splitlines())


def test_listen_refuses_it_in_one_line(speaker, capsys):
    """Before a microphone is opened."""
    assert 2 == main(["listen", "--model", str(speaker)])
    assert "names no keyword to spot" in capsys.readouterr().err


def test_info_says_so(speaker, capsys):
    """No keywords, no thresholds; embeddings."""
    main(["info", str(speaker)])

    assert "embeddings only" in capsys.readouterr().out


def test_a_model_without_embedding_says_so(said, capsys):
    """The bundled model gives scores."""
    with pytest.raises(ModelError, match="gives no embedding"):
        load().embedding(np.zeros(16_000, np.float32))
    assert 2 == main(["classify", "--embedding", str(said)])
    assert "gives no embedding, only scores" in capsys.readouterr().err
