"""SpeechBrain directories: exported without SpeechBrain, they give what SpeechBrain gave."""

import os
import pickle
import re
import shutil
from pathlib import Path

import numpy as np
import parity
import pytest
import soundfile
import torch

from export.assemble import assemble
from export.checkpoint import Checkpoint
from export.checkpoints import speechbrain_ecapa, speechbrain_xvector
from export.families import Asked, find
from export.frontends.speechbrain import Fbank
from export.speechbrain import statedict
from kws.errors import ExportError

ROOT = Path(__file__).parent.parent
FOLDER = Path(__file__).parent / "speechbrain"
SMALL = ["xvector", "ecapa", "cosines"]
WORDS = ["yes", "stop", "odd"]


def opened(folder):
    """Read a directory as an export does."""
    checkpoint = Checkpoint(Path(folder), Path(folder).name)
    return find(checkpoint).read(checkpoint, Asked())


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """The networks are so small that threads would only wait for one another."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def originals():
    """The small directories, read."""
    return {name: opened(FOLDER / name) for name in SMALL}


@pytest.fixture(scope="module")
def recordings():
    """What SpeechBrain heard: float32, one of 14,321 samples."""
    return {name: soundfile.read(FOLDER / f"{name}.flac", dtype="float32")[0] for name in WORDS}


@pytest.fixture(scope="module")
def exported(originals, recordings):
    """What the exported graphs give for the recordings."""
    heard = list(recordings.values())
    return {
        name: dict(zip(WORDS, parity.outputs(original, heard, "torch"), strict=True))
        for name, original in originals.items()
    }


@pytest.fixture
def published(request):
    """The directory of published size, or a reason why a test was left out."""
    data = Path(os.environ.get("KWS_DATA") or ROOT.parent / "shared" / "data")
    folder = data.parent / "fixtures" / "speechbrain_xvector"
    if not folder.is_dir():
        reason = f"{request.node.nodeid} needs {folder}; KWS_DATA names the folder beside it"
        if os.environ.get("CI"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    return folder


@pytest.fixture
def directory(tmp_path):
    """Copy a small directory, its files replaced: name -> new content, None to remove it."""

    def copied(name, **changed):
        folder = tmp_path / name
        shutil.copytree(FOLDER / name, folder)
        for stem, change in changed.items():
            path = next(folder.glob(f"{stem}.*"))
            if change is None:
                path.unlink()
            elif isinstance(change, bytes):
                path.write_bytes(change)
            elif path.suffix == ".ckpt":
                torch.save(change(torch.load(path, weights_only=True)), path)
            else:
                path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")
        return folder

    return copied


def log_probabilities(given, kind):
    """SpeechBrain's own scores as log-probabilities: cosines by the scale of its training."""
    return (
        torch.log_softmax(torch.from_numpy(30 * given), 0).numpy() if kind == "cosines" else given
    )


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("word", WORDS)
def test_an_export_gives_what_speechbrain_gave(originals, exported, recordings, name, word):
    """Log-probabilities, embeddings, and the eager original agree with SpeechBrain to 1e-4.

    The x-vector with the pooling's noise at its mean; against one draw of it to 5e-4.
    """
    kept = np.load(FOLDER / name / "reference.npz")
    last = "_mean" if name == "xvector" else ""
    wanted = log_probabilities(kept[f"{word}/scores{last}"], name)
    drawn = log_probabilities(kept[f"{word}/scores"], name)
    got = exported[name][word]
    eager = originals[name].reference(recordings[word])

    assert np.exp(wanted).max() < 0.9999  # a label that is certain would hide a difference
    assert np.abs(np.log(got["scores"]) - wanted).max() <= 1e-4
    assert np.abs(np.log(got["scores"]) - drawn).max() <= 5e-4
    assert np.abs(np.log(eager) - wanted).max() <= 1e-4
    assert np.abs(got["embedding"] - kept[f"{word}/embedding{last}"]).max() <= 1e-4


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("word", WORDS)
def test_the_front_end_gives_speechbrains_features(originals, recordings, name, word):
    """Both forms of it, in decibels of a range of 80: to 1e-3."""
    kept = np.load(FOLDER / name / "reference.npz")[f"{word}/features"].T
    audio, front = torch.from_numpy(recordings[word])[None], originals[name].front

    assert kept.shape == front(audio)[0].shape
    assert np.abs(front(audio)[0].numpy() - kept).max() <= 1e-3
    assert np.abs(front.original(audio)[0].numpy() - kept).max() <= 1e-3


def test_a_directory_of_published_size_gives_what_speechbrain_gave(published):
    """All three recordings, log-probabilities and embeddings, at full size."""
    original, kept = opened(published), np.load(published / "reference.npz")
    names = [str(name) for name in kept["names"]]
    heard = [kept[f"{name}/wav"] for name in names]

    assert [16_000, 16_000, 14_321] == [len(audio) for audio in heard]
    assert original.labels == [str(label) for label in kept["labels"]]
    for name, audio, got in zip(
        names, heard, parity.outputs(original, heard, "torch"), strict=True
    ):
        scores = np.log(got["scores"])
        assert np.abs(scores - kept[f"{name}/logprob_meannoise"]).max() <= 1e-4
        assert np.abs(scores - kept[f"{name}/logprob"]).max() <= 5e-4
        assert np.abs(got["embedding"] - kept[f"{name}/embedding_meannoise"]).max() <= 1e-4
        eager = np.log(original.reference(audio))
        assert np.abs(eager - kept[f"{name}/logprob_meannoise"]).max() <= 1e-4


@pytest.mark.parametrize("name", SMALL)
def test_every_length_and_level_agrees(originals, name):
    """From the shortest clip to 4 s, silence and full-scale noise: the file equals the original."""
    clips = parity.clips(originals[name], 0.1, 0.333, 1.0, 4.0)

    assert parity.drift(originals[name], clips, "torch") <= 1e-4


@pytest.mark.parametrize("name", SMALL)
def test_the_shortest_clip_is_the_shortest(originals, name):
    """One frame less, and the original itself refuses: it can't reflect so few."""
    shortest = originals[name].min_samples
    audio = np.random.default_rng(1).uniform(-1, 1, shortest).astype(np.float32)

    assert {"xvector": 480, "ecapa": 640, "cosines": 640}[name] == shortest
    assert np.isfinite(originals[name].reference(audio)).all()
    with pytest.raises(RuntimeError, match=r"[Pp]adding"):
        originals[name].reference(audio[:-1])


@pytest.mark.parametrize("name", SMALL)
def test_a_batch_is_heard_one_by_one(originals, recordings, name):
    """A loud neighbour doesn't move the floor, which lies under each utterance's own loudest."""
    original, quiet = originals[name], 1e-3 * recordings["yes"]
    audio = torch.from_numpy(np.stack([np.float32(quiet), recordings["yes"]]))

    logits, _ = original.network(original.front(audio))

    expected = original.reference(audio[0].numpy())
    assert np.abs(expected - logits.softmax(1)[0].numpy()).max() <= 1e-5


def test_what_static_quantization_needs_is_there(originals, tmp_path):
    """Behind the front end the x-vector's products are Conv and Gemm, by which it is made int8."""
    model = assemble(originals["xvector"], "torch", tmp_path)
    types = [node.op_type for node in model.graph.node if not node.name.startswith("/front/")]

    assert originals["xvector"].scheme == "static"
    assert (5, 3, 0) == tuple(types.count(name) for name in ("Conv", "Gemm", "MatMul"))


def test_what_a_checkpoint_says_of_its_clips_is_used(originals, directory):
    """Speech Commands' labels mean 1 s, the recipe's sentence_len is followed, else it is 3 s."""
    folder = directory("ecapa", hyperparams=lambda text: text + "sentence_len: 2.5\n")

    assert 16_000 == originals["xvector"].window
    assert 40_000 == opened(folder).window
    assert 48_000 == originals["ecapa"].window
    assert [note for note in originals["ecapa"].notes if "--window-s" in note]
    assert [note for note in originals["cosines"].notes if "softmax of 30 times" in note]


def test_the_scale_of_the_cosines_is_read_where_it_is_told(directory, recordings, originals):
    """A settings file that kept its loss tells by how much training multiplied the cosines."""
    loss = (
        "compute_cost: !new:speechbrain.nnet.losses.LogSoftmaxWrapper\n"
        "    loss_fn: !new:speechbrain.nnet.losses.AdditiveAngularMargin\n"
        "        margin: 0.2\n        scale: 15\n"
    )
    folder = directory("cosines", hyperparams=lambda text: text + loss)
    told, usual = opened(folder), originals["cosines"]

    expected = np.sqrt(usual.reference(recordings["yes"]))
    assert np.allclose(expected / expected.sum(), told.reference(recordings["yes"]), atol=1e-5)


def test_labels_are_read_in_the_order_of_their_indices(directory):
    """Any order of lines, labels that hold an arrow or a quote, labels that are numbers."""

    def shuffled(text):
        lines = text.splitlines()
        lines[:3] = ["7 => 0", repr("a => b") + " => 1", repr("it's") + " => 2"]
        return "\n".join([*lines[5:12], *lines[:5], *lines[12:]])

    expected = ["7", "a => b", "it's", "down", "left"]
    assert expected == opened(directory("xvector", label_encoder=shuffled)).labels[:5]


@pytest.mark.parametrize(
    "options",
    [
        {"mels": 23, "fft": 512, "window": 320, "hop": 100, "deviation": True},
        {"mels": 40, "rate": 8000, "high": 3800, "low": 60, "fft": 256, "window": 200, "hop": 80},
        {"mels": 10, "fft": 401, "window": 401},
    ],
)
def test_other_settings_of_the_front_end_are_kept(options):
    """The exported form equals torch.stft for any frame, window, hop, band and rate."""
    front = Fbank(**options)
    audio = torch.from_numpy(np.random.default_rng(2).uniform(-1, 1, (2, 5_003)))
    audio = audio.float() * torch.linspace(0.01, 1, 5_003)

    assert 1 + 5_003 // front.hop == front(audio).shape[2]
    assert float((front(audio) - front.original(audio)).abs().max()) <= 1e-3


def added(line, part):
    """A change of the settings: `line` is put into `part`."""
    return lambda text: re.sub(rf"(\n{part}: !new:\S+\n)", rf"\1    {line}\n", text)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"hyperparams": added("deltas: True", "compute_features")}, "deltas True is not supp"),
        ({"hyperparams": added("context: True", "compute_features")}, "context True is not supp"),
        ({"hyperparams": added("filter_shape: gaussian", "compute_features")}, "filter_shape gau"),
        ({"hyperparams": added("requires_grad: True", "compute_features")}, "requires_grad True"),
        ({"hyperparams": added("win_length: 30", "compute_features")}, "win_length is longer"),
        ({"hyperparams": added("hop_length: fast", "compute_features")}, "hop_length fast is not"),
        ({"hyperparams": added("n_fft: 99999999", "compute_features")}, "n_fft 99999999 is not a"),
        ({"hyperparams": lambda t: t.replace("sentence", "global")}, "norm_type global is not s"),
        ({"hyperparams": lambda t: t.replace("features.Fbank", "features.MFCC")}, "MFCC is not kn"),
        ({"hyperparams": lambda t: t.replace("LeakyReLU", "Tanh")}, "activation torch.nn.Tanh is"),
        ({"hyperparams": lambda t: t.replace("lin_blocks: 1", "lin_blocks: 100000000")}, "lin_blo"),
        ({"hyperparams": lambda t: t.replace("[5, 3", "[9, 3")}, r"has the shape \[24, 24, 5\]"),
        ({"hyperparams": lambda t: t.replace("[5, 3", "[a, 3")}, "makes no network for embedding"),
        ({"hyperparams": lambda t: t.replace("blocks: 5", "blocks: 4")}, "lacks blocks.13.w.bias"),
        ({"hyperparams": lambda t: t.replace("s: 12", "s: 11")}, "names 12 labels, .* has 11"),
        ({"label_encoder": lambda t: t.replace("'go'", "go")}, "holds a line that is no 'label'"),
        ({"label_encoder": lambda t: t.replace("=> 9", "=> 90")}, "indices are not 0 to 11"),
        ({"label_encoder": None}, "label_encoder.txt: can't be read: No such file"),
        ({"classifier": None}, "classifier.ckpt: is missing"),
        ({"classifier": lambda w: {k: w[k] for k in w if "norm" not in k}}, "lacks DNN.*7 more"),
        ({"classifier": lambda w: list(w.values())}, "holds no state dict"),
        ({"classifier": b"nothing"}, "can't be read as tensors"),
        ({"embedding_model": b""}, "can't be read as tensors"),
    ],
)  # fmt: skip
def test_what_is_unknown_or_malformed_is_refused_by_name(directory, changed, message):
    """Nothing is guessed: the error is one line with the file, the entry, and what is wrong."""
    with pytest.raises(ExportError, match=message) as refused:
        opened(directory("xvector", **changed))

    assert "\n" not in str(refused.value)


def test_a_directory_of_another_network_is_read_by_no_family(directory):
    """An embedding model that is neither of the two is left to others."""
    folder = directory("xvector", hyperparams=lambda text: text.replace("Xvector.X", "ResNet.X"))

    assert not speechbrain_xvector.matches(Checkpoint(folder, "x"))
    assert not speechbrain_ecapa.matches(Checkpoint(folder, "x"))
    assert not speechbrain_xvector.matches(Checkpoint(FOLDER, "x"))
    with pytest.raises(ExportError, match="no family reads it"):
        opened(folder)


class Malicious:
    """What pickle would run on loading."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("name", ["embedding_model", "classifier"])
@pytest.mark.parametrize("form", ["zip", "legacy", "plain"])
def test_a_malicious_pickle_runs_nothing(directory, tmp_path, name, form):
    """A checkpoint that holds a call is refused in one line, and the call is not made."""
    made, folder = tmp_path / "made", directory("xvector")
    path, content = folder / f"{name}.ckpt", {"weight": Malicious(tmp_path / "made")}
    if form == "plain":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")

    with pytest.raises(ExportError, match=r"nothing of it was run") as refused:
        opened(folder)
    assert form == "plain" or re.search(r"holds (posix|nt|os)\.system, ", str(refused.value))
    assert "\n" not in str(refused.value)
    assert str(path) in str(refused.value)
    assert not made.exists()


def test_a_malicious_yaml_runs_nothing(directory, tmp_path):
    """Code in hyperparams.yaml is refused while families are still being asked."""
    made = tmp_path / "made"
    line = f"__set_seed: !apply:os.system ['touch {made}']\n"
    folder = directory("ecapa", hyperparams=lambda text: text + line)

    with pytest.raises(ExportError, match=r"names os\.system"):
        opened(folder)
    assert not made.exists()


def test_a_recipe_may_name_what_only_training_needs(directory):
    """Seeds, losses and optimisers of SpeechBrain and torch are data that nobody asks for."""
    recipe = (
        "seed: 1988\n__set_seed: !apply:torch.manual_seed [!ref <seed>]\n"
        "compute_cost: !name:speechbrain.nnet.losses.nll_loss\n"
        "opt_class: !name:torch.optim.Adam\n    lr: !ref <learning_rate_that_is_missing>\n"
    )
    folder = directory("xvector", hyperparams=lambda text: recipe + text)

    assert "speechbrain-xvector" == opened(folder).family


def test_weights_in_half_precision_become_float32(tmp_path):
    """Whatever floats a checkpoint stores, the graph is float32."""
    torch.save(torch.nn.Linear(2, 3).half().state_dict(), tmp_path / "a.ckpt")

    network = statedict.fill(lambda: torch.nn.Linear(2, 3), tmp_path / "a.ckpt", Path("a.yaml"))

    assert {torch.float32} == {value.dtype for value in network.state_dict().values()}
