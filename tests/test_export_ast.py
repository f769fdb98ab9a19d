"""Export of AST: the graph hears, pads, cuts and scores as transformers' pipeline does."""

import json
import shutil
from importlib.util import find_spec

import numpy as np
import onnxruntime
import parity
import pytest
import torch

from export import pretrained
from export.assemble import assemble
from export.checkpoint import Checkpoint
from export.families import Asked, find
from kws.errors import ExportError

transformers = pytest.importorskip("transformers")

WAYS = ["torch", *(["optimum"] if find_spec("optimum") else [])]
WORDS = ["yes", "no", "up", "down", "_silence_"]
SPEECH_COMMANDS = {"max_length": 128, "mean": -6.845978, "std": 5.5654526}
PREPROCESSOR, CONFIG = "preprocessor_config.json", "config.json"


def save(folder, labels=WORDS, strides=10, preprocessor=SPEECH_COMMANDS):
    """A small AST with spread scores, and the extractor that it was made for."""
    config = transformers.ASTConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        frequency_stride=strides,
        time_stride=strides,
        max_length=preprocessor.get("max_length", 1024),
        num_mel_bins=preprocessor.get("num_mel_bins", 128),
        id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)},
    )
    torch.manual_seed(2)
    model = transformers.ASTForAudioClassification(config)
    for weight in model.audio_spectrogram_transformer.parameters():
        weight.data.add_(torch.randn_like(weight) * 0.1)
    with pretrained.quiet():
        extractor = transformers.ASTFeatureExtractor(**preprocessor)
        differ(model.eval(), model.classifier.dense, extractor)
        model.save_pretrained(folder)
        extractor.save_pretrained(folder)
    return folder


@torch.no_grad()
def differ(model, head, extractor):
    """Scale the head so that other clips get other scores, and few are sure."""
    noise = np.random.default_rng(5).standard_normal(20_000).cumsum()
    fall = (0.1 * noise / np.abs(noise).max()).astype(np.float32)
    clips = [fall[:800], fall[:8_000], fall[:16_000], fall, 0 * fall[:16_000]]
    clips.append(np.random.default_rng(6).uniform(-1, 1, 16_000).astype(np.float32))
    heard = [extractor(clip, sampling_rate=16_000, return_tensors="pt") for clip in clips]
    logits = torch.cat([model(**features).logits for features in heard])
    head.bias.sub_(logits.mean(0)).div_(logits.std(0))
    head.weight.div_(logits.std(0)[:, None])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save(tmp_path_factory.mktemp("ast"))


@pytest.fixture(scope="module")
def original(folder):
    return read(folder)


def read(folder):
    checkpoint = Checkpoint(folder, "ast")
    return find(checkpoint).read(checkpoint, Asked())


def edited(folder, target, file, **changes):
    """A copy of a checkpoint with other values in one of its JSON files; None removes a key."""
    shutil.copytree(folder, target)
    found = json.loads((target / file).read_text()) | changes
    kept = {key: value for key, value in found.items() if value is not None}
    (target / file).write_text(json.dumps(kept))
    return target


@pytest.mark.parametrize("way", WAYS)
def test_scores_are_those_of_the_pipeline(original, way):
    """Any length from 400 samples, odd ones, what is cut, silence, full scale: |d| <= 1e-4."""
    clips = parity.clips(original, 0.5, 1.0, 14_321 / 16_000, 20_719 / 16_000, 20_721 / 16_000, 2.5)
    scores = np.array([original.reference(clip) for clip in clips])

    assert np.ptp(scores, axis=0).max() > 0.3
    assert parity.drift(original, clips, way) <= 1e-4


def test_what_is_known_of_it(original):
    """Speech Commands are heard a second at a time; 128 frames hold 20,720 samples."""
    known = (original.window, original.min_samples, original.max_samples, original.rate)

    assert (16_000, 400, 20_720, 16_000) == known
    assert original.labels == WORDS
    assert original.optimum is not None


@pytest.mark.parametrize("way", WAYS)
def test_rows_of_a_batch_do_not_mix(original, tmp_path, way):
    """Two clips at once score as one by one."""
    model = assemble(original, way, tmp_path)
    model.ir_version = 8
    session = onnxruntime.InferenceSession(model.SerializeToString())
    clips = np.stack(parity.clips(original, 1.0)[-3:])
    (together,) = session.run(None, {"audio": clips})
    alone = [session.run(None, {"audio": clip[None]})[0][0] for clip in clips]

    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_features_are_those_of_the_extractor(original, folder):
    """Padding in log-mel space, then normalisation: the same to 1e-4, quiet and offset audio too.

    Padding is louder than silence: +0.615 against -0.817 with the values of Speech Commands.
    """
    with pretrained.quiet():
        extractor = transformers.ASTFeatureExtractor.from_pretrained(folder)
    clips = parity.clips(original, 1.0)
    noise = np.random.default_rng(3).standard_normal(16_000)
    clips.append((0.3 + np.round(noise) / 2**15).astype(np.float32))
    for clip in clips:
        wanted = extractor(clip, sampling_rate=16_000, return_tensors="pt")["input_values"]
        heard = original.front(torch.from_numpy(clip[None]))

        assert (heard - wanted).abs().max() <= 1e-4
    silence = original.front(torch.zeros(1, 16_000))
    assert silence[0, 97, 0].item() == pytest.approx(-0.817221, abs=1e-5)
    assert silence[0, 98, 0].item() == pytest.approx(0.615042, abs=1e-5)


def test_missing_keys_have_their_defaults(tmp_path):
    """An AudioSet checkpoint that leaves mean, std, length and mels out: 1024 frames, its own."""
    save(tmp_path / "full", ["Speech", "Dog", "Music"], strides=16, preprocessor={})
    absent = dict.fromkeys(["mean", "std", "max_length", "num_mel_bins", "do_normalize"])
    original = read(edited(tmp_path / "full", tmp_path / "bare", PREPROCESSOR, **absent))

    assert original.window == original.max_samples == 164_080
    assert parity.drift(original, parity.clips(original, 1.0)[1:2], "torch") <= 1e-4


def test_features_stay_as_they_are_where_the_extractor_says_so(folder, original, tmp_path):
    """do_normalize false is honoured."""
    plain = read(edited(folder, tmp_path / "edited", PREPROCESSOR, do_normalize=False))
    clips = parity.clips(plain, 1.0)
    difference = [plain.reference(clip) - original.reference(clip) for clip in clips]

    assert np.abs(difference).max() > 0.01
    assert parity.drift(plain, clips, "torch") <= 1e-4


def test_a_multi_label_checkpoint_gives_each_label_a_chance_of_its_own(folder, tmp_path):
    """Sigmoid, in the graph and in the pipeline, whatever this transformers would do by itself."""
    original = read(
        edited(folder, tmp_path / "edited", CONFIG, problem_type="multi_label_classification")
    )

    assert "sigmoid" == original.activation
    assert parity.drift(original, parity.clips(original, 1.0), "torch") <= 1e-4


def test_audioset_is_softmax(original):
    """Without a problem_type, as published, its scores compete."""
    assert "softmax" == original.activation


@pytest.mark.parametrize(
    ("file", "changes", "told"),
    [
        (PREPROCESSOR, {"max_length": 1024}, "max_length 1024, config.json 128"),
        (PREPROCESSOR, {"max_length": None}, "max_length 1024, config.json 128"),
        (PREPROCESSOR, {"num_mel_bins": 64}, "num_mel_bins 64, config.json 128"),
        (PREPROCESSOR, {"sampling_rate": 8000}, "sampling_rate 8000"),
        (PREPROCESSOR, {"std": 0}, "std 0"),
        (PREPROCESSOR, {"mean": "low"}, "mean low"),
        (PREPROCESSOR, {"feature_extractor_type": "WhisperFeatureExtractor"}, "Whisper"),
        (CONFIG, {"max_length": 1024}, "max_length 128, config.json 1024"),
        (CONFIG, {"num_mel_bins": 64}, "num_mel_bins 128, config.json 64"),
        (
            CONFIG,
            {"time_stride": 16},
            "time_stride 16: 96 patches, but the weights have places for 144",
        ),
        (CONFIG, {"frequency_stride": 16}, "frequency_stride 16, time_stride 10: 96 patches"),
        (CONFIG, {"problem_type": "regression"}, "regression"),
    ],
)
def test_contradictions_are_refused_in_one_line(folder, tmp_path, file, changes, told):
    """What was not trained together is not exported; the line says which value it is."""
    checkpoint = edited(folder, tmp_path / "edited", file, **changes)
    with pytest.raises(ExportError) as refusal:
        read(checkpoint)

    assert told in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1
