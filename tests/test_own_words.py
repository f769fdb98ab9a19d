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
import onnxruntime
import pytest
import soundfile
import torch

import kws
from export.synthesis import engines
from export.training import state
from export.training.augment import throat
from export.training.own import (
    calibration,
    features,
    gather,
    material,
    measuring,
    outcome,
    own,
    pack,
    parts,
    substitutes,
    windows,
)
from export.training.own.encoder import WINDOW, Encoder
from export.training.own.own import Options, Recipe
from export.training.strips import Word
from kws import card as cards
from kws.card import Rate
from kws.errors import ConfigError, DataError, ModelError
from kws.evaluate import results
from kws.sensitivity import logit

RATE = 16_000
VOICES = Path(__file__).parent / "words"
UNSEEN = "flite-slt"
SMALL = Recipe(
    renderings=4,
    near_words=2,
    near_renderings=1,
    positives=300,
    negatives=90,
    own_negatives=40,
    folds=2,
    width=48,
    dropout=0.1,
    batch=48,
    epochs=16,
)
TINY = Recipe(
    renderings=3,
    near_words=1,
    near_renderings=1,
    positives=8,
    negatives=4,
    own_negatives=4,
    folds=2,
    width=8,
    epochs=1,
)


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
    for voice in sorted(path.name for path in VOICES.iterdir() if path.is_dir()):
        if voice != UNSEEN:
            for word in ("nothing", "seven"):
                write(folder / "words" / word / f"{voice}.wav", said(voice, word))
        talk = [
            part
            for word in ("happy", "house", "marvin")
            for part in (said(voice, word), quiet(0.3))
        ]
        write(folder / "speech" / f"{voice}.flac", np.concatenate(talk))
    write(folder / "noise" / "room.wav", 5 * quiet(9))
    write(folder / "rooms" / "hall.wav", np.exp(-np.arange(2000) / 300.0).astype(np.float32))
    return folder


@pytest.fixture(scope="module", autouse=True)
def few_negatives():
    """A part of the pack is enough, and takes no time."""
    whole = pack.load(Encoder().id)
    less = pack.Pack(
        whole.mean,
        whole.matrix,
        whole.step,
        whole.learning[::8],
        whole.calibration[::8],
        whole.hours,
        whole.encoder,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pack, "load", lambda *_: less)
        yield


def options(data, **changes):
    given = {"speech": data / "speech", "noise": data / "noise", "rooms": data / "rooms"}
    return Options(**{"wake": ["nothing"], "threads": 1, "synthesise": False, **given, **changes})


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """What a small training gives: its result, and the model file."""
    out = tmp_path_factory.mktemp("trained") / "mine.onnx"
    return own.train(data / "words", out, options(data), [].append, SMALL), out


def track(path, audio):
    """Return a head's scores [hops, labels] at every hop of a recording."""
    heard = Encoder().features(windows.sliding(audio, measuring.HOP))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(["scores"], {"features": heard})[0]


def test_own_words_are_learnt_and_told_apart(trained):
    """A voice that taught nothing says each word: its score is the highest of all."""
    _, path = trained

    for place, word in enumerate(("nothing", "seven")):
        audio = np.concatenate([quiet(0.6), said(UNSEEN, word), quiet(0.6)])
        best = track(path, audio)[:, :2].max(0)
        assert place == best.argmax()
        assert best[place] > 0.5
    other = track(path, np.concatenate([quiet(0.6), said(UNSEEN, "house"), quiet(0.6)]))
    assert other[:, :2].max() < 0.5


def test_the_file_is_a_head_with_its_card(trained):
    """One input, the features of any number of windows; thresholds, roles, the encoder's id."""
    found, path = trained
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    text = session.get_modelmeta().custom_metadata_map[cards.KEY]
    card = cards.decode(text, where=str(path))

    [node] = session.get_inputs()
    assert "features" == node.name
    assert [20, 384] == node.shape[1:]
    for batch in (1, 3):
        heard = np.zeros((batch, 20, 384), np.float32)
        scores, _ = session.run(["scores", "embedding"], {"features": heard})
        assert (batch, 3) == scores.shape
        assert np.ones(batch) == pytest.approx(scores.sum(1), abs=1e-5)
    assert Encoder().id == card.encoder
    assert "window" == card.kind
    assert WINDOW % card.hop == 0
    assert {"nothing": "wake", "seven": "keyword", "_unknown_": "background"} == {
        label.name: label.role for label in card.labels
    }
    assert {name: word.threshold for name, word in found.words.items()} == {
        name: level.value for name, level in card.thresholds.items()
    }
    assert all(0.2 < label.median_length_s < 0.9 for label in card.keywords)
    assert {"wake", "keyword"} == {point.role for point in card.operating_points}
    assert path.stat().st_size < 400_000


def test_the_result_is_told_and_kept(trained):
    """Each recording was kept aside once; hours stand beside the false alarms; lines are short."""
    found, path = trained
    report = json.loads((path.with_suffix(".train") / "report.json").read_text())

    assert report["words"].keys() == {"nothing", "seven"}
    assert {7} == {word.misses.count for word in found.words.values()}
    assert found.false_alarms.hours == pytest.approx(found.background.aside, abs=2e-3)
    assert all(len(line) <= 80 for line in found.lines())
    assert any("kept aside" in line for line in found.lines())


def test_the_same_file_is_spotted_live(trained, tmp_path):
    """The chain hears what the training measured: both words of an unseen voice, nothing else."""
    pytest.importorskip("kws.encoder", reason="this kws can't run heads yet")
    _, path = trained
    stream = [quiet(1.5)]
    for word in ("nothing", "seven", "house"):
        stream += [said(UNSEEN, word), quiet(1.5)]
    write(tmp_path / "unseen.wav", np.concatenate(stream))

    heard = kws.spot(tmp_path / "unseen.wav", model=path, threshold=0.5)

    assert ["nothing", "seven"] == [each.keyword for each in heard]


def test_a_killed_training_goes_on(data, tmp_path):
    """Killed in the midst, then run again: what was computed stays, the file is the same."""
    code = (
        "import sys; from pathlib import Path; from export.training.own import own, features;"
        "from tests.test_own_words import TINY, options; features.BLOCK = 8;"
        "data = Path(sys.argv[1]);"
        "own.train(data / 'words', Path(sys.argv[2]), options(data), print, TINY)"
    )
    begun = subprocess.Popen(
        [sys.executable, "-c", code, str(data), str(tmp_path / "broken.onnx")],
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        cwd=Path(__file__).parent.parent,
    )
    kept = tmp_path / "broken.train"
    while begun.poll() is None and not list(kept.glob("features-*.npy")):
        time.sleep(0.02)
    os.killpg(begun.pid, signal.SIGKILL)
    begun.wait()
    assert not (tmp_path / "broken.onnx").exists()
    before = {path: path.stat().st_mtime_ns for path in kept.glob("features-*.npy")}
    assert before

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "BLOCK", 8)
        for name in ("broken", "whole"):
            own.train(data / "words", tmp_path / f"{name}.onnx", options(data), [].append, TINY)

    assert before == {path: path.stat().st_mtime_ns for path in before}
    audio = said(UNSEEN, "seven")
    broken, whole = (track(tmp_path / f"{name}.onnx", audio) for name in ("broken", "whole"))
    assert np.array_equal(broken, whole)


def folder_of(path, seconds=0.5, **counts):
    for label, count in counts.items():
        (path / label).mkdir(parents=True)
        for number in range(count):
            tone = 0.1 * np.sin(np.arange(round(seconds * RATE)) * (0.1 + number / 99))
            write(path / label / f"{number}.wav", tone)
    return path


@pytest.mark.parametrize(
    ("counts", "changes", "line"),
    [
        ({"zorblax": 2}, {}, r"zorblax: 2 recordings; 3 are the least \(kws record 'zorblax' -n 2"),
        ({"zorblax": 6, "quux": 0}, {}, "quux: .*without audio files"),
        ({"zorblax": 6}, {"wake": ["quux"]}, "--wake quux: no such word; there are zorblax"),
        ({"zorblax": 5, "quux": 5}, {}, "same recording as .* under another word"),
        ({"Zor Blax": 5, "zor_blax": 5}, {}, "are the same word"),
        ({"_unknown_": 5}, {}, "no words; give <word>"),
        ({"zorblax": 6}, {"phrases": ["?!"]}, "holds no word"),
        ({}, {"phrases": ["turn on the lights in the kitchen"]}, "is a sentence; a word or"),
        ({"computer": 6}, {}, "computer: the bundled model knows this word already"),
        ({"know": 6}, {}, "know: sounds like no, which the bundled model knows"),
        ({}, {"phrases": ["Go!"]}, "go: the bundled model knows this word already"),
        ({"zorblax": 3}, {"pronunciations": {"quux": "k"}}, "--say quux=.*: no such phrase"),
    ],
)
def test_what_cannot_be_learnt_from_is_told_in_one_line(tmp_path, counts, changes, line):
    """Before anything is computed, with the folder's or the option's name."""
    words = folder_of(tmp_path / "words", **counts) if counts else None

    with pytest.raises((DataError, ConfigError), match=line) as raised:
        own.train(words, tmp_path / "out.onnx", Options(synthesise=False, **changes), [].append)
    assert "\n" not in str(raised.value)
    assert [path for path in tmp_path.iterdir() if path.name != "words"] == []


@pytest.mark.parametrize("phrase", ["okay computer", "lights on", "zorblax"])
def test_a_phrase_may_hold_one_of_our_words(phrase):
    """It is another phrase: only what sounds the same as a whole is refused."""
    gather._check_known(["label"], {"label": phrase})


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda number: quiet(1.0) * 0.01, "is silent"),
        (lambda number: np.sin(np.arange(4 * RATE) * (0.1 + number / 50)) / 3, "talk, music or"),
    ],
)
def test_recordings_without_a_word_are_left_out(tmp_path, make, line):
    """Silence and music get a line each; with too few others the training ends there."""
    for number in range(4):
        write(tmp_path / "words" / "zorblax" / f"{number}.wav", make(number) + 1e-4 * number)
    lines = []

    with pytest.raises(DataError, match="0 of 4 recordings hold one clear word; 3 are the least"):
        own.train(
            tmp_path / "words", tmp_path / "o.onnx", Options(synthesise=False), lines.append, TINY
        )

    assert 4 == sum(line in each and "left out" in each for each in lines)


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
    folder_of(tmp_path / "words", zorblax=6)
    write(tmp_path / "speech" / "short.wav", quiet(4))
    asked = Options(speech=tmp_path / "speech", synthesise=False)

    with pytest.raises(DataError, match="speech: 4 s of speech; minutes are the least"):
        own.train(tmp_path / "words", tmp_path / "o.onnx", asked, print)


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


def click(samples=8000, first=3000, last=6000):
    audio = np.zeros(samples, np.int16)
    audio[first:last] = 8000 * np.sign(np.sin(np.arange(last - first)))
    return Word(audio, first, last, 0)


def test_a_word_ends_shortly_before_its_window_does():
    """By 0.05 to 0.5 s; a window in its midst ends before the word does."""
    mixer = windows.Mixer([], [], [])

    for number in range(30):
        heard = mixer.word(click(), np.random.default_rng(number))
        assert heard.shape == (WINDOW,)
        assert np.abs(heard).max() <= 1
        loud = np.flatnonzero(np.abs(heard) > 0.5 * np.abs(heard).max())
        assert 0.03 * RATE <= WINDOW - loud[-1] <= 0.55 * RATE
        cut = mixer.unfinished(click(), np.random.default_rng(number))
        loud = np.flatnonzero(np.abs(cut) > 0.3 * np.abs(cut).max())
        assert WINDOW - loud[-1] < 0.03 * RATE
    again = mixer.word(click(), np.random.default_rng(29))
    assert np.array_equal(heard, again)


def test_a_part_of_a_word_is_shorter_than_the_word():
    """The first part ends early, the last begins late; neither is the whole."""
    for number in range(20):
        part = windows.halves(click(), np.random.default_rng(number))
        assert 0 < part.last - part.first < 0.75 * 3000
        assert part.last <= len(part.audio)


def test_recordings_count_as_much_as_renderings():
    """Three recordings teach as many windows as sixty renderings."""
    mixer = windows.Mixer([], [], [])
    recorded = [(number, click()) for number in range(3)]
    rendered = [(number, click()) for number in range(3, 63)]
    planned = features.plan(
        [features.Sources(recorded, rendered)], [[]], mixer, positives=200, negatives=40, seed=1
    )

    positives = [each for each in planned if each.label == 0]
    assert 200 == len(positives)
    assert 100 == sum(each.source < 3 for each in positives)
    assert all(each.label == 1 for each in planned[200:])


def test_a_tail_gives_the_rate_that_was_asked_for():
    """Exponential log-odds: the threshold found from few is near the true one of that rate."""
    rng = np.random.default_rng(1)
    per_hour = 22_500.0
    errors = []
    for _ in range(20):
        levels = -4 + rng.exponential(0.8, 1500)
        tail = calibration.fit(1 / (1 + np.exp(-levels)).astype(np.float32), per_hour)
        found = calibration.thresholds({"one": tail, "two": tail}, 1.0)
        true = -4 + 0.8 * np.log(per_hour / calibration.HOPS_AN_EVENT / 0.5)
        errors.append(logit(found["one"]) - true)

    assert -1.0 < np.mean(errors) < 0.4  # a little lower: real tails end sooner than these
    assert tail.per_hour(3.0) > tail.per_hour(4.0) > 0
    assert 0.5 == pytest.approx(tail.per_hour(tail.level(0.5)))


def test_the_pack_is_kept_small_and_belongs_to_its_encoder(tmp_path):
    """Features come back within half a step; another encoder's pack is refused."""
    rng = np.random.default_rng(1)
    heard = rng.standard_normal((30, 20, 384)).astype(np.float32)
    matrix = np.linalg.qr(rng.standard_normal((384, 8)))[0].astype(np.float16)
    empty = np.zeros((0, 20, 8), np.int8)
    made = pack.Pack(heard.mean((0, 1)), matrix.astype(np.float32), 0.5, empty, empty, 1.0, "abc")
    codes = made.codes(heard)
    full = pack.Pack(made.mean, made.matrix, 0.5, codes, codes[:3], 1.0, "abc")

    full.save(tmp_path / "pack.npz")
    loaded = ORIGINAL_LOAD("abc", tmp_path / "pack.npz")

    assert np.array_equal(codes, loaded.learning)
    assert np.array_equal(codes[:3], loaded.calibration)
    exact = (heard - made.mean) @ made.matrix
    assert np.abs(loaded.values(loaded.learning) - exact).max() <= 0.2501
    with pytest.raises(ModelError, match=r"pack.npz: belongs to another version's encoder"):
        ORIGINAL_LOAD("def", tmp_path / "pack.npz")
    (tmp_path / "pack.npz").write_bytes(b"none")
    with pytest.raises(ModelError, match=r"pack.npz: can't be read"):
        ORIGINAL_LOAD("abc", tmp_path / "pack.npz")


ORIGINAL_LOAD = pack.load


def test_the_shipped_pack_fits_the_shipped_encoder():
    """It has windows to learn from and for thresholds, and takes at most 2.6 MB."""
    found = ORIGINAL_LOAD(Encoder().id)

    assert len(found.learning) > 2000
    assert len(found.calibration) > 1000
    assert found.hours > 2
    assert pack.PACK.stat().st_size <= 2_600_000


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
    """Missed words, voices alone, short background: each is told, with its numbers."""
    word = outcome.WordOutcome("wake", 20, 0, 0.6, 0.9, results.share(4, 5))
    machine = outcome.WordOutcome("wake", 0, 60, 0.6, 0.9, results.share(0, 24), by_machines=True)
    found = outcome.judged(
        outcome.Result(
            "mine.onnx",
            {"hey": word, "you": machine},
            outcome.Background(1400, 2.2, 0.1, 0.05, 0.02),
            Rate(100.0, 2, 0.02, 12.0, 361.0),
            1.0,
            60.0,
            50.0,
        )
    )

    told = " ".join(" ".join(found.lines()).split())
    for line in ("hey: 4 of 5 were missed", "you: voices alone", "2 in 0.02 h of yours",
                 "1400 windows", "100.0 false alarms an hour, 1 were wanted"):  # fmt: skip
        assert line in told


@pytest.mark.skipif(not shutil.which("flite"), reason="needs flite")
def test_a_text_alone_is_enough_to_begin_with(tmp_path, monkeypatch):
    """Voices say it and its near-words; the report calls that weak."""
    lines = []
    monkeypatch.setattr(engines, "available", lambda: [engines.engine("flite")])

    found = own.train(
        None, tmp_path / "m.onnx", Options(phrases=["Hey Marvin"], threads=1), lines.append, TINY
    )

    assert ["hey_marvin"] == list(found.words)
    assert 0 == found.words["hey_marvin"].recordings < found.words["hey_marvin"].synthesised
    assert found.words["hey_marvin"].by_machines
    assert found.false_alarms is None
    assert ["flite"] == found.voices
    assert any("voices alone" in line for line in found.weak)
    assert any("near-words" in line for line in lines)
