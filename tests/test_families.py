"""Families: a file in export/checkpoints is all that a family needs."""

import importlib
import json
import sys

import numpy as np
import parity
import pytest

from export import checkpoints, families
from export.checkpoint import Checkpoint
from export.families import Asked
from kws.errors import ExportError

TOY = '''
"""Family: a toy, which tells loud from quiet."""

import numpy as np
import torch
from torch import nn

from export.families import Original

SOURCES = "toys"


class Front(nn.Module):
    def forward(self, audio):
        return audio.square().mean(1, keepdim=True)


class Network(nn.Module):
    def __init__(self, weights):
        super().__init__()
        self.weights = nn.Parameter(torch.tensor(weights))

    def forward(self, energy):
        return (energy * self.weights,)


def matches(checkpoint):
    return checkpoint.has("toy.json")


def read(checkpoint, asked):
    toy = checkpoint.json("toy.json")
    weights = np.array(toy["weights"], np.float32)

    def reference(audio):
        grown = np.exp(np.square(audio).mean() * weights)
        return grown / grown.sum()

    return Original(
        "toy", toy["labels"], 8000, 800, reference, Front(), Network(toy["weights"]), min_samples=1
    )
'''

CLASSES = {
    "ASTForAudioClassification": "ast",
    "HubertForSequenceClassification": "waveform",
    "SEWDForSequenceClassification": "waveform",
    "Wav2Vec2ForSequenceClassification": "waveform",
    "Wav2Vec2ForXVector": "transformers_xvector",
    "Wav2Vec2BertForSequenceClassification": "wav2vec2_bert",
    "WhisperForAudioClassification": "whisper",
    "ClapModel": "clap",
}


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A folder of checkpoints with one file more, and a checkpoint that only it reads."""
    added = tmp_path / "added"
    added.mkdir()
    (added / "toy.py").write_text(TOY)
    monkeypatch.setattr(checkpoints, "__path__", [*checkpoints.__path__, str(added)])
    importlib.invalidate_caches()
    (tmp_path / "toy.json").write_text(
        json.dumps({"labels": ["quiet", "loud"], "weights": [0.0, 9.0]})
    )
    yield Checkpoint(tmp_path, "someone/toy")
    sys.modules.pop("export.checkpoints.toy", None)
    vars(checkpoints).pop("toy", None)


def test_a_family_is_one_file(toy):
    """It is found by its name, and its graph gives its probabilities; nothing else knows it."""
    family = families.find(toy)
    original = family.read(toy, Asked())
    clips = parity.clips(original, 0.05, 0.3)

    assert "export.checkpoints.toy" == family.__name__
    assert np.ptp([original.reference(clip)[1] for clip in clips]) > 0.3
    assert parity.drift(original, clips, "torch") < 1e-6


def test_the_toy_is_no_part_of_the_package(tmp_path):
    """Nor of the list that a user sees."""
    with pytest.raises(ExportError) as refusal:
        families.find(Checkpoint(tmp_path, "nothing"))

    assert "toys" not in str(refusal.value)


@pytest.mark.parametrize("name", sorted(families.families()))
def test_each_file_offers_what_a_family_must(name, tmp_path):
    """SOURCES in a line, matches and read; an empty folder is nobody's."""
    family = families.families()[name]

    assert family.SOURCES.strip()
    assert 1 == len(family.SOURCES.splitlines())
    assert callable(family.read)
    assert family.matches(Checkpoint(tmp_path, "nothing")) is False


@pytest.mark.parametrize(("architecture", "name"), CLASSES.items())
def test_a_checkpoint_has_one_family(tmp_path, architecture, name):
    """So that the order in which files are asked means nothing."""
    (tmp_path / "config.json").write_text(json.dumps({"architectures": [architecture]}))
    checkpoint = Checkpoint(tmp_path, "x")
    matching = [each for each, family in families.families().items() if family.matches(checkpoint)]

    assert [name] == matching
