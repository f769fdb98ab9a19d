"""Fine-tuning whole: a tiny checkpoint learns tones, is killed, goes on, is exported, and hears."""

import errno
import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import audio_files
import numpy as np
import pytest
import soundfile
import torch
from command import keywords, kws
from finetuning import RATE, TONES, ast, tone, wav2vec2, words

from export.checkpoint import Checkpoint
from export.families import Asked
from export.families import find as family
from export.training.finetuning import finetune as whole
from export.training.finetuning import network, patches, progress
from export.training.finetuning import report as reports
from export.training.finetuning.finetune import finetune
from export.training.finetuning.options import Options
from kws.errors import ConfigError, DataError, ExportError

transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")

__all__ = ["kws"]

pytestmark = pytest.mark.filterwarnings("ignore:At least one mel filter has all zero values")

QUICK = {"batch": 4, "rate": 2e-3, "threads": 1, "patience": 9}
WHOLE = Options(epochs=6, **QUICK)
SCRIPT = """
import sys
from pathlib import Path
from export.training.finetuning.finetune import finetune
from export.training.finetuning.options import Options

data, source, out = sys.argv[1:]
say = lambda text: print(text, flush=True)
finetune(data, source, Path(out), Options(epochs=6, batch=4, rate=2e-3, threads=1, patience=9), say)
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return words(tmp_path_factory.mktemp("data") / "tones", 24)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """A pre-trained wav2vec2, which has no head that classifies."""
    return wav2vec2(tmp_path_factory.mktemp("checkpoints") / "encoder")


@pytest.fixture(scope="module")
def told():
    """What was said."""
    return []


@pytest.fixture(scope="module")
def learned(data, encoder, tmp_path_factory, told):
    """A run that nothing disturbed, and its report."""
    out = tmp_path_factory.mktemp("learned") / "tones"
    report = finetune(str(data), str(encoder), out, WHOLE, told.append)
    return out, report


def test_a_headless_encoder_learns_and_tells_how_well(learned, told):
    """Over 90 % on speakers it never heard; a report, a picture, and nothing of the run is left."""
    out, report = learned
    text = "\n".join(told)
    lines = "\n".join(reports.lines(report))

    assert report.clips.accuracy.value > 0.9
    assert "test" == report.split
    assert dict.fromkeys(TONES, 16) == report.recordings["train"]
    assert 6 == report.epochs
    assert "no classification head: a new one for 3 labels" in text
    assert "the network hears 0.90 s at a time" in text
    assert re.search(r"on 1 CPU threads? an epoch takes about \d+ s", text)
    assert re.search(r"epoch 6 of 6: validation accuracy \d", text)
    assert re.search(r"high +16 +4 +\d+\.\d% +\d+\.\d% +\d+\.\d%", lines)
    assert "fewer than 20 recordings each were measured" in lines
    assert b"\x89PNG" == (out / reports.PICTURE).read_bytes()[:4]
    assert report == reports.read(out)
    assert sum(map(sum, report.clips.confusion)) == report.clips.accuracy.count
    assert not (out / "run").exists()


def test_a_run_that_was_killed_goes_on_as_if_it_had_not_been(data, encoder, learned, tmp_path):
    """The same weights come out."""
    out = tmp_path / "tones"
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, str(data), str(encoder), str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if line.startswith("epoch 3"):
                process.send_signal(signal.SIGKILL)
    states = list((out / "run").glob("checkpoint-*"))
    broken = out / "run" / "checkpoint-9999"  # as a kill in the midst of saving leaves it
    broken.mkdir()
    told = []
    report = finetune(str(data), str(encoder), out, WHOLE, told.append)
    weights = [load(folder) for folder in (learned[0], out)]

    assert -signal.SIGKILL == process.returncode
    assert states
    assert any(line.startswith("going on from step") for line in told)
    assert not any(line.startswith("epoch 2 ") for line in told)
    assert report.clips == learned[1].clips
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def load(folder):
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def test_a_run_that_has_ended_is_not_done_again_nor_mixed_with_another(data, encoder, learned):
    """The same settings give the same report; others an error, in a line."""
    told = []

    assert learned[1] == finetune(str(data), str(encoder), learned[0], WHOLE, told.append)
    assert "this run has ended already" in told[-1]
    with pytest.raises(ConfigError, match=r"another epochs \(6, now 9\)"):
        finetune(str(data), str(encoder), learned[0], Options(epochs=9, **QUICK), print)


def test_what_it_learned_is_exported_and_hears(learned, kws, tmp_path):
    """`kws export` reads the folder; the window is the one it was trained with."""
    model = tmp_path / "tones.onnx"
    exported = kws("export", learned[0], "-o", model)
    paths = [tmp_path / f"{label}.wav" for label in TONES]
    for path in paths:
        soundfile.write(path, tone(path.stem, 5_000), RATE)
    heard = [kws("classify", path, "--model", model, "--json").out for path in paths]

    assert 0 == exported.code, exported.err
    assert "hears 0.9 s" in exported.out
    assert list(TONES) == [best(line) for line in heard]


def best(text):
    scores = json.loads(text.splitlines()[0])["scores"]
    return max(scores, key=lambda each: each["score"])["label"]


@pytest.fixture(scope="module")
def spotter(tmp_path_factory):
    """An AST for 2.6 s that learns two short words and what is none."""
    folder = tmp_path_factory.mktemp("ast")
    data = words(folder / "data", 24, ["high", "low"])
    (data / "_background_").mkdir()
    for number in range(24):
        noise = audio_files.noise(RATE, seed=number) * 10 ** -(1 + number % 3)
        soundfile.write(data / "_background_" / f"{number}.wav", noise, RATE)
    told = []
    options = Options(epochs=6, batch=4, rate=3e-3, threads=1)
    report = finetune(str(data), str(ast(folder / "ast")), folder / "out", options, told.append)
    return folder / "out", report, told


def test_an_ast_learns_and_hears_short_clips_at_their_cost(spotter, kws, tmp_path):
    """Its window shrinks to the words; `kws spot` finds them in a recording, in order."""
    out, report, told = spotter
    config = json.loads((out / "config.json").read_text(encoding="utf-8"))
    model = tmp_path / "words.onnx"
    window = ["--window-s", f"{report.window_s:g}"]  # as `kws train` says at its end
    exported = kws("export", out, "-o", model, "--hop-s", "0.2", *window)
    pause = 0.003 * np.random.default_rng(4).standard_normal(2 * RATE)
    parts = [pause]
    for label in ["low", "high", "low"]:
        parts += [tone(label, 77), pause]
    soundfile.write(tmp_path / "said.wav", np.concatenate(parts), RATE)
    found = kws("spot", tmp_path / "said.wav", "--model", model, "--json", "--threshold", "0.5")

    assert report.clips.accuracy.value > 0.9
    assert any("has no names: a new head for 3 labels" in line for line in told)
    assert 80 <= config["max_length"] <= 112
    assert 0 == exported.code, exported.err
    assert ["low", "high", "low"] == keywords(found), found.err


class TestCheckpoint:
    """What can be learned from, and what can't."""

    @pytest.mark.parametrize(
        ("kind", "head"),
        [("ForCTC", "no classification head"), ("ForSequenceClassification", "differ from")],
    )
    def test_any_wav2vec2_gets_a_head(self, tmp_path, kind, head):
        """A recogniser, or a classifier of other labels."""
        folder = wav2vec2(tmp_path / "c", kind)
        found = network.load(network.source(Checkpoint(folder, "c")), ["a", "b", "c"], RATE)

        assert head in found.notes[0]
        assert found.fresh
        assert ["a", "b", "c"] == list(found.model.config.id2label.values())

    def test_labels_that_it_knows_keep_their_head_and_order(self, tmp_path):
        """The head learns on."""
        folder = ast(tmp_path / "c", ["no", "yes"])
        before = load(folder)["classifier.dense.weight"]
        found = network.load(network.source(Checkpoint(folder, "c")), ["yes", "no"], RATE)

        assert not found.fresh
        assert ["no", "yes"] == found.order
        assert torch.equal(before, found.model.classifier.dense.weight)

    def test_as_many_other_labels_get_a_new_head(self, tmp_path):
        """Equal numbers are not equal labels."""
        folder = ast(tmp_path / "c", ["no", "yes"])
        before = load(folder)["classifier.dense.weight"]
        found = network.load(network.source(Checkpoint(folder, "c")), ["ja", "nein"], RATE)

        assert "differ from the checkpoint's 2" in found.notes[0]
        assert not torch.equal(before, found.model.classifier.dense.weight)

    def test_a_whisper_that_transcribes_gives_its_encoder(self, tmp_path):
        """What it has learned is kept."""
        config = transformers.WhisperConfig(
            d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
            decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, vocab_size=64,
            max_source_positions=50, pad_token_id=0, bos_token_id=1, eos_token_id=2,
            decoder_start_token_id=1,
        )  # fmt: skip
        transformers.WhisperForConditionalGeneration(config).save_pretrained(tmp_path)
        transformers.WhisperFeatureExtractor(chunk_length=1).save_pretrained(tmp_path)
        source = network.source(Checkpoint(tmp_path, "c"))
        found = network.load(source, ["a", "b"], source.fit(9 * RATE, ["a", "b"]))
        name = "encoder.layers.0.fc1.weight"

        assert (1, RATE) == source.bounds
        assert torch.equal(load(tmp_path)[f"model.{name}"], found.model.get_parameter(name))

    def test_one_of_another_task_is_refused_in_a_line(self, tmp_path):
        """BERT does not hear."""
        small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
        transformers.BertModel(
            transformers.BertConfig(**small, intermediate_size=8, vocab_size=9)
        ).save_pretrained(tmp_path / "bert")

        with pytest.raises(ExportError, match="is a bert, which does not classify audio"):
            network.source(Checkpoint(tmp_path / "bert", "bert"))
        with pytest.raises(ExportError, match="names no model_type"):
            network.source(Checkpoint(tmp_path, "nothing"))

    def test_weights_that_are_missing_or_cut_off_are_told(self, encoder, tmp_path):
        """In a line, with the folder's name."""
        folder = shutil.copytree(encoder, tmp_path / "c")
        weights = folder / "model.safetensors"
        whole = weights.read_bytes()
        source = network.source(Checkpoint(folder, "c"))
        weights.write_bytes(whole[:2_000])
        with pytest.raises(ExportError, match="c: transformers can't load it"):
            network.load(source, ["a", "b"], RATE)
        weights.unlink()
        with pytest.raises(ExportError, match="c: has no weights"):
            network.load(source, ["a", "b"], RATE)
        (folder / "preprocessor_config.json").unlink()
        with pytest.raises(ExportError, match=r"has no preprocessor_config\.json"):
            network.source(Checkpoint(folder, "c"))

    def test_an_encoder_that_is_incomplete_is_refused(self, encoder, tmp_path):
        """Only a head may be missing."""
        from safetensors.torch import save_file

        folder = shutil.copytree(encoder, tmp_path / "c")
        kept = {name: w for name, w in load(folder).items() if "layers.0.attention" not in name}
        save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})

        with pytest.raises(ExportError, match="encoder's weights lack wav2vec2"):
            network.load(network.source(Checkpoint(folder, "c")), ["a", "b"], RATE)

    def test_a_window_that_it_cannot_hear_is_told(self, data, encoder, tmp_path):
        """With what it can."""
        options = Options(window_s=99.0, **QUICK)

        with pytest.raises(ConfigError, match=r"--window-s 99: encoder hears 0\.25 to 30\.00 s"):
            finetune(str(data), str(encoder), tmp_path / "out", options, print)


def test_cut_patches_are_those_in_the_middle():
    """Rows stay rows; the two tokens stay."""
    places = torch.cat([torch.zeros(1, 2, 1), torch.arange(12.0).reshape(1, 12, 1)], 1)

    cut = patches._middle(places, columns=4, wanted=2)

    assert [0, 0, 1, 2, 5, 6, 9, 10] == cut.flatten().tolist()


def test_the_loss_decides_between_accuracies_that_hardly_differ():
    """Of a dozen recordings one more or less says nothing; of ten thousand it does."""
    scores = [(0.83, 1.07), (0.75, 0.40), (0.75, 0.45)]

    assert 1 == progress.best_of(scores, 12)
    assert 0 == progress.best_of(scores, 10_000)


def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    "where",
    [(transformers.Trainer, "_save_optimizer_and_scheduler"), (reports, "save")],
    ids=["a state", "the result"],
)
def test_on_a_full_disk_what_was_learned_is_kept(data, encoder, tmp_path, where):
    """One line; with room made, the same command goes on."""
    out, options, told = tmp_path / "tones", Options(epochs=1, **QUICK), []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(*where, full)
        with pytest.raises(DataError, match="No space left on device; make room") as caught:
            finetune(str(data), str(encoder), out, options, print)
    report = finetune(str(data), str(encoder), out, options, told.append)

    assert "\n" not in str(caught.value)
    assert str(out) in str(caught.value)
    assert 1 == report.epochs
    assert (where[0] is not reports) == any(line.startswith("epoch 1") for line in told)


def test_a_disk_that_is_too_small_is_told_before_anything_is_done(
    data, encoder, tmp_path, monkeypatch
):
    """With what is needed."""
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)

    with pytest.raises(DataError, match=r"0\.0 GB are free, training needs"):
        finetune(str(data), str(encoder), tmp_path / "out", WHOLE, print)


def test_a_folder_that_holds_something_else_is_left_alone(data, encoder):
    """A checkpoint is never written over."""
    with pytest.raises(ConfigError, match="holds a checkpoint already"):
        finetune(str(data), str(encoder), Path(encoder), WHOLE, print)


def test_ctrl_c_says_how_to_go_on(data, encoder, tmp_path, monkeypatch):
    """And ends as it always does."""

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(whole.sources, "locate", stop)
    told = []
    with pytest.raises(KeyboardInterrupt):
        finetune(str(data), str(encoder), tmp_path / "out", WHOLE, told.append)

    assert "the same command goes on" in told[-1]


def test_the_result_is_read_by_the_family_of_its_checkpoint(learned):
    """As any other fine-tuned checkpoint: labels, softmax, window."""
    checkpoint = Checkpoint(learned[0], "tones")
    original = family(checkpoint).read(checkpoint, Asked())

    assert sorted(TONES) == original.labels
    assert "softmax" == original.activation
    assert round(0.9 * RATE) == original.window
