"""Export of what can't be exported: a line that says what, where, and what to do; nothing runs."""

import json
import os
import pickle
import shutil
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
import torch

from export import families
from export.checkpoint import Checkpoint
from export.describe import Use, describe
from export.families import Asked
from kws.errors import ExportError

transformers = pytest.importorskip("transformers")

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
SAFE, PICKLE = "model.safetensors", "pytorch_model.bin"
LABELS = {"0": "yes", "1": "no", "2": "stop"}
MORE = {**LABELS, "3": "go", "4": "left"}


def numbered(labels):
    """What config.json says of its labels."""
    return {"id2label": labels, "label2id": {label: int(key) for key, label in labels.items()}}


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A checkpoint that nothing is wrong with."""
    folder = tmp_path_factory.mktemp("sound")
    config = transformers.Wav2Vec2Config(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        conv_dim=(8,) * 7,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
        classifier_proj_size=8,
        **numbered({int(key): label for key, label in LABELS.items()}),
    )
    transformers.Wav2Vec2ForSequenceClassification(config).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(folder)
    return folder


@pytest.fixture
def folder(sound, tmp_path):
    """A copy of it, to be spoilt."""
    return shutil.copytree(sound, tmp_path / "checkpoint")


class Marker:
    """Leaves a file, if ever a pickle of it is run."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def edit(folder, name, **fields):
    """Rewrite fields of a JSON file; None takes a field away."""
    fields = {**json.loads((folder / name).read_text()), **fields}
    kept = {key: value for key, value in fields.items() if value is not None}
    (folder / name).write_text(json.dumps(kept))


def halve(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def weights(folder):
    return transformers.Wav2Vec2ForSequenceClassification.from_pretrained(folder)


def read(folder):
    """Read it as an export does."""
    checkpoint = Checkpoint(folder, "someone/model")
    return families.find(checkpoint).read(checkpoint, Asked())


def refusal(folder):
    """Return the line with which it is refused."""
    with pytest.raises(ExportError) as refused:
        read(folder)
    line = str(refused.value)
    assert 1 == len(line.splitlines())
    assert str(folder) in line
    return line


def test_the_sound_one_is_read(folder):
    """So that each refusal below has one reason."""
    original = read(folder)

    assert list(LABELS.values()) == original.labels
    assert 1.0 == pytest.approx(original.reference(np.ones(8000, np.float32)).sum(), abs=1e-6)


@pytest.mark.parametrize(
    ("architecture", "told"),
    [
        ("Wav2Vec2ForCTC", "Wav2Vec2ForCTC is a speech recogniser"),
        ("WhisperForConditionalGeneration", "is a speech recogniser"),
        ("Wav2Vec2ForPreTraining", "was only pre-trained"),
        ("WavLMForAudioFrameClassification", "labels frames"),
        ("HubertModel", "is an encoder without a head"),
    ],
)
def test_a_network_without_a_head_is_told_where_to_get_one(folder, architecture, told):
    """The commonest mistake: the encoder itself, or a recogniser of speech."""
    edit(folder, CONFIG, architectures=[architecture])
    line = refusal(folder)

    assert told in line
    assert "`kws train --from`" in line


@pytest.mark.parametrize(
    ("named", "told"),
    [
        (["BertForSequenceClassification"], "BertForSequenceClassification: no family reads it"),
        (["GPT2LMHeadModel"], "GPT2LMHeadModel: no family reads it"),
        (["T5ForConditionalGeneration"], "T5ForConditionalGeneration: no family reads it"),
        ([], "config.json names no class in `architectures`"),
        (None, "config.json names no class in `architectures`"),
        (5, "config.json names no class in `architectures`"),
        ("Wav2Vec2ForCTC", "config.json names no class in `architectures`"),
    ],
)
def test_an_unknown_network_is_answered_with_the_families(folder, named, told):
    """What is read stands in the line."""
    edit(folder, CONFIG, architectures=named)
    line = refusal(folder)

    assert told in line
    assert "wav2vec2" in line
    assert "Whisper" in line


def test_a_folder_of_something_else_is_answered_with_the_families(tmp_path):
    """As is a folder that holds nothing."""
    (tmp_path / "holiday.txt").write_text("sun")

    assert "no known layout: no family reads it" in refusal(tmp_path)


def test_a_head_that_was_never_trained_is_refused(folder):
    """config.json may promise a head that the weights lack: it would be random."""
    model = weights(folder).wav2vec2
    model.save_pretrained(folder)
    edit(folder, CONFIG, architectures=["Wav2Vec2ForSequenceClassification"], **numbered(LABELS))

    assert "the weights lack classifier.bias, classifier.weight" in refusal(folder)


def test_preprocessing_must_be_told(folder):
    """Guessing it would give wrong scores in silence."""
    (folder / PREPROCESSOR).unlink()
    line = refusal(folder)

    assert "has no preprocessor_config.json" in line
    assert "copy it from the checkpoint that this one was fine-tuned from" in line


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"feature_extractor_type": "ASTFeatureExtractor"}, "names ASTFeatureExtractor"),
        ({"feature_extractor_type": "os.system"}, "names os.system"),
        ({"sampling_rate": 0}, "sampling_rate 0"),
        ({"sampling_rate": -16000}, "sampling_rate -16000"),
        ({"sampling_rate": "16k"}, "sampling_rate '16k'"),
        ({"sampling_rate": True}, "sampling_rate True"),
        ({"sampling_rate": 1e12}, "sampling_rate 1000000000000.0"),
        ({"feature_size": 80}, "feature_size 80"),
    ],
)
def test_preprocessing_must_suit_the_network(folder, fields, told):
    """The line names the file and the value."""
    edit(folder, PREPROCESSOR, **fields)
    line = refusal(folder)

    assert "preprocessor_config.json" in line
    assert told in line


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (numbered(MORE), "config.json names 5 labels, the weights have 3"),
        ({"id2label": {"1": "a", "2": "b", "3": "c"}}, "they must be 0 to 2"),
        ({"id2label": {"first": "a", "second": "b"}}, "transformers can't load it"),
        ({"hidden_size": 32}, "belong to"),
        ({"hidden_act": "magic"}, "magic"),
        ({"problem_type": "regression"}, "regression"),
    ],
)
def test_config_must_suit_the_weights(folder, fields, told):
    """Above all in the number of labels."""
    edit(folder, CONFIG, **fields)

    assert told in refusal(folder)


@pytest.mark.parametrize("names", [[0, 1, 2], [True, False, None], [1.5, "yes", "2"]])
def test_labels_may_be_written_as_anything(folder, names):
    """JSON lets config.json name labels by numbers; they are then called as they are written."""
    edit(folder, CONFIG, id2label={str(key): name for key, name in enumerate(names)})
    original = read(folder)

    assert [str(name) for name in names] == original.labels
    assert (3,) == original.reference(np.zeros(16_000, np.float32)).shape


def test_a_single_label_competes_with_none(tmp_path, sound):
    """Softmax would give 1 whatever is heard: it gets a probability of its own."""
    folder = shutil.copytree(sound, tmp_path / "one")
    config = transformers.Wav2Vec2Config.from_pretrained(sound)
    config.id2label, config.label2id = {0: "yes"}, {"yes": 0}
    transformers.Wav2Vec2ForSequenceClassification(config).save_pretrained(folder)
    original = read(folder)
    [score] = original.reference(np.zeros(16_000, np.float32))

    assert "sigmoid" == original.activation
    assert 0 < score < 1
    with pytest.raises(ExportError, match="knows one label, yes"):
        describe(Checkpoint(folder, "x"), replace(original, activation="softmax"), Use(), "torch")


@pytest.mark.parametrize("name", [CONFIG, PREPROCESSOR])
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"architectures": ["Wav2Vec2For', "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[1, 2]", "holds no JSON object"),
        ("\xff\xfe", "is no JSON"),
    ],
    ids=["cut", "deep", "list", "bytes"],
)
def test_malformed_json_is_told_by_its_file(folder, name, text, told):
    """Cut off, nested without end, no object, no text."""
    (folder / name).write_bytes(text.encode("latin-1"))
    line = refusal(folder)

    assert f"{name}: {told}" in line


@pytest.mark.parametrize("spoil", ["half", "few bytes", "a pointer", "a pickle cut off"])
def test_damaged_weights_are_told_as_such(folder, spoil):
    """And are to be downloaded again."""
    if spoil == "half":
        halve(folder / SAFE)
    elif spoil == "few bytes":
        (folder / SAFE).write_bytes(b"abc")
    elif spoil == "a pointer":
        (folder / SAFE).write_text("version https://git-lfs.github.com/spec/v1\nsize 5\n")
    else:
        torch.save(weights(folder).state_dict(), folder / PICKLE)
        (folder / SAFE).unlink()
        halve(folder / PICKLE)
    line = refusal(folder)

    assert "its weights are cut off or damaged" in line
    assert "download them again" in line


def test_weights_must_be_there(folder):
    """A clone without its large files has none."""
    (folder / SAFE).unlink()

    assert "has no weights; copy its model.safetensors" in refusal(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_must_be_numbers(folder, value):
    """Scores of NaN would pass every comparison."""
    model = weights(folder)
    with torch.no_grad():
        model.projector.bias[0] = value
    model.save_pretrained(folder)

    assert "the weights hold NaN or infinity (projector.bias)" in refusal(folder)


@pytest.mark.parametrize("form", ["zip", "bare"])
def test_a_malicious_pickle_never_runs(folder, tmp_path, form):
    """Neither alone, where it is refused, nor beside safetensors, which are preferred."""
    marker = tmp_path / "marker"
    with (folder / PICKLE).open("wb") as file:
        save = torch.save if form == "zip" else pickle.dump
        save({"classifier.bias": Marker(marker)}, file)
    read(folder)
    (folder / SAFE).unlink()
    line = refusal(folder)

    assert "nothing in it was run; get the checkpoint as safetensors" in line
    assert not marker.exists()
    with suppress(RuntimeError):  # what torch says of a bare pickle, once it has run
        torch.load(folder / PICKLE, weights_only=False)
    assert marker.exists(), "the pickle is harmless: this test proves nothing"


def test_code_of_a_checkpoint_never_runs(folder, tmp_path):
    """However config.json asks for it: the known classes read what they know."""
    marker = tmp_path / "marker"
    (folder / "evil.py").write_text(f"import os\nos.mkdir({str(marker)!r})\nclass Model: pass\n")
    for name in (CONFIG, PREPROCESSOR):
        edit(
            folder,
            name,
            auto_map={
                "AutoConfig": "evil.Model",
                "AutoFeatureExtractor": "evil.Model",
                "AutoModelForAudioClassification": "evil.Model",
            },
            custom_pipelines={
                "audio-classification": {
                    "impl": "evil.Model",
                    "pt": ["AutoModelForAudioClassification"],
                }
            },
            tokenizer_class="evil.Model",
            processor_class="evil.Model",
        )
    original = read(folder)
    original.reference(np.ones(8000, np.float32))

    assert not marker.exists()


def test_a_class_that_only_the_checkpoint_knows_is_refused(folder, tmp_path):
    """Its code is not looked at."""
    marker = tmp_path / "marker"
    (folder / "evil.py").write_text(f"import os\nos.mkdir({str(marker)!r})\n")
    auto = {"AutoModelForAudioClassification": "evil.EvilForAudioClassification"}
    edit(folder, CONFIG, architectures=["EvilForAudioClassification"], auto_map=auto)

    assert "EvilForAudioClassification: no family reads it" in refusal(folder)
    assert not marker.exists()


def test_a_clip_that_the_original_cannot_hear_is_told(folder):
    """What transformers raises becomes a line as well."""
    original = read(folder)

    with pytest.raises(ExportError, match="transformers itself can't run it on 100 samples"):
        original.reference(np.ones(100, np.float32))
