"""Export of Whisper classifiers: the graph hears what transformers' own pipeline hears."""

import json
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import onnxruntime
import parity
import pytest
import torch

from export import families
from export.assemble import assemble, way
from export.checkpoint import Checkpoint
from export.checkpoints import whisper
from export.families import Asked
from kws.errors import ExportError

transformers = pytest.importorskip("transformers")

LANGUAGES = ["Afrikaans", "Ganda", "Maori", "Xhosa", "Zulu"]


def saved(folder, labels=LANGUAGES, mels=80, seconds=2, **options):
    """A small network of random weights that hears 2 s, and its feature extractor."""
    torch.manual_seed(1)
    model = transformers.WhisperForAudioClassification(
        transformers.WhisperConfig(
            d_model=32,
            encoder_layers=2,
            encoder_attention_heads=2,
            encoder_ffn_dim=64,
            decoder_layers=1,
            decoder_attention_heads=2,
            max_source_positions=50 * seconds,
            num_mel_bins=mels,
            classifier_proj_size=16,
            id2label=dict(enumerate(labels)),
            label2id={label: number for number, label in enumerate(labels)},
            **options,
        )
    )
    extractor = transformers.WhisperFeatureExtractor(feature_size=mels, chunk_length=seconds)
    spread(model.eval(), extractor)
    model.save_pretrained(folder)
    extractor.save_pretrained(folder)
    return folder


@torch.no_grad()
def spread(model, extractor):
    """Make random weights tell labels and clips apart, as trained ones do, whatever they are."""
    for layer in (model.encoder.conv1, model.encoder.conv2):
        layer.weight.mul_(10)
    clips = parity.clips(SimpleNamespace(rate=16_000, window=16_000, min_samples=1600), 0.7, 1.5)
    heard = extractor(clips, sampling_rate=16_000, return_tensors="pt")["input_features"]
    logits = model(heard).logits
    scale = 2 / logits.std(0).mean()
    model.classifier.weight.mul_(scale)
    model.classifier.bias.mul_(scale).sub_(logits.mean(0) * scale)


def read(folder):
    return whisper.read(Checkpoint(folder, "someone/whisper"), Asked())


def changed(folder, name, **fields):
    """Rewrite fields of a JSON file."""
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    return folder


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return read(saved(tmp_path_factory.mktemp("whisper")))


@pytest.fixture(scope="module")
def clips(original):
    """Lengths up to and past what it hears, odd ones too, and a clip 80 dB under full scale."""
    made = parity.clips(original, 0.31237, 1, 1.99993, 2, 3.1)
    return [*made, made[3] * np.float32(1e-3)]


def test_scores_are_the_pipelines(original, clips):
    """Within 1e-4 at every length and level, and the clips are told apart."""
    wanted = np.stack([original.reference(clip) for clip in clips])

    assert np.ptp(wanted, axis=0).max() > 0.1
    assert np.ptp(wanted, axis=1).max() > 0.3
    found = parity.outputs(original, clips, "torch")
    assert np.abs(wanted - [each["scores"] for each in found]).max() <= 1e-4


@pytest.mark.parametrize(
    "options", [{"mels": 128}, {"use_weighted_layer_sum": True}], ids=["128 mels", "layer sum"]
)
def test_other_networks_of_the_family_match_too(tmp_path, clips, options):
    """128 mels as in whisper-large-v3, and a weighted sum of the layers."""
    assert parity.drift(read(saved(tmp_path, **options)), clips[2:5], "torch") <= 1e-4


@pytest.mark.skipif(not find_spec("optimum"), reason="transformers 5 has no optimum")
def test_optimum_gives_the_same_of_the_published_length(tmp_path, original, clips):
    """30 s, for which alone optimum has an example; shorter networks are left to torch."""
    long = read(saved(tmp_path, seconds=30))

    assert ("optimum", "torch") == (way(long), way(original))
    assert parity.drift(long, clips[3:6], "optimum") <= 1e-4


def test_a_batch_gives_what_each_clip_gives_alone(original, clips, tmp_path):
    """A loud clip in a batch doesn't lift the floor of a quiet one."""
    session = onnxruntime.InferenceSession(
        assemble(original, "torch", tmp_path).SerializeToString()
    )
    pair = np.stack([clips[3], clips[-1]])
    (both,) = session.run(None, {"audio": pair})
    alone = [session.run(None, {"audio": clip[None]})[0][0] for clip in pair]

    assert np.abs(both[0] - both[1]).max() > 1e-3
    assert np.abs(both - alone).max() <= 1e-6


def test_what_it_costs_is_said(original):
    """Every call is a call of the full length, and the window is all of it."""
    assert ("whisper", LANGUAGES, 16_000) == (original.family, original.labels, original.rate)
    assert 32_000 == original.padded == original.max_samples == original.window
    assert any("padded to 2 s" in note for note in original.notes)
    assert any("--window-s" in note for note in original.notes)


def test_words_of_speech_commands_get_a_window_of_a_second(tmp_path):
    """The labels tell how long the training clips were."""
    original = read(saved(tmp_path, labels=["yes", "no", "stop", "_silence_", "go"]))

    assert (16_000, 32_000) == (original.window, original.padded)
    assert not any("--window-s" in note for note in original.notes)


def test_it_is_found_by_its_class(tmp_path):
    """Among all families, and not where the head is another."""
    (tmp_path / "config.json").write_text('{"architectures": ["WhisperForAudioClassification"]}')
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text('{"architectures": ["WhisperForConditionalGeneration"]}')

    assert whisper is families.find(Checkpoint(tmp_path, "x"))
    assert not whisper.matches(Checkpoint(other, "x"))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"chunk_length": 30}, "3000 frames.*wants 200"),
        ({"feature_size": 128}, "128 mels.*wants 80"),
        ({"dither": 0.01}, "dither"),
        ({"padding_side": "left"}, "padding_side"),
        ({"feature_extractor_type": "ASTFeatureExtractor"}, "ASTFeatureExtractor"),
    ],
    ids=["length", "mels", "dither", "side", "type"],
)
def test_files_that_contradict_each_other_are_refused(tmp_path, fields, said):
    """In one line that says what is wrong where."""
    folder = changed(saved(tmp_path), "preprocessor_config.json", **fields)

    with pytest.raises(ExportError, match=said) as error:
        read(folder)
    assert "\n" not in str(error.value)


def test_a_checkpoint_without_preprocessing_is_refused(tmp_path):
    """How the audio is prepared can't be guessed."""
    (saved(tmp_path) / "preprocessor_config.json").unlink()

    with pytest.raises(ExportError, match=r"no preprocessor_config\.json"):
        read(tmp_path)
