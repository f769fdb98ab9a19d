"""Every family's exported file spots: what the live chain scores is what the original says."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import test_export_ast
import test_export_clap
import test_export_wav2vec2_bert
import test_export_waveform
import test_export_whisper

import kws
from export import exporter
from export.checkpoint import Checkpoint
from export.families import Asked, find
from kws.classifiers import classifier
from kws.flow import Block

SPEECHBRAIN = Path(__file__).parent / "speechbrain"
SOUNDS = ("dog", "vacuum cleaner", "rain")

MAKERS = {
    "AST": test_export_ast.save,
    "wav2vec2": test_export_waveform.saved,
    "wav2vec2-bert": test_export_wav2vec2_bert.save,
    "Whisper": test_export_whisper.saved,
    "CLAP": test_export_clap.saved,
    "x-vector": None,
    "ecapa": None,
    "cosines": None,
}


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    """Recordings to calibrate and compare with."""
    folder = tmp_path_factory.mktemp("noise")
    random = np.random.default_rng(7)
    for number in range(6):
        clip = random.standard_normal(16_000).cumsum()
        soundfile.write(folder / f"{number}.wav", 0.3 * clip / np.abs(clip).max(), 16_000)
    return folder


@pytest.mark.parametrize("name", MAKERS)
def test_a_file_spots_what_its_original_hears(name, noise, tmp_path):
    """Each hop's scores are the original's of that window; a score over a threshold is an event."""
    source = SPEECHBRAIN / name.replace("x-vector", "xvector")
    if (make := MAKERS[name]) is not None:
        source = tmp_path / "checkpoint"
        source.mkdir()
        make(source)
    asked = Asked(SOUNDS if name == "CLAP" else None)
    for quantize in ("none", "int8"):
        options = exporter.Options(quantize, asked=asked, calibration=noise, force=True)
        exporter.export(str(source), tmp_path / f"{quantize}.onnx", options, [].append)
    checkpoint = Checkpoint(source, name)
    original = find(checkpoint).read(checkpoint, asked)
    model = kws.load(tmp_path / "none.onnx")
    audio = heard(model.card.window + 3 * model.card.hop)

    hops = classifier(model).process(Block(audio, 0, model.card.sample_rate))
    last = audio[hops[-1].end - model.card.window : hops[-1].end]
    assert np.abs(hops[-1].values - original.reference(last)).max() <= 1e-4

    spotter = kws.Spotter(kws.load(tmp_path / "int8.onnx"), threshold=0.001, gate="none")
    detections = spotter.push(audio, sample_rate=model.card.sample_rate)
    assert detections
    assert {detection.keyword for detection in detections} <= {*original.labels}


def heard(samples):
    """Noise that swells: float32 [samples]."""
    noise = np.random.default_rng(5).standard_normal(samples) * np.linspace(0.05, 0.5, samples)
    return noise.clip(-1, 1).astype(np.float32)
