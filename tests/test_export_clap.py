"""Export of zero-shot CLAP: the user's labels become constants, the text model stays behind."""

import json
from types import SimpleNamespace

import numpy as np
import onnxruntime
import parity
import pytest
import torch

from export import families
from export.assemble import assemble
from export.checkpoint import Checkpoint
from export.checkpoints import clap
from export.families import Asked
from kws.errors import ExportError

transformers = pytest.importorskip("transformers")

LABELS = ("dog", "vacuum cleaner", "glass breaking", "rain")
LETTERS = [chr(number) for number in range(33, 127)] + ["Ġ"]
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
MERGES = [("Ġ", "d"), ("o", "g"), ("Ġd", "og"), ("i", "s"), ("r", "a"), ("ra", "i"), ("rai", "n")]


def tokenizer(folder):
    """The files of a byte-level tokenizer that knows letters and seven merges."""
    words = SPECIAL + LETTERS + ["".join(pair) for pair in MERGES]
    vocabulary = {word: number for number, word in enumerate(words)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    merges = ["#version: 0.2", *(" ".join(pair) for pair in MERGES)]
    (folder / "merges.txt").write_text("\n".join(merges) + "\n", encoding="utf-8")
    settings = {"tokenizer_class": "RobertaTokenizer", "model_max_length": 512}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return len(words)


def saved(folder, **prepared):
    """A small network of random weights that hears 2 s at 48 kHz, its extractor and tokenizer.

    prepared: options of the feature extractor.
    """
    text = {
        "vocab_size": tokenizer(folder),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 66,
    }
    audio = {
        "num_mel_bins": 16,
        "spec_size": 64,
        "window_size": 4,
        "depths": [2, 2, 1],
        "num_attention_heads": [2, 2, 4],
        "num_hidden_layers": 3,
        "patch_embeds_hidden_size": 16,
        "hidden_size": 64,
        "initializer_factor": 5.0,
    }
    torch.manual_seed(1)
    model = transformers.ClapModel(
        transformers.ClapConfig(
            text_config=text, audio_config=audio, projection_dim=24, logit_scale_init_value=10.0
        )
    )
    options = {
        "feature_size": 16,
        "max_length_s": 2,
        "frequency_min": 50,
        "truncation": "rand_trunc",
    }
    extractor = transformers.ClapFeatureExtractor(**{**options, **prepared})
    spread(model.eval(), extractor, transformers.RobertaTokenizerFast.from_pretrained(folder))
    model.save_pretrained(folder)
    extractor.save_pretrained(folder)
    return folder


@torch.no_grad()
def spread(model, extractor, tokenizer):
    """Make random weights tell labels and clips apart, as trained ones do, whatever they are."""
    norm = model.audio_model.audio_encoder.batch_norm
    norm.running_mean.fill_(-40)
    norm.running_var.fill_(400)
    for name, weight in model.named_parameters():
        if name.endswith("relative_position_bias_table"):
            weight.normal_()
    clips = parity.clips(SimpleNamespace(rate=48_000, window=48_000, min_samples=4800), 0.7, 1.5)
    heard = extractor(clips, sampling_rate=48_000, return_tensors="pt")["input_features"]
    sounds = model.audio_projection(model.audio_model(input_features=heard).pooler_output)
    model.audio_projection.linear2.bias -= sounds.mean(0)
    read = tokenizer([clap.TEMPLATE.format(label) for label in LABELS], padding=True)
    read = {name: torch.tensor(read[name]) for name in ("input_ids", "attention_mask")}
    texts = model.text_projection(model.text_model(**read).pooler_output)
    model.text_projection.linear2.bias -= texts.mean(0)


def read(folder, labels=LABELS, template=None):
    return clap.read(Checkpoint(folder, "someone/clap"), Asked(labels, template))


def changed(folder, name, **fields):
    """Rewrite fields of a JSON file."""
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("clap"))


@pytest.fixture(scope="module")
def original(folder):
    return read(folder)


@pytest.fixture(scope="module")
def graph(original, tmp_path_factory):
    return assemble(original, "torch", tmp_path_factory.mktemp("graph"))


@pytest.fixture(scope="module")
def session(graph):
    return onnxruntime.InferenceSession(graph.SerializeToString())


@pytest.fixture(scope="module")
def clips(original):
    """Lengths that repeat 96,000, 3, 2, 1 and 1 times, full length, and longer."""
    return parity.clips(original, 0.6123, 0.99999, 1, 1.00001, 1.3, 2, 2.7)


def test_scores_are_the_zero_shot_pipelines(original, session, clips):
    """Within 1e-4 at every length and level, and labels and clips are told apart."""
    wanted = np.stack([original.reference(clip) for clip in clips])
    found = [session.run(["scores"], {"audio": clip[None]})[0][0] for clip in clips]

    assert np.ptp(wanted, axis=0).max() > 0.1
    assert np.ptp(wanted, axis=1).max() > 0.3
    assert np.abs(wanted - found).max() <= 1e-4


@pytest.mark.parametrize("padding", ["repeat", "pad"])
def test_other_paddings_match_too(tmp_path, clips, padding):
    """Repeated to the very end, or followed by silence."""
    original = read(saved(tmp_path, padding=padding))

    assert parity.drift(original, clips[1:4], "torch") <= 1e-4


def test_the_template_words_the_labels(folder, original, clips):
    """Another template is followed as the pipeline follows it, and it makes a difference."""
    other = read(folder, template="I can hear {}, loud and clear")

    assert np.abs(other.reference(clips[3]) - original.reference(clips[3])).max() > 1e-3
    assert parity.drift(other, clips[3:5], "torch") <= 1e-4
    assert any("I can hear {}" in note for note in other.notes)


def test_the_embedding_is_the_sounds(folder, session, clips):
    """Of length 1, as ClapModel gives it, for any labels."""
    model = transformers.ClapModel.from_pretrained(folder).eval()
    extractor = transformers.ClapFeatureExtractor.from_pretrained(folder)
    heard = extractor(clips[3], sampling_rate=48_000, return_tensors="pt")
    with torch.no_grad():
        pooled = model.audio_model(input_features=heard["input_features"]).pooler_output
        wanted = torch.nn.functional.normalize(model.audio_projection(pooled), dim=-1)
    _, found = session.run(["scores", "embedding"], {"audio": clips[3][None]})

    assert np.abs(wanted.numpy() - found).max() <= 1e-5


def test_a_batch_gives_what_each_clip_gives_alone(session, clips):
    """Clips of one call don't touch each other."""
    noise = np.random.default_rng(2).uniform(-1, 1, len(clips[3])).astype(np.float32)
    pair = np.stack([clips[3], noise])
    both = session.run(None, {"audio": pair})
    alone = [session.run(None, {"audio": clip[None]}) for clip in pair]

    assert np.abs(both[0][0] - both[0][1]).max() > 1e-3
    for found, first, second in zip(both, *alone, strict=True):
        assert np.abs(found - np.concatenate([first, second])).max() <= 1e-5


def test_no_text_model_is_left(original, graph):
    """Of the texts there is one row a label, and little else beside the audio part's weights."""
    stored = {each.name: each for each in graph.graph.initializer}
    parts = [*original.network.parameters(), *original.network.buffers(), *original.front.buffers()]

    assert [4, 24] == list(stored["network.texts"].dims)
    assert not [name for name in stored if "text_model" in name]
    assert sum(each.ByteSize() for each in stored.values()) < 1.1 * sum(
        part.numel() * part.element_size() for part in parts
    )


def test_choices_of_layers_are_no_part_of_the_graph(graph):
    """Windows and masks are constants, whatever the version of transformers computes them by."""
    kinds = [node.op_type for node in graph.graph.node]

    assert not {"Range", "ScatterND", "GreaterOrEqual", "If", "Loop"} & {*kinds}


def test_what_it_hears_is_said(original):
    """A window of the full length, which is what every call costs; longer clips are cut."""
    assert ("clap", list(LABELS), 48_000) == (original.family, original.labels, original.rate)
    assert 96_000 == original.window == original.padded == original.max_samples
    assert any("filled to 2 s" in note for note in original.notes)
    assert any("first 2 s" in note for note in original.notes)


def test_a_fusion_checkpoint_is_refused_by_name(tmp_path):
    """Before labels are asked for, whichever file tells."""
    folder = changed(saved(tmp_path), "preprocessor_config.json", truncation="fusion")
    with pytest.raises(ExportError, match=r"someone/clap is a fusion checkpoint \(truncation"):
        read(folder, labels=None)

    changed(folder, "preprocessor_config.json", truncation="rand_trunc")
    changed(folder, "config.json", audio_config={"enable_fusion": True})
    with pytest.raises(ExportError, match=r"someone/clap is a fusion checkpoint \(enable_fusion"):
        read(folder, labels=None)


@pytest.mark.parametrize(
    ("labels", "template", "said"),
    [
        (None, None, '--labels "dog,vacuum cleaner"'),
        ((), None, '--labels "dog,vacuum cleaner"'),
        (("dog", " "), None, "a label is empty"),
        (("dog",), None, "always scores 1"),
        (("dog", "cat", "dog"), None, "dog twice"),
        (("dog", "cat"), "a sound", "no place for the label"),
        (("dog", "cat"), "a {name}", "no place for the label"),
        (("dog", "cat"), "a {", "no place for the label"),
        (("dog", "cat"), "{0.__class__}", "no place for the label"),
        (("dog", "x" * 80), None, "can't take"),
    ],
)
def test_labels_that_can_not_work_are_refused(folder, labels, template, said):
    """In one line that says how to name them."""
    with pytest.raises(ExportError) as error:
        read(folder, labels, template)

    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"feature_size": 64}, "of 64 mels.*of 16"),
        ({"max_length_s": 10}, "1001 frames.*at most 256"),
        ({"truncation": "first"}, "truncation 'first'"),
        ({"padding": "mirror"}, "padding 'mirror'"),
    ],
    ids=["mels", "length", "truncation", "padding"],
)
def test_files_that_contradict_each_other_are_refused(tmp_path, fields, said):
    """And so is what the original doesn't do either."""
    with pytest.raises(ExportError, match=said):
        read(changed(saved(tmp_path), "preprocessor_config.json", **fields))


def test_a_checkpoint_without_tokenizer_is_refused(tmp_path):
    """Labels can't be read without one."""
    (saved(tmp_path) / "vocab.json").unlink()
    with pytest.raises(ExportError, match=r"no tokenizer\.json"):
        read(tmp_path)

    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ExportError, match="the tokenizer: "):
        read(tmp_path)


def test_it_is_found_by_its_class(folder):
    """Among all families."""
    assert clap is families.find(Checkpoint(folder, "someone/clap"))
