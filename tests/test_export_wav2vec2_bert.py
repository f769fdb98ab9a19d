"""Export of wav2vec2-bert: the graph hears and scores as transformers' pipeline does."""

import json
import shutil

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

WORDS = ["yes", "no", "up", "down", "_silence_"]
MOODS = ["calm", "angry", "glad"]
PREPROCESSOR, CONFIG = "preprocessor_config.json", "config.json"


def save(folder, labels=WORDS, mels=80, **settings):
    """A small wav2vec2-bert with spread scores, and its extractor."""
    config = transformers.Wav2Vec2BertConfig(
        **{
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 64,
            "feature_projection_input_dim": 2 * mels,
            "classifier_proj_size": 16,
            "id2label": dict(enumerate(labels)),
            "label2id": {label: i for i, label in enumerate(labels)},
            **settings,
        }
    )
    torch.manual_seed(4)
    model = transformers.Wav2Vec2BertForSequenceClassification(config)
    for weight in model.wav2vec2_bert.parameters():
        weight.data.add_(torch.randn_like(weight) * 0.1)
    extractor = transformers.SeamlessM4TFeatureExtractor(
        num_mel_bins=mels, feature_size=mels, padding_value=1.0
    )
    with pretrained.quiet():
        differ(model.eval(), model.classifier, extractor)
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
    return save(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def original(folder):
    return read(folder)


def read(folder):
    checkpoint = Checkpoint(folder, "bert")
    return find(checkpoint).read(checkpoint, Asked())


def edited(folder, target, file, **changes):
    """A copy of a checkpoint with other values in one of its JSON files."""
    shutil.copytree(folder, target)
    found = json.loads((target / file).read_text()) | changes
    (target / file).write_text(json.dumps(found))
    return target


def lengths(original):
    """Clips of an odd and an even count of frames, the shortest among them, and an offset one."""
    clips = parity.clips(original, 879 / 16_000, 880 / 16_000, 0.5, 1.0, 16_160 / 16_000, 3.01)
    noise = np.random.default_rng(3).standard_normal(16_000)
    return [*clips, (0.3 + np.round(noise) / 2**15).astype(np.float32)]


@pytest.mark.parametrize(
    ("kind", "weighted"), [("relative_key", False), ("relative", True), ("rotary", False)]
)
def test_scores_are_those_of_the_pipeline(tmp_path, kind, weighted):
    """Any length from 560 samples, odd and even frames, silence, full scale: |d| <= 1e-4."""
    settings = {"position_embeddings_type": kind, "use_weighted_layer_sum": weighted}
    original = read(save(tmp_path, **settings))
    clips = lengths(original)
    scores = np.array([original.reference(clip) for clip in clips])

    assert np.ptp(scores, axis=0).max() > 0.3
    assert parity.drift(original, clips, "torch") <= 1e-4


def test_scores_are_those_of_the_pipeline_without_a_mask(folder, tmp_path):
    """An extractor that gives no mask lets a half-padded last pair count."""
    bare = edited(folder, tmp_path / "edited", PREPROCESSOR, return_attention_mask=False)
    original, masked = read(bare), read(folder)
    clips = lengths(original)
    changed = [np.abs(original.reference(clip) - masked.reference(clip)).max() for clip in clips]

    assert max(changed) > 1e-3
    assert parity.drift(original, clips, "torch") <= 1e-4


def test_what_is_known_of_it(original, tmp_path):
    """Speech Commands are heard a second at a time, other clips three, and a note says so."""
    moods = read(save(tmp_path, MOODS, position_embeddings_type="relative"))

    assert original.labels == WORDS
    assert (original.window, original.min_samples, original.max_samples) == (16_000, 560, None)
    assert original.optimum is None
    assert original.notes == []
    assert (moods.window, moods.max_samples) == (48_000, 400 + 160 * 9_999)
    assert "--window-s" in moods.notes[0]


def test_the_rate_and_the_mels_are_the_extractor_s(tmp_path):
    """8 kHz and 40 mels: nothing of the usual checkpoint is taken for granted."""
    save(tmp_path / "full", mels=40)
    original = read(edited(tmp_path / "full", tmp_path / "slow", PREPROCESSOR, sampling_rate=8000))

    assert (original.rate, original.window) == (8000, 8000)
    assert parity.drift(original, parity.clips(original, 0.5, 1.01), "torch") <= 1e-4


def test_the_longest_audio_fits_the_table_of_positions(tmp_path):
    """`relative` positions reach so far and no further; up to there the graph is exact."""
    original = read(save(tmp_path, position_embeddings_type="relative", max_source_positions=60))
    longest = parity.clips(original, original.max_samples / original.rate)[1:2]

    assert len(longest[0]) == original.max_samples == 400 + 160 * 119
    assert parity.drift(original, longest, "torch") <= 1e-4


def test_rows_of_a_batch_do_not_mix(original, tmp_path):
    """Two clips at once score as one by one."""
    model = assemble(original, "torch", tmp_path)
    model.ir_version = 8
    session = onnxruntime.InferenceSession(model.SerializeToString())
    clips = np.stack(parity.clips(original, 1.0)[-3:])
    (together,) = session.run(None, {"audio": clips})
    alone = [session.run(None, {"audio": clip[None]})[0][0] for clip in clips]

    np.testing.assert_allclose(together, alone, atol=1e-4)


def test_features_are_those_of_the_extractor(original, folder):
    """Scale, window, mels, variance of n - 1 and pairs: the same to 1e-3 of a deviation.

    Where all frames are alike the original's variance is what float32 leaves of nothing.
    """
    extractor = transformers.SeamlessM4TFeatureExtractor.from_pretrained(folder)
    for clip in lengths(original):
        told = extractor(clip, sampling_rate=16_000, return_tensors="pt")
        wanted = told["input_features"][:, told["attention_mask"][0].bool()]
        heard = original.front(torch.from_numpy(clip[None]))

        assert heard.shape == wanted.shape
        if clip.any():
            assert (heard - wanted).abs().max() <= 1e-3


@pytest.mark.parametrize(
    ("file", "changes", "told"),
    [
        (PREPROCESSOR, {"stride": 4}, "stride 4"),
        (PREPROCESSOR, {"padding_side": "left"}, "padding_side left"),
        (PREPROCESSOR, {"num_mel_bins": 40}, "num_mel_bins 40"),
        (PREPROCESSOR, {"feature_extractor_type": "WhisperFeatureExtractor"}, "Whisper"),
        (CONFIG, {"feature_projection_input_dim": 80}, "feature_projection_input_dim 80"),
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
