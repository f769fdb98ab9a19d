"""Own words: from recordings or a text alone to a file that spots them, or to one plain line."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import kws
from export import exporter, synthesis
from export.training import state
from export.training.augment import throat
from export.training.own import material, outcome, own, parts, start, substitutes
from export.training.own.own import Options
from kws.card import Rate
from kws.errors import ConfigError, DataError
from kws.evaluate import results

RATE = 16_000
VOICES = Path(__file__).parent / "words"
UNSEEN = "flite-slt"
SMALL = """
[strips]
hops = 45
epoch = 96
words = 0.7
speech = 0.2
noise = 0.1
strength = 0.4
over_speech = 0.25
masks = false
[training]
epochs = 14
batch = 12
rate = 3e-3
decay = 1e-2
smoothing = 0.03
average = 0.9
[synthesis]
words = 2
near = 2
speech_s = 5.0
"""


def said(voice, word):
    return soundfile.read(VOICES / voice / f"{word}.opus", dtype="float32")[0]


def quiet(seconds):
    noise = np.random.default_rng(1).standard_normal(round(seconds * RATE))
    return (noise * 1e-3).astype(np.float32)


def write(path, audio):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, audio, RATE)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two words by seven voices, other words as background, noise, a room."""
    folder = tmp_path_factory.mktemp("data")
    voices = sorted(path.name for path in VOICES.iterdir() if path.is_dir())
    for voice in voices:
        if voice != UNSEEN:
            for word in ("marvin", "seven"):
                write(folder / "words" / word / f"{voice}.wav", said(voice, word))
        talk = [
            part
            for word in ("happy", "house", "nothing")
            for part in (said(voice, word), quiet(0.3))
        ]
        write(folder / "speech" / f"{voice}.flac", np.concatenate(talk))
    write(folder / "noise" / "room.wav", 5 * quiet(9))
    write(folder / "rooms" / "hall.wav", np.exp(-np.arange(2000) / 300.0).astype(np.float32))
    return folder


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A recipe that takes seconds."""
    recipe = tmp_path / "small.toml"
    recipe.write_text(SMALL)
    monkeypatch.setattr(own, "RECIPE", recipe)


@pytest.fixture
def tiny(small):
    """A recipe that teaches nothing, in a moment."""
    own.RECIPE.write_text(SMALL.replace("epoch = 96", "epoch = 24"))


def options(data, **changes):
    given = {"speech": data / "speech", "noise": data / "noise", "rooms": data / "rooms"}
    return Options(**{"wake": ["marvin"], "threads": 1, **given, **changes})


def test_own_words_are_learnt_exported_and_spotted(data, small, tmp_path):
    """A voice that taught nothing says both words: the exported file hears which is which."""
    lines = []

    found = own.train(data / "words", tmp_path / "out", options(data), lines.append)
    card = exporter.export(
        found.checkpoint, tmp_path / "mine.onnx", exporter.Options(most=12), lines.append
    )
    stream = [quiet(1.5)]
    for word in ("marvin", "seven", "house"):
        stream += [said(UNSEEN, word), quiet(1.5)]
    write(tmp_path / "unseen.wav", np.concatenate(stream))
    # Half a minute of background finds no threshold worth the name.
    heard = kws.spot(tmp_path / "unseen.wav", model=tmp_path / "mine.onnx", threshold=0.5)

    assert ["marvin", "seven"] == [each.keyword for each in heard]
    assert {"marvin": "wake", "seven": "keyword"} == {x.name: x.role for x in card.keywords}
    assert {name: word.threshold for name, word in found.words.items()} == {
        name: level.value for name, level in card.thresholds.items()
    }
    assert all(0.2 < label.median_length_s < 0.9 for label in card.keywords)
    assert "learned" == card.gate.name
    assert 7 == found.words["seven"].recordings + found.words["seven"].misses.count
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["words"].keys() == {"marvin", "seven"}
    assert report["false_alarms"]["hours"] == pytest.approx(found.background.aside, abs=1e-3)
    assert any("false alarms" in line for line in found.weak)
    again = start.read(kws.load(tmp_path / "mine.onnx"))
    assert 4 == again.config.labels  # what was trained can be trained further


def test_a_killed_training_goes_on(data, tiny, tmp_path):
    """Killed in the midst, then run again: the weights are those of an unbroken run."""
    code = (
        "import sys; from pathlib import Path; from export.training.own import own;"
        "own.RECIPE = Path(sys.argv[3]); data = Path(sys.argv[1]);"
        "own.train(data / 'words', Path(sys.argv[2]), own.Options(wake=['marvin'], threads=1,"
        "speech=data / 'speech', noise=data / 'noise', rooms=data / 'rooms', epochs=2), print)"
    )
    state = tmp_path / "broken" / "state" / "checkpoint.pt"
    begun = subprocess.Popen(
        [sys.executable, "-c", code, str(data), str(tmp_path / "broken"), str(own.RECIPE)],
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    while begun.poll() is None and not state.is_file():
        time.sleep(0.02)
    os.killpg(begun.pid, signal.SIGKILL)
    begun.wait()
    assert not (tmp_path / "broken" / "checkpoint.pt").exists()
    lines = []

    own.train(data / "words", tmp_path / "broken", options(data, epochs=2), lines.append)
    own.train(data / "words", tmp_path / "whole", options(data, epochs=2), [].append)
    broken, whole = (
        torch.load(tmp_path / name / "checkpoint.pt", weights_only=True)["average"]
        for name in ("broken", "whole")
    )

    assert all(torch.equal(broken[name], whole[name]) for name in whole)
    assert not any("epoch 1 " in line for line in lines)
    with pytest.raises(DataError, match="other recordings or options"):
        own.train(data / "words", tmp_path / "whole", options(data, epochs=3), [].append)


def test_the_start_is_the_shipped_network(data):
    """Dequantised, it scores as the file does; a label that it knew keeps its weights."""
    from export import stream

    model = kws.load()
    network = start.read(model).eval()
    clip = np.concatenate([quiet(0.5), said(UNSEEN, "computer"), quiet(0.5)])
    changed = start.with_labels(network, model.labels, ["marvin", "go", "_unknown_"], 1)

    found, wanted = stream.window_scores(network, clip), stream.stream_scores(model, clip)
    assert found == pytest.approx(wanted, abs=1e-4)
    assert torch.equal(
        network.classify.weight[model.labels.index("go")], changed.classify.weight[1]
    )
    assert 3 == changed.config.labels


def folder_of(path, **counts):
    for label, count in counts.items():
        (path / label).mkdir(parents=True)
        for number in range(count):
            write(
                path / label / f"{number}.wav", 0.1 * np.sin(np.arange(8000) * (0.1 + number / 99))
            )
    return path


@pytest.mark.parametrize(
    ("counts", "changes", "line"),
    [
        ({"hey": 3}, {}, "hey: 3 recordings; 5 are the least"),
        ({"hey": 6, "you": 0}, {}, "you: .*without audio files"),
        ({"hey": 6}, {"wake": ["you"]}, "--wake you: no such word; there are hey"),
        ({"hey": 5, "you": 5}, {}, "same recording as .* under another word"),
        ({"Hey You": 5, "hey_you": 5}, {}, "are the same word"),
        ({"_unknown_": 5}, {}, "no words; give <word>"),
        ({"hey": 6}, {"phrases": ["?!"]}, "holds no word"),
    ],
)
def test_what_cannot_be_learnt_from_is_told_in_one_line(tmp_path, counts, changes, line):
    """Before anything is trained, with the folder's or the option's name."""
    folder_of(tmp_path / "words", **counts)

    with pytest.raises((DataError, ConfigError), match=line) as raised:
        own.train(tmp_path / "words", tmp_path / "out", Options(**changes), [].append)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_a_full_disk_loses_nothing(tmp_path, monkeypatch):
    """What was kept before stays; the line names the file."""
    state.save({"epoch": 1}, tmp_path / "checkpoint.pt")

    def full(what, path):
        path.write_bytes(b"half")
        raise RuntimeError("PytorchStreamWriter failed writing file")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(DataError, match=r"checkpoint.pt: can't be written .* make room"):
        state.save({"epoch": 2}, tmp_path / "checkpoint.pt")

    assert 1 == torch.load(tmp_path / "checkpoint.pt", weights_only=True)["epoch"]
    assert ["checkpoint.pt"] == [path.name for path in tmp_path.iterdir()]


def test_little_speech_is_refused(tmp_path):
    """Seconds of it can't be parted."""
    folder_of(tmp_path / "words", hey=6)
    write(tmp_path / "speech" / "short.wav", quiet(4))

    with pytest.raises(DataError, match="speech: 4 s of speech; minutes are the least"):
        own.train(tmp_path / "words", tmp_path / "o", Options(speech=tmp_path / "speech"), print)


def test_a_broken_file_is_told_of_and_left_out(tmp_path):
    """The others still teach; a folder of broken ones is an error."""
    folder_of(tmp_path, hey=5)
    (tmp_path / "hey" / "broken.wav").write_bytes(b"RIFF")
    (tmp_path / "hey" / "empty.wav").write_bytes(b"")
    lines = []

    found = material.read_words(tmp_path, lines.append)

    assert 5 == len(found.of["hey"])
    assert 2 == len(lines)
    assert all(".wav" in line and "left out" in line for line in lines)
    for path in (tmp_path / "hey").glob("[0-9].wav"):
        path.unlink()
    with pytest.raises(DataError, match="none of its 2 files"):
        material.read_words(tmp_path, lines.append)


def test_a_speaker_is_learnt_from_or_kept_aside(tmp_path):
    """By what stands before `_nohash_`, or by the folder below the word's."""
    for speaker in range(6):
        for number in range(2):
            audio = 0.1 * np.sin(np.arange(8000) * (0.1 + speaker / 50 + number / 999))
            write(tmp_path / "hey" / f"s{speaker}_nohash_{number}.wav", audio)
            write(tmp_path / "you" / f"s{speaker}" / f"{number}.wav", audio[:7000])
    found = material.read_words(tmp_path, [].append)

    for label in ("hey", "you"):
        kept, apart = parts.aside(found.of[label], None, seed=1)
        assert 3 >= len(apart) >= 2
        assert not {r.speaker for r in kept} & {r.speaker for r in apart}
        assert 12 == len(kept) + len(apart)


def test_background_is_parted_by_speaker_or_in_time():
    """Learning, thresholds, measuring: each has some, whether files are many or one."""
    audio = substitutes.noise(1)[0].audio
    noise = [material.Recording(audio, str(n), str(n)) for n in range(20)]
    one = [material.Recording(audio, "long", "long") for _ in range(10)]

    for pieces in (noise, one):
        three = parts.in_parts(pieces, seed=1)
        assert all(three)
        assert len(pieces) == sum(map(len, three))
        assert len(three[0]) > len(three[1]) >= len(three[2])


def test_another_throat_moves_formants_and_leaves_time():
    """Peaks move by at most two mels; every frame stays where it was."""
    mels = torch.zeros(64, 40, 9)
    mels[:, 20, 4] = 1
    moved = throat(mels, torch.Generator().manual_seed(1))
    peaks = moved[:, :, 4].argmax(1)

    assert (peaks - 20).abs().max() in (2, 3)
    assert 0 == moved[:, :, :4].abs().max() == moved[:, :, 5:].abs().max()
    assert 0 < (moved == mels).all(2).all(1).float().mean() < 1


def test_a_bad_result_is_not_hidden():
    """Missed words, machines alone, short background: each is told, with its numbers."""
    word = outcome.WordOutcome("wake", 20, 0, 0.9, results.share(4, 5))
    machine = outcome.WordOutcome("wake", 0, 90, 0.9, results.share(0, 12), by_machines=True)
    found = outcome.judged(
        outcome.Result(
            "checkpoint.pt",
            {"hey": word, "you": machine},
            outcome.Background(0.1, 0.05, 0.02, synthesised_speech=True),
            Rate(100.0, 2, 0.02, 12.0, 361.0),
            1.0,
            60.0,
            "cpu",
        )
    )

    told = "\n".join(found.lines())
    for line in ("hey: 4 of 5 were missed", "you: synthesised voices alone", "2 false alarms",
                 "0.02 h kept aside", "100.0 false alarms an hour, 1 were wanted"):  # fmt: skip
        assert line in told


@pytest.mark.skipif(not shutil.which("flite"), reason="needs flite")
def test_a_text_alone_is_enough_to_begin_with(tiny, tmp_path, monkeypatch):
    """Voices say it; the report calls that weak, and so it calls the background."""
    lines = []
    monkeypatch.setattr(substitutes, "NOISES", 4)
    cast = [synthesis.Voice("flite", name) for name in ("slt", "rms", "kal16")]
    for room in (synthesis, synthesis.renderings):
        monkeypatch.setattr(room, "installed", lambda: cast)
    monkeypatch.setattr(synthesis, "pronounces", lambda: False)

    found = own.train(
        None, tmp_path, Options(phrases=["Hey Marvin"], threads=1, epochs=1), lines.append
    )

    assert ["hey_marvin"] == list(found.words)
    assert 0 == found.words["hey_marvin"].recordings < found.words["hey_marvin"].synthesised
    assert any("synthesised voices alone" in line for line in found.weak)
    assert 3 == sum(line.startswith("warning: no --") for line in lines)
    assert any("found by spelling" in line for line in lines)
    label = torch.load(found.checkpoint, weights_only=True)["known"]
    assert "hey marvin" in label.lower()
