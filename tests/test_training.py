"""Training: what the network is told, and the whole run on a few made-up recordings."""

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import tomli as tomllib
import torch

from benchmarks import folds
from export.training import augment, calibrate, lessons, prior, recordings
from export.training.__main__ import main
from export.training.leaving import FOLDS, NOTHING, Leaving, fold_of
from export.training.network import Config, XVector
from export.training.recordings import Clip
from export.training.strips import FORGET_S, IGNORE, Composer, Speech, Word
from export.training.train import Trainer
from export.training.vocabulary import (
    COMMANDS,
    HELD_OUT,
    LABELS,
    SILENCE,
    UNKNOWN,
    WAKE_WORDS,
    holds_keyword,
)
from kws import load
from kws.errors import ConfigError, DataError
from kws.evaluate import match

RATE, HOP = 16_000, 1280
COLUMNS = ["shard", "start", "samples", "label", "split", "speaker", "source", "name", "text"]


@pytest.mark.parametrize(
    "text", ["Turn RIGHT now", "I know it", "she was going", "computer's", "the write-up", "Alexa!"]
)
def test_our_words_their_homophones_and_inflections_are_no_negatives(text):
    """Such an utterance must not be taught as background."""
    assert holds_keyword(text)


@pytest.mark.parametrize("text", ["unknown upon one", "gone often", "nope office", "commuter"])
def test_near_words_that_sound_different_are_negatives(text):
    """They are the best ones."""
    assert not holds_keyword(text)


def tone(seconds: float, seed: int, level: float = 0.2) -> np.ndarray:
    """A second of faint noise with a tone in the middle, int16."""
    rng = np.random.default_rng(seed)
    audio = rng.normal(0, 0.001, RATE)
    first = (RATE - round(seconds * RATE)) // 2
    at = np.arange(round(seconds * RATE))
    audio[first : first + len(at)] += level * np.sin(at * (0.1 + 0.02 * (seed % 20)))
    return (audio * 32767).astype(np.int16)


@pytest.fixture
def composer() -> Composer:
    """One word a label, from sample 4000 to 12000 of its second."""
    word = [[Word(tone(0.5, i), 4000, 12_000, i)] for i in range(UNKNOWN + 1)]
    noise = np.random.default_rng(1).normal(0, 500, 80_000).astype(np.int16)
    return Composer(word, [Speech(noise)] * 4, [noise], 51 * HOP, HOP)


def test_a_word_is_taught_from_its_end_on_and_never_before_it_is_heard(composer):
    """Partly heard: background. Ending: not judged. After the end: the word, for half a second."""
    for seed in range(20):
        strip = composer.word_strip(np.random.default_rng(seed))
        said = [t for t in np.unique(strip.targets) if 0 <= t < UNKNOWN]
        for label in said:
            hops = np.flatnonzero(strip.targets == label)
            first = (hops[0] + 1) * HOP
            loud = np.flatnonzero(np.abs(strip.words[:first]) > 500)
            assert len(loud)
            assert 0 <= first - loud[-1] <= 0.05 * RATE + 2 * HOP
            assert strip.targets[hops[0] - 1] in (IGNORE, label)
            assert UNKNOWN in strip.targets[max(0, hops[0] - 9) : hops[0]]


def test_running_speech_is_background_and_noise_is_silence(composer):
    """No keyword is taught where none was said."""
    rng = np.random.default_rng(2)

    assert {UNKNOWN} == set(composer.speech_strip(1, rng).targets)
    assert {SILENCE} == set(composer.noise_strip(rng).targets)


def test_our_words_in_running_speech_are_neither_taught_nor_background(composer):
    """From such a word on nothing is asked, until it is out of sight."""
    audio = composer.noise[0]
    composer.speech = [Speech(audio, ((10_000, 16_000),))]
    composer.samples = len(audio)
    targets = composer.speech_strip(0, np.random.default_rng(1)).targets
    asked = np.flatnonzero(targets == IGNORE)

    assert {IGNORE, UNKNOWN} == set(targets)
    assert abs(len(asked) - (6_000 + FORGET_S * RATE) / HOP) < 4
    assert abs(asked[0] - 10_000 / HOP) < 3


def test_augmentation_keeps_samples_in_range_and_is_seeded(composer):
    """The same seed gives the same strips; nothing leaves [-1, 1]; digital silence survives."""
    rng = np.random.default_rng(5)
    strips = [composer.word_strip(rng) for _ in range(8)]
    words = torch.from_numpy(np.stack([s.words for s in strips]))
    background = torch.from_numpy(np.stack([s.background for s in strips]))
    rooms = augment.room_spectra(torch.eye(1, 100), words.shape[1])
    once, again = (
        augment.mix(words, background, rooms, torch.Generator().manual_seed(1)) for _ in range(2)
    )

    assert torch.equal(once, again)
    assert once.abs().max() <= 1
    assert torch.isfinite(once).all()


def test_operating_points_are_of_each_role_and_rate_and_share_a_threshold():
    """Among the rates those that the hours can speak of; the misses counted at it."""
    ends = np.arange(1, 45_001) * 0.08  # an hour
    rng = np.random.default_rng(1)
    speech = np.zeros((len(ends), 2), np.float32)
    for column in (0, 1):
        speech[500 + 100 * column :: 1000, column] = 1 / (1 + np.exp(1 - rng.exponential(1, 45)))
    words = np.zeros((len(ends), 2), np.float32)
    truth = []
    for number in range(40):
        at = 100 + 200 * number
        words[at, number % 2] = 0.3 if number % 2 == 0 else 0.9995
        truth.append(match.Word("ab"[number % 2], ends[at] - 0.3, ends[at]))
    track = calibrate.Track(speech, ends)
    said = [(calibrate.Track(words, ends), truth)]
    found = {
        role: calibrate.find_peaks(said, tracks, ["a", "b"], names, 1)
        for role, tracks, names in [("keyword", [track], "a"), ("wake", [track, track], "ab")]
    }
    points, table = calibrate.operating_points(found, rates=[0.5, 12.0])

    assert [("keyword", 12.0), ("wake", 0.5), ("wake", 12.0)] == [
        (point.role, point.false_alarms_per_hour) for point in points
    ]  # half an alarm an hour needs two hours
    assert all(len({*point.thresholds.values()}) == 1 for point in points)
    assert 0.3 < points[2].thresholds["a"] < points[1].thresholds["a"]
    assert points[2].measured.events <= 24
    assert 0.5 == points[2].miss_rate  # the quiet one of two words
    assert [1, 2, 2] == [round(point.measured.hours) for point in points]
    assert [point.thresholds for point in points] == [
        {name: trade["threshold"] for name, trade in row["keywords"].items()} for row in table
    ]


def test_speech_at_other_speeds_sets_thresholds_but_is_not_counted():
    """An alarm of a faster voice raises the threshold; the rate is that of the recordings."""
    ends = np.arange(1, 45_001) * 0.08  # an hour
    quiet, loud, words = (np.zeros((len(ends), 1), np.float32) for _ in range(3))
    loud[1000::1000, 0] = np.linspace(0.3, 0.9, len(loud[1000::1000]))
    words[100::200, 0] = 0.99
    truth = [match.Word("a", end - 0.3, end) for end in ends[100::200]]
    thresholds = {}
    for name, varied in [("recorded", quiet), ("varied", loud)]:
        tracks = [calibrate.Track(quiet, ends), calibrate.Track(varied, ends, varied=True)]
        peaks = calibrate.find_peaks([(calibrate.Track(words, ends), truth)], tracks, "a", "a", 1)
        ((point,), _) = calibrate.operating_points({"keyword": peaks}, rates=[1.0])
        thresholds[name] = point.thresholds["a"]

        assert (1, 0) == (round(point.measured.hours), point.measured.events)
    assert thresholds["recorded"] < thresholds["varied"]


def test_speech_is_played_faster():
    """And higher: as long as the speed says."""
    clip = SimpleNamespace(label="speech")
    audio = np.zeros(RATE, np.int16)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recordings, "keyword_free", lambda split: [clip])
        patch.setattr(recordings, "load", lambda clips: [audio for _ in clips])

        assert [RATE // 2] == [len(one) for one in calibrate.speech_stream("train", speed=2.0)]


def test_the_prior_is_brought_to_the_share_of_the_clips():
    """Probabilities that expect background eight times too often lose eight's logarithm."""
    rng = np.random.default_rng(5)
    true = rng.integers(0, 3, 3000)
    evidence = rng.normal(0, 1, (3000, 3))
    evidence[np.arange(3000), true] += 1  # log-likelihoods of normal scores, one apart
    weights = np.exp(evidence) * [1, 1, 8]
    scores = (weights / weights.sum(1, keepdims=True))[:, None]
    shifts = np.arange(-4, 1, 0.25)

    best = max(shifts, key=lambda shift: prior.likelihood(scores, true, [2], (shift,)))

    assert -np.log(8) == pytest.approx(best, abs=0.3)


class Shards:
    """A folder in the recordings' layout."""

    def __init__(self, folder) -> None:
        self.folder, self.rows = folder, []

    def add(self, name: str, clips: list) -> None:
        """Write a shard; clips: (audio, label, split, text)."""
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        audio = np.concatenate([clip for clip, *_ in clips])
        soundfile.write(self.folder / name, audio, RATE, subtype="PCM_16", format="FLAC")
        at = 0
        for clip, label, split, text in clips:
            row = [name, at, len(clip), label, split, "s", "made-up", f"{at}.wav", text]
            self.rows.append(dict(zip(COLUMNS, row, strict=True)))
            at += len(clip)

    def table(self, name: str, columns: list, rows: list) -> None:
        """Write a table of clips."""
        with open(self.folder / name, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, delimiter="\t", extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)


def made_up_recordings(folder) -> None:
    """Write tones for words, noise for speech."""
    splits = ["train", "train", "calibration"]
    shards = Shards(folder)

    def words(names: list, seconds: float, seed: int) -> list:
        return [
            (tone(seconds, seed + i), word, split, word)
            for i, word in enumerate(names)
            for split in splits
        ]

    shards.add("speech_commands/words.flac", words([*COMMANDS, "cat", "dog"], 0.3, 0))
    shards.add("wake/words.flac", words([*WAKE_WORDS, *sorted(HELD_OUT)], 0.5, 30))
    rng = np.random.default_rng(3)
    talk = [rng.normal(0, 2000, 5 * RATE).astype(np.int16) for _ in range(6)]
    texts = ["nothing of ours", "go away"]
    speech = [(audio, "speech", splits[i % 3], texts[i // 5]) for i, audio in enumerate(talk)]
    shards.add("speech/talk.flac", speech)
    shards.add("noise/noise.flac", [(talk[0], "noise", split, "") for split in splits])
    place = {**shards.rows[-4], "start": shards.rows[-4]["start"] + 8000, "samples": 4000}
    shards.table("index.tsv", COLUMNS, shards.rows)
    shards.table("words.tsv", COLUMNS[:7], [place])
    for name in ("rooms.npz", "rooms_2.npz"):
        np.savez(folder / name, **{"train/hall": tone(0.5, 1)[8000:9000]})


RECIPE = """
seed = 2
[network]
channels = 16
kernels = [3, 3]
dilations = [2, 4]
pooled = 16
embedding = 8
pool = 6
segments = 3
[strips]
hops = 51
epoch = 32
words = 0.5
speech = 0.4
noise = 0.1
fragments = 20
halves = 10
[training]
epochs = {epochs}
batch = 16
rate = 3e-3
decay = 1e-2
average = 0.9
[finish.strips]
strength = 0.5
masks = false
[finish.training]
epochs = 1
rate = 1e-2
[gate]
opens = 0.9
mode = 1
hangover_s = 0.6
[gate.network]
channels = 8
kernels = [5]
dilations = [2]
pooled = 8
embedding = 8
hop = 16
pool = 4
segments = 1
[gate.strips]
hops = 30
epoch = 32
words = 0.5
speech = 0.2
noise = 0.3
[gate.training]
epochs = 1
batch = 16
rate = 3e-3
decay = 1e-2
average = 0.9
[shipping]
false_alarms = [0.5]
keyword = 0.5
wake = 0.5
"""


def run(folder, name: str, *more: str) -> int:
    """Train in folder/name and ship to folder/name.onnx, as the command does."""
    return main(
        [
            *["--recipe", str(folder / "tiny.toml"), "--work", str(folder / name)],
            *["--out", str(folder / f"{name}.onnx"), "--threads", "1", *more],
        ]
    )


def test_a_run_trains_ships_and_goes_on_where_it_was_stopped(tmp_path, monkeypatch, capsys):
    """Recordings in, a model file out; a stopped run that goes on ends in the same weights."""
    made_up_recordings(tmp_path / "data")
    monkeypatch.setenv("KWS_DATA", str(tmp_path / "data"))
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(RECIPE.format(epochs=2))

    assert [((8_000, 12_000),)] == [ours for _, ours in recordings.located("calibration")]
    assert 0 == run(tmp_path, "whole")
    begun = Trainer(
        tomllib.loads(recipe.read_text()),
        tmp_path / "stopped",
        lessons.bundled(tmp_path / "stopped", tomllib.loads(recipe.read_text())),
    )
    begun.resume()
    begun.run(until=1)
    assert 0 == run(tmp_path, "stopped")
    whole, stopped = (
        torch.load(tmp_path / name / "finish" / "checkpoint.pt", weights_only=True)["average"]
        for name in ("whole", "stopped")
    )
    log = (tmp_path / "stopped" / "log.jsonl").read_text(encoding="utf-8").splitlines()
    model = load(tmp_path / "whole.onnx")

    assert all(torch.equal(whole[name], stopped[name]) for name in whole)
    assert [1, 2] == [json.loads(line)["epoch"] for line in log]
    assert LABELS == model.labels
    assert "kws-xvector" == model.card.network.family
    assert "learned" == model.card.gate.name
    assert ["word", "_unknown_", "_silence_"] == model.gate.labels
    assert 0.3 == pytest.approx(model.card.keywords[0].median_length_s, abs=0.02)
    capsys.readouterr()
    assert 0 == run(tmp_path, "whole", "--epochs", "2")  # as the recipe says
    assert 2 == run(tmp_path, "whole", "--epochs", "3")
    assert "another recipe" in capsys.readouterr().err


def test_the_held_out_words_reach_no_training(tmp_path, monkeypatch):
    """Their recordings are there; no table of ours lists them."""
    made_up_recordings(tmp_path)
    monkeypatch.setenv("KWS_DATA", str(tmp_path))

    listed = {clip.label for clip in recordings.table("wake")}

    assert {"athena", "dracarys", "hadouken", "trick_or_treat"} == HELD_OUT
    assert set(WAKE_WORDS) == listed


def test_a_folds_network_is_heard_as_the_bundled_one_is(tmp_path):
    """Its wake words have scores; it needs no thresholds."""
    network = XVector(Config(labels=len(LABELS), channels=8, pooled=8, embedding=8))
    weights = {f"module.{name}": value for name, value in network.state_dict().items()}
    checkpoint = tmp_path / "checkpoint.pt"
    torch.save({"average": weights, "config": network.config.as_card()}, checkpoint)

    found = calibrate.track(folds.opened(checkpoint), [np.zeros(2 * RATE, np.float32)])

    assert (2 * RATE // HOP, len(LABELS)) == found.values.shape


def clip(label: str = "cat", speaker: str = "", name: str = "1.wav", text: str = "") -> Clip:
    """A recorded word, or an utterance."""
    kind = "speech" if text else "speech_commands"
    return Clip(f"{kind}/a.opus", 0, RATE, label, "train", speaker, "", name, text)


def test_what_is_left_out_is_left_out_of_words_and_transcripts():
    """A word and its utterances; a fold is the same people everywhere, and made of all splits."""
    cats = Leaving(("cat",))
    every = [Leaving(fold=number) for number in range(FOLDS)]
    ann = [clip("cat", "ann", "1.wav"), clip("dog", "ann", "2.wav"), clip("", "ann", text="Hello")]

    assert cats.holds(clip("cat"))
    assert cats.holds(clip("speech", text="The Cat, again"))
    assert not cats.holds(clip("speech", text="concatenate"))
    assert ("train",) == cats.splits
    assert 3 == len(every[0].splits)
    assert 1 == sum(all(fold.holds(each) for each in ann) for fold in every)
    assert FOLDS == len({fold_of(clip(name=f"{n}.wav")) for n in range(50)})
    assert not NOTHING.as_recipe()
    with pytest.raises(ConfigError, match="--fold 5"):
        Leaving(fold=FOLDS)


def test_without_recordings_one_line_says_what_to_set(tmp_path, monkeypatch):
    """An empty folder is a DataError that names KWS_DATA."""
    monkeypatch.setenv("KWS_DATA", str(tmp_path))

    with pytest.raises(DataError, match="KWS_DATA"):
        recordings.table("speech")
