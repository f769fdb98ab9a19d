"""Export of transformers' x-vectors: the graph gives the embeddings that transformers gives."""

import json

import numpy as np
import parity
import pytest
import torch

from export.assemble import assemble, names, way
from export.checkpoint import Checkpoint
from export.checkpoints import transformers_xvector as xvector
from export.checkpoints import waveform
from export.families import Asked
from export.pretrained import quiet
from kws.errors import ExportError

transformers = pytest.importorskip("transformers")

# WavLM passes masks of two types to torch
pytestmark = pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask")

SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "conv_dim": (16,) * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
    "tdnn_dim": (12, 12, 12, 12, 20),
    "xvector_output_dim": 10,
}
STABLE = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
WEIGHTED = {"use_weighted_layer_sum": True}
MASKED = {"return_attention_mask": True}

CASES = {
    "wav2vec2": ("Wav2Vec2", WEIGHTED, {}),
    "wav2vec2, stable": ("Wav2Vec2", STABLE, MASKED),
    "conformer": ("Wav2Vec2Conformer", {"position_embeddings_type": "rotary"}, {}),
    "wavlm": ("WavLM", STABLE | WEIGHTED, MASKED),
    "wavlm, as it is": ("WavLM", {"num_buckets": 32}, {"do_normalize": False}),
    "unispeech-sat": ("UniSpeechSat", WEIGHTED, MASKED),
    "data2vec": ("Data2VecAudio", {"conv_pos_kernel_size": 5, "num_conv_pos_embeddings": 2}, {}),
}


def saved(folder, encoder="Wav2Vec2", options=(), prepared=()):
    """A checkpoint of random weights whose embeddings are of order 1."""
    config = getattr(transformers, f"{encoder}Config")(
        **SMALL | {"conv_depthwise_kernel_size": 7} | dict(options)
    )
    model = getattr(transformers, f"{encoder}ForXVector")(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 2:
                weight.mul_(4)
        found = model(torch.randn(4, 12_000)).embeddings
        model.feature_extractor.weight.div_(found.abs().mean())
    model.save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(**dict(prepared)).save_pretrained(folder)
    return folder


def read(folder):
    return xvector.read(Checkpoint(folder, "someone/speaker"), Asked())


def own(folder, encoder):
    """Transformers' own, loaded by itself: audio -> embedding."""
    with quiet():
        model = getattr(transformers, f"{encoder}ForXVector").from_pretrained(folder).eval()
        extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)

    def embedding(audio):
        with torch.no_grad():
            heard = extractor(audio, sampling_rate=16_000, return_tensors="pt")
            return model(**heard).embeddings[0].numpy()

    return embedding


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A wav2vec2 that other tests read and never change."""
    return saved(tmp_path_factory.mktemp("plain"))


@pytest.mark.parametrize(("encoder", "options", "prepared"), CASES.values(), ids=CASES)
def test_embeddings_are_the_originals(tmp_path, encoder, options, prepared):
    """Whichever clip; the graph was traced at the window's length only."""
    folder = saved(tmp_path, encoder, options, prepared)
    original, speaker = read(folder), own(folder, encoder)
    clips = parity.clips(original, 0.4321, 0.987654, 2.0203)
    expected = np.array([speaker(clip) for clip in clips])
    original.reference(clips[-1])  # must leave no trace in the graph
    found = [each["embedding"] for each in parity.outputs(original, clips, "torch")]
    near = 1e-4 * max(1, float(np.abs(expected).max()))

    assert np.ptp(expected, axis=0).max() > 0.05
    assert expected == pytest.approx(np.array(found), abs=near)
    assert expected == pytest.approx(
        np.array([original.reference(clip) for clip in clips]), abs=1e-5
    )


def test_it_answers_with_an_embedding_only(plain, tmp_path):
    """No labels, no scores; the heads of training stay behind; optimum has no way for it."""
    original = read(plain)
    graph = assemble(original, way(original), tmp_path).graph

    assert [] == original.labels
    assert ["embedding"] == names(original) == [output.name for output in graph.output]
    assert "torch" == way(original)
    assert not [each.name for each in graph.initializer if "classifier" in each.name]
    assert not [each.name for each in graph.initializer if "objective" in each.name]
    with pytest.raises(ExportError, match="--via torch"):
        way(original, "optimum")


@pytest.mark.filterwarnings("ignore:std.*degrees of freedom")
def test_the_shortest_clip_has_a_deviation(plain):
    """A frame less, and transformers' own answer is not a number."""
    original, speaker = read(plain), own(plain, "Wav2Vec2")

    assert np.isfinite(speaker(np.ones(original.min_samples, np.float32))).all()
    assert not np.isfinite(speaker(np.ones(original.min_samples - 1, np.float32))).all()


def test_the_window_is_a_stated_guess(plain):
    """A speaker's clips have no usual length."""
    original = read(plain)

    assert 3 * original.rate == original.window
    assert 30 * original.rate == original.max_samples
    assert any("--window-s" in note for note in original.notes)


@pytest.mark.parametrize(
    ("architecture", "family"),
    [
        ("WavLMForXVector", xvector),
        ("WavLMForSequenceClassification", waveform),
        ("Wav2Vec2BertForXVector", None),
        ("ForXVector", None),
    ],
)
def test_it_is_known_by_its_class(tmp_path, architecture, family):
    """The head decides, not the encoder."""
    (tmp_path / "config.json").write_text(json.dumps({"architectures": [architecture]}))
    checkpoint = Checkpoint(tmp_path, "x")

    assert (family is xvector) == xvector.matches(checkpoint)
    assert (family is waveform) == waveform.matches(checkpoint)
