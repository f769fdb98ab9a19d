"""Export of waveform encoders: the graph hears and scores as transformers' own pipeline does."""

import json
from importlib.util import find_spec

import numpy as np
import onnxruntime
import parity
import pytest
import torch

from export.assemble import assemble
from export.checkpoint import Checkpoint
from export.checkpoints import waveform
from export.families import Asked
from export.frontends.waveform import Waveform

transformers = pytest.importorskip("transformers")

pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated"),  # used by SEW-D
    pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask"),  # and by WavLM
]

WAYS = ["torch", "optimum"] if find_spec("optimum") else ["torch"]
WORDS = ["yes", "no", "up", "down", "_silence_"]
EMOTIONS = ["neutral", "happy", "sad", "angry", "bored"]
SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "conv_dim": (16,) * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
    "classifier_proj_size": 12,
}
SQUEEZED = {"conv_dim": (8,) * 13}
STABLE = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
WEIGHTED = {"use_weighted_layer_sum": True}
MASKED = {"return_attention_mask": True}
EVEN = {"max_length": 16_240}
"""A window of 50 frames of SEW, of which pooling in pairs loses none, other than of 49."""

CASES = {
    "wav2vec2": ("Wav2Vec2", {}, {}),
    "wav2vec2, stable, weighted": ("Wav2Vec2", STABLE | WEIGHTED, MASKED),
    "wav2vec2, weighted, as it is": ("Wav2Vec2", WEIGHTED, {"do_normalize": False}),
    "conformer, relative": ("Wav2Vec2Conformer", {"max_source_positions": 9}, {}),
    "conformer, rotary": ("Wav2Vec2Conformer", {"position_embeddings_type": "rotary"}, MASKED),
    "distilhubert": ("Hubert", {"feat_proj_layer_norm": False}, MASKED),
    "hubert, stable, weighted": ("Hubert", STABLE | WEIGHTED, MASKED),
    "wavlm": ("WavLM", {"num_buckets": 32, "max_bucket_distance": 80}, {"do_normalize": False}),
    "wavlm, stable, weighted": ("WavLM", STABLE | WEIGHTED, MASKED),
    "data2vec": (
        "Data2VecAudio",
        {"conv_pos_kernel_size": 5, "num_conv_pos_embeddings": 2},
        MASKED,
    ),
    "unispeech": ("UniSpeech", {}, {}),
    "unispeech-sat, stable": ("UniSpeechSat", STABLE, MASKED),
    "sew": ("SEW", SQUEEZED, EVEN),
    "sew, weighted": ("SEW", SQUEEZED | WEIGHTED | {"squeeze_factor": 3}, {}),
    "sew, odd": ("SEW", SQUEEZED | {"num_conv_pos_embeddings": 15}, EVEN),
    "sew-d": ("SEWD", SQUEEZED, EVEN | MASKED),
}


def saved(folder, encoder="Wav2Vec2", options=(), prepared=(), labels=WORDS):
    """A checkpoint of random weights, large enough that its scores tell one clip from another."""
    config = getattr(transformers, f"{encoder}Config")(
        **SMALL | {"conv_depthwise_kernel_size": 7} | dict(options),
        id2label=dict(enumerate(labels)),
        label2id={label: number for number, label in enumerate(labels)},
    )
    model = getattr(transformers, f"{encoder}ForSequenceClassification")(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 2:
                weight.mul_(4)
        steady(model)
    model.save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(**dict(prepared)).save_pretrained(folder)
    return folder


def steady(model):
    """Scale the head so that the logits of some clips have mean 0 and deviation 1."""
    noise = torch.randn(8, 9000).cumsum(1) * torch.linspace(0, 1, 8)[:, None]
    clips = noise / noise.square().mean(1, keepdim=True).sqrt().clamp(min=1e-3)
    logits = model(clips).logits
    model.classifier.weight.div_(logits.std(0)[:, None])
    model.classifier.bias.copy_(-(logits - model.classifier.bias).mean(0) / logits.std(0))


def read(folder):
    return waveform.read(Checkpoint(folder, "someone/encoder"), Asked())


def pipeline(folder):
    """Transformers' own, which loads the checkpoint by itself: audio -> probabilities."""
    own = transformers.pipeline("audio-classification", model=str(folder), device="cpu")

    def scores(audio):
        told = {each["label"]: each["score"] for each in own(audio.copy(), top_k=None)}
        return np.array([told[label] for label in own.model.config.id2label.values()], np.float32)

    return scores


def changed(folder, name, **fields):
    """Rewrite fields of a JSON file; None takes a field away."""
    path = folder / name
    fields = {**json.loads(path.read_text()), **fields}
    path.write_text(json.dumps({key: value for key, value in fields.items() if value is not None}))
    return folder


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A wav2vec2 that other tests read and never change."""
    return saved(tmp_path_factory.mktemp("plain"))


@pytest.mark.parametrize(("encoder", "options", "prepared"), CASES.values(), ids=CASES)
def test_scores_are_the_originals(tmp_path, encoder, options, prepared):
    """Whichever clip, whichever way; the graph was traced at the window's length only."""
    labels = EMOTIONS if "max_length" in prepared else WORDS
    folder = saved(tmp_path, encoder, options, prepared, labels)
    original, own = read(folder), pipeline(folder)
    clips = parity.clips(original, 0.0651, 0.987654, 1.02, 2.0203)
    expected = np.array([own(clip) for clip in clips])
    original.reference(clips[-1])  # must leave no trace in the graph
    found = {way: parity.outputs(original, clips, way) for way in WAYS}

    assert labels == original.labels
    assert np.ptp(expected, axis=0).max() > 0.1
    assert expected == pytest.approx(
        np.array([original.reference(clip) for clip in clips]), abs=1e-5
    )
    for outputs in found.values():
        scores = np.array([each["scores"] for each in outputs])
        assert expected == pytest.approx(scores, abs=1e-4)


@pytest.mark.parametrize("way", WAYS)
def test_clips_longer_than_a_call_and_many_at_once(plain, tmp_path, way):
    """The graph has no upper bound of its own, and rows of a batch don't know one another."""
    original = read(plain)
    random = np.random.default_rng(2)
    long = random.uniform(-0.1, 0.1, original.max_samples + 4321).astype(np.float32)
    pair = np.stack([long[:12_345], 3 * long[-12_345:] + 0.1])
    graph = assemble(original, way, tmp_path)
    graph.ir_version = 8
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    both = session.run(["scores"], {"audio": pair})[0]

    assert parity.drift(original, [long], way) < 1e-4
    assert both == pytest.approx(np.array([original.reference(clip) for clip in pair]), abs=1e-4)


@pytest.mark.parametrize("encoder", ["Wav2Vec2", "WavLM"])
def test_a_clip_alone_needs_no_attention_mask(tmp_path, encoder):
    """The pipeline passes a mask where the extractor makes one; of one clip it hides nothing."""
    folder = saved(tmp_path, encoder, STABLE, MASKED)
    extractor = transformers.Wav2Vec2FeatureExtractor.from_pretrained(folder)
    model = getattr(transformers, f"{encoder}ForSequenceClassification").from_pretrained(folder)
    clip = np.random.default_rng(3).uniform(-1, 1, 12_345).astype(np.float32)
    heard = extractor(clip, sampling_rate=16_000, return_tensors="pt")
    with torch.no_grad():
        masked = model.eval()(**heard).logits
        bare = model(heard["input_values"]).logits

    assert "attention_mask" in heard
    assert masked.numpy() == pytest.approx(bare.numpy(), abs=1e-5)


@pytest.mark.parametrize("level", [1.0, 1e-2, 1e-4, 0.0])
@pytest.mark.parametrize("normalise", [True, False])
def test_the_front_end_is_the_extractors(level, normalise):
    """Quiet clips, silence and clips with an offset included."""
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=normalise)
    clip = np.random.default_rng(4).uniform(-1, 1, 12_345).astype(np.float32) * level + level / 3
    expected = extractor(clip, sampling_rate=16_000, return_tensors="np")["input_values"]

    assert expected == pytest.approx(
        Waveform(normalise=normalise)(torch.from_numpy(clip[None])).numpy(), abs=1e-5
    )


@pytest.mark.parametrize(
    ("encoder", "options"),
    [
        ("Wav2Vec2", {}),
        ("Wav2Vec2", {"conv_kernel": (10, 3), "conv_stride": (5, 2), "conv_dim": (8, 8)}),
        ("SEWD", SQUEEZED | {"squeeze_factor": 3}),
    ],
)
def test_the_shortest_clip_is_the_originals(tmp_path, encoder, options):
    """A sample less, and transformers itself hears nothing any more."""
    folder = saved(tmp_path, encoder, options)
    own, least = pipeline(folder), read(folder).min_samples

    assert np.isfinite(own(np.ones(least, np.float32))).all()
    with pytest.raises(RuntimeError, match="size"):
        own(np.ones(least - 1, np.float32))


@pytest.mark.parametrize(
    ("labels", "told", "window", "notes"),
    [
        (WORDS, {}, 16_000, 0),
        (EMOTIONS, {"max_length": 80_000}, 80_000, 0),
        (EMOTIONS, {}, 48_000, 1),
        (EMOTIONS, {"max_length": 1024}, 48_000, 1),
        (EMOTIONS, {"sampling_rate": 8000}, 24_000, 1),
    ],
    ids=["words", "told", "guessed", "of frames", "rate"],
)
def test_the_window_is_as_long_as_the_training_clips(tmp_path, labels, told, window, notes):
    """As far as labels or files tell; else it is 3 s, and the user is told so."""
    original = read(changed(saved(tmp_path, labels=labels), "preprocessor_config.json", **told))

    assert window == original.window
    assert notes == sum("--window-s" in note for note in original.notes)
    assert 30 * original.rate == original.max_samples


def test_old_checkpoints_read_alike(plain, tmp_path):
    """Old names of the weight norm, in a pickle; old and missing fields in the JSON files."""
    model = transformers.Wav2Vec2ForSequenceClassification.from_pretrained(plain)
    renamed = {"original0": "weight_g", "original1": "weight_v"}
    weights = {}
    for name, value in model.state_dict().items():
        stem, _, last = name.rpartition(".")
        old = f"{stem.removesuffix('parametrizations.weight')}{renamed.get(last, last)}"
        weights[old if last in renamed else name] = value
    torch.save(weights, tmp_path / "pytorch_model.bin")
    for name in ("config.json", "preprocessor_config.json"):
        (tmp_path / name).write_text((plain / name).read_text())
    changed(
        tmp_path,
        "config.json",
        gradient_checkpointing=False,
        tokenizer_class="Wav2Vec2CTCTokenizer",
    )
    changed(tmp_path, "preprocessor_config.json", feature_extractor_type=None)
    original = read(tmp_path)
    clips = parity.clips(original, 0.5)

    assert any(name.endswith("weight_g") for name in weights)
    assert parity.drift(original, clips, "torch") < 1e-4
    assert original.reference(clips[1]) == pytest.approx(read(plain).reference(clips[1]), abs=1e-6)


def test_half_precision_is_widened(plain, tmp_path):
    """Weights stored as float16 are heard in float32, as the pipeline's answers are."""
    model = transformers.Wav2Vec2ForSequenceClassification.from_pretrained(plain).half()
    model.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(
        (plain / "preprocessor_config.json").read_text()
    )
    original = read(tmp_path)

    assert parity.drift(original, parity.clips(original, 0.5), "torch") < 1e-4


def test_a_processor_saved_whole_is_read(plain, tmp_path):
    """Transformers 5 saves the extractor inside processor_config.json."""
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((plain / name).read_bytes())
    told = json.loads((plain / "preprocessor_config.json").read_text())
    whole = {"feature_extractor": told | {"do_normalize": False}, "processor_class": "x"}
    (tmp_path / "processor_config.json").write_text(json.dumps(whole))

    assert not read(tmp_path).front.normalise


@pytest.mark.parametrize("way", WAYS)
def test_the_weight_norm_is_computed_once(plain, tmp_path, way):
    """The positional convolution's weight is a constant of the graph, not made at every call."""
    graph = assemble(read(plain), way, tmp_path).graph
    constants = {each.name for each in graph.initializer}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]

    assert len(SMALL["conv_dim"]) + 1 == len(convolutions)
    assert {node.input[1] for node in convolutions} <= constants
    assert not any("parametrizations" in name for name in constants)
