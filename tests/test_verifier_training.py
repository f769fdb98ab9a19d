"""The verifier's training: its windows and features, and the whole of it on made-up material."""

import json
import subprocess
from copy import deepcopy
from pathlib import Path

import models as tones
import numpy as np
import pytest
import soundfile
import tomli
import torch
from torch.utils.data import DataLoader

import kws
from export import demo
from export.synthesis.nearmisses import holding
from export.training import after_wake, augment, calibrate, prior, recordings, ship
from export.training.strips import Speech, Word
from export.training.verifier import __main__ as command
from export.training.verifier import features, renderings, train
from export.training.verifier.features import Shard
from export.training.verifier.graph import encoder_id
from export.training.verifier.network import Config, Encoder, FastLogMel, Verifier
from export.training.verifier.release import release, rewrite
from export.training.verifier.windows import CANDIDATE, HOLD, NEAR, Miner, WordComposer
from export.training.vocabulary import (
    HELD_OUT,
    KEYWORDS,
    LABELS,
    UNKNOWN,
    Vocabulary,
    holds_keyword,
    in_held_out,
    says_held_out,
)
from kws.card import WrongCommands
from kws.errors import ParityError
from kws.evaluate.simulation.simulate import clean

ROOT = Path(__file__).parent.parent
RATE = 16_000
SAMPLES = 4 * RATE
SMALL = Config(5, window=16_000, width=16, heads=2, layers=2, feed=32, steps=5, head_width=8)
RECIPE = tomli.loads((Path(command.__file__).with_name("verifier.toml")).read_text("utf-8"))


def spoken(frequency, label, seconds=0.3):
    """A word that is a tone, silence around it."""
    at = np.arange(round(seconds * RATE)) / RATE
    audio = np.zeros(len(at) + 9600, np.int16)
    audio[4800:-4800] = 8000 * np.sin(2 * np.pi * frequency * at)
    return Word(audio, 4800, 4800 + len(at), label)


FREQUENCIES = [*tones.TONES.values(), 3000, 4500]
"""Three keywords, another word, a near-word."""


@pytest.fixture(scope="module")
def first_stage(tmp_path_factory):
    return tones.write(tmp_path_factory.mktemp("first") / "first.onnx", tones.card())


def composer():
    """Tones for words, noise for speech; nothing is filtered, and no room is heard."""
    words = [[spoken(each, label)] for label, each in enumerate(FREQUENCIES[:4])]
    noise = np.random.default_rng(1).normal(0, 500, SAMPLES).astype(np.int16)
    return WordComposer(
        words, [Speech(noise)] * 2, [noise], SAMPLES, tones.HOP,
        vocabulary=Vocabulary(tuple(tones.TONES)), strength=0.0, near=[spoken(FREQUENCIES[4], 3)],
    )  # fmt: skip


def miner(first_stage, *, words=0.5, count=2, size=3):
    shares = {"words": words, "speech": (1 - words) / 2, "noise": (1 - words) / 2}
    rooms = augment.room_spectra(torch.eye(1, 100), SAMPLES)
    return Miner(composer(), first_stage, rooms, shares, count, size, SMALL.window, (1, 2))


def test_windows_are_the_same_however_many_make_them(first_stage):
    """Two processes or this one: the same batches, in the same order."""
    loader = DataLoader(miner(first_stage), batch_size=None, num_workers=2)

    for one, other in zip(loader, miner(first_stage), strict=True):
        assert torch.equal(one.audio, other.audio)
        assert torch.equal(one.labels, other.labels)
        assert torch.equal(one.proposed, other.proposed)


def said_last(window):
    """Return how long before a window's end its last word ended, and the word's frequency."""
    frames = window[-RATE:].reshape(-1, 160)
    level = np.sqrt((frames**2).mean(1))
    last = 160 * (np.flatnonzero(level > level.max() / 4)[-1] + 1) - RATE + len(window)
    spectrum = np.abs(np.fft.rfft(window[last - 2400 : last] * np.hanning(2400)))
    return (len(window) - last) / RATE, spectrum.argmax() * RATE / 2400


def test_a_window_of_a_keyword_ends_soon_after_it(first_stage):
    """Each holds its label's tone, over for 50 to 900 ms, give or take a frame."""
    (windows,) = miner(first_stage, words=1.0, count=1, size=16)
    keywords = [
        (label, *said_last(audio / 32768))
        for audio, label in zip(windows.audio.numpy(), windows.labels.tolist(), strict=True)
        if label < len(tones.TONES)
    ]

    assert {label for label, *_ in keywords} == {0, 1, 2}
    for label, ago, frequency in keywords:
        assert 0.05 - 0.011 <= ago <= 0.9 + 0.011
        assert frequency == pytest.approx(FREQUENCIES[label], rel=0.18)  # played faster or slower


def test_proposed_windows_are_those_that_the_first_stage_proposes(first_stage, models):
    """At the window's last hop, or up to four before it, a keyword's smoothed score is enough."""
    (windows,) = miner(first_stage, words=1.0, count=1, size=8)
    twin, audio = models["window"], windows.audio.numpy().astype(np.float32) / 32767
    ends = audio.shape[1] - tones.HOP * np.arange(HOLD + 2)
    raw = np.stack([twin.run(audio[:, end - tones.WINDOW : end])[0][:, :3] for end in ends])
    highest = ((raw[:-1] + raw[1:]) / 2).max((0, 2))
    sure = np.abs(highest - CANDIDATE) > 0.005

    assert 0 < windows.proposed.sum() < len(windows.proposed)
    assert np.array_equal(windows.proposed.numpy()[sure], (highest >= CANDIDATE)[sure])


def test_a_proposal_holds_for_a_few_hops(first_stage):
    """From the first hop of a tone that scores until HOLD hops after the last."""
    audio = np.zeros((2, 60 * tones.HOP), np.float32)
    audio[1, 20 * tones.HOP : 30 * tones.HOP] = tones.tone("no", 0.2)
    active = miner(first_stage)._active(audio)
    left = 30 + tones.HOPS - 1  # the tone is in the first stage's window until then

    assert not active[0].any()
    assert active[1].sum() == left - 20 + HOLD + 1  # smoothing keeps it a hop longer
    assert active[1, 20 : left + HOLD + 1].all()


def test_near_words_are_drawn_among_the_other_words_alone():
    """So many of them, however few there are."""
    rng, made = np.random.default_rng(3), composer()
    others = [word for word in (made._draw(rng) for _ in range(2000)) if word.label == 3]

    assert np.mean([word is made.near[0] for word in others]) == pytest.approx(NEAR, abs=0.06)


def test_features_are_made_once(first_stage, tmp_path):
    """What the resting layers give of each window, and the encoder; the second time it is read."""
    torch.manual_seed(1)
    network = Verifier(SMALL).eval()
    recipe = {"layers": 1, "windows": {"shards": [{}, {}]}}
    miners = [miner(first_stage, size=2, count=1), miner(first_stage, size=1, count=2)]
    made = features.shards(network, miners.__getitem__, recipe, tmp_path)
    (tmp_path / "windows-1.pt").unlink()  # as if that one had been killed
    features.shards(network, {1: miners[1]}.__getitem__, recipe, tmp_path)
    read = features.shards(network, None, recipe, tmp_path)
    (windows,) = miners[0]
    mels = FastLogMel()(windows.audio.float() / 32768)
    with torch.no_grad():
        middle = features.resting(network, 1, mels)

    for one, other in zip(made, read, strict=True):
        assert np.array_equal(one.middle, other.middle)
        assert torch.equal(one.pooled, other.pooled)
        assert len(one.middle) == len(one.pooled) == len(one.labels)
    assert torch.equal(windows.labels, read[0].labels)
    assert np.abs(read[0].middle - middle.numpy()).max() < 0.1  # bfloat16
    pooled = features.learning(network, 1, torch.from_numpy(read[0].middle.astype(np.float32)))
    assert torch.equal(features.learning(network, 1, middle), network.features(mels))
    assert (read[0].pooled - pooled).abs().max() < 0.1


HEAD = {"epochs": 2, "batch": 8, "rate": 1e-2, "decay": 0.01, "smoothing": 0.05, "shards": [0]}
TUNING = {
    "epochs": 1.5, "batch": 8, "rate": 1e-3, "head_rate": 1e-2, "decay": 0.01, "smoothing": 0.03,
    "average": 0.9,
}  # fmt: skip
LEARNING = {
    "seed": 5,
    "layers": 1,
    "head": HEAD,
    "tuning": [TUNING | {"shards": [0]}, TUNING | {"shards": [0, 1]}],
}


def shards(config=SMALL, count=32):
    """Two shards of random features, in which the label shows."""
    rng, found = np.random.default_rng(6), []
    for _ in range(2):
        labels = rng.integers(config.labels, size=count)
        middle = rng.normal(0, 1, (count, config.positions, config.width))
        middle[np.arange(count), :, labels] += 3
        shape = (count, config.steps, -1, config.width)
        pooled = torch.from_numpy(middle.reshape(shape).mean(2)).half()
        found.append(Shard(middle.astype(np.float16), pooled, torch.from_numpy(labels)))
    return found


def learn(folder, recipe=LEARNING):
    """Train head and phases, as the command does; return the network of each phase."""
    folder.mkdir(exist_ok=True)
    torch.manual_seed(recipe["seed"])
    network, made = Verifier(SMALL).eval(), shards()
    train.train_head(network, made, recipe, folder)
    found = [deepcopy(network)]
    for phase in range(len(recipe["tuning"])):
        network = train.Tuner(network, made, recipe, folder, phase).run()
        found.append(network)
    return found


def same(one, other):
    pairs = zip(one.state_dict().items(), other.state_dict().values(), strict=True)
    return [name for (name, value), kept in pairs if torch.equal(value, kept)]


@pytest.mark.parametrize("killed", [3, 9], ids=["in the first phase", "in the second"])
def test_a_killed_training_ends_in_the_same_weights(tmp_path, monkeypatch, killed):
    """Dropout, order, averages, rates: nothing tells that it was stopped between two states."""
    monkeypatch.setattr(train, "SAVED", 2)
    whole, step, steps = learn(tmp_path / "whole")[-1], train.Tuner._step, []

    def until_killed(self, *arguments):
        steps.append(1)
        if len(steps) > killed:
            raise KeyboardInterrupt
        return step(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(train.Tuner, "_step", until_killed)
        with pytest.raises(KeyboardInterrupt):
            learn(tmp_path / "killed")
    torch.manual_seed(99)  # another process draws otherwise
    resumed = learn(tmp_path / "killed")[-1]

    assert len(whole.state_dict()) == len(same(whole, resumed))


def test_phases_go_on_where_the_last_one_ended(tmp_path):
    """Only the last layer and the head learn; a second phase starts from the first's average."""
    still = TUNING | {"shards": [1], "rate": 0.0, "head_rate": 0.0}
    recipe = LEARNING | {"tuning": [LEARNING["tuning"][0], still]}
    head, first, second = learn(tmp_path, recipe)
    moved = {name for name, _ in head.named_parameters()} - {*same(head, first)}

    assert {"encoder.layers.1.feed_in.weight", "head.classify.weight"} <= moved
    assert not [name for name in moved if not name.startswith(("encoder.layers.1.", "head."))
                and name not in {"encoder.norm.weight", "encoder.norm.bias"}]  # fmt: skip
    assert {name for name, _ in first.named_parameters()} <= {*same(first, second)}


def test_the_head_learns(tmp_path):
    """What it learned from it knows."""
    head = learn(tmp_path, LEARNING | {"tuning": [], "head": HEAD | {"epochs": 20}})[0].head.eval()
    shard = shards()[0]
    found = head(shard.pooled.float())[0].argmax(1)

    assert (found == shard.labels).float().mean() > 0.9


def test_the_command_trains_the_same_each_time(tmp_path, monkeypatch):
    """However its process drew before: first weights are seeded, too."""
    config = Config(len(LABELS))
    once = [TUNING | {"epochs": 0.5, "shards": [0]}]
    recipe = LEARNING | {"layers": 2, "tuning": once, "head": HEAD | {"epochs": 1}}

    def encoder(folder, positions):
        with torch.random.fork_rng():
            torch.manual_seed(8)
            return Encoder(config).state_dict()

    monkeypatch.setattr(command, "encoder_state", encoder)
    monkeypatch.setattr(features, "shards", lambda *arguments: shards(config, 8))
    trained = []
    for number in range(2):
        torch.manual_seed(number)
        folder = tmp_path / str(number)
        folder.mkdir()
        trained.append(command._trained(recipe, tmp_path, folder))

    assert len(trained[0].state_dict()) == len(same(*trained))


class Voices:
    """Says anything as a tone; counts how often."""

    def __init__(self, folder=None):
        self.voices = {name: np.full((2, 3), i, np.float32) for i, name in enumerate("abc")}
        self.said = []

    def say(self, phonemes, style, speed):
        self.said.append(phonemes)
        at = np.arange(round(12_000 / speed))
        return (0.3 * np.sin(at * (0.1 + 0.01 * style.mean()))).astype(np.float32)


class Spelling:
    """Pronounces any word as it is spelled."""

    def __init__(self, folder=None):
        pass

    def __contains__(self, text):
        return "q" not in text

    def of(self, text):
        return text


SETTINGS = {
    "keywords": 2, "scarce": 3, "scarce_words": ["no"], "near": 1, "near_words": 2,
    "more": ["snow", "know", "trick", "treats trick", "athena", "go away", "quota"],
}  # fmt: skip


@pytest.fixture
def voices(monkeypatch):
    made = Voices()
    monkeypatch.setattr(renderings, "Kokoro", lambda folder: made)
    monkeypatch.setattr(renderings, "Phonemes", Spelling)
    return made


def test_words_are_said_once(voices, tmp_path, monkeypatch):
    """So many of each, none like another; the next run reads them, whatever lists say by then."""
    monkeypatch.setattr(renderings.nearmisses, "near_misses", lambda *_: ["snore", "slow", "nope"])
    first = renderings.rendered(SETTINGS, tmp_path)
    said = len(voices.said)
    with (tmp_path / "near-words.txt").open("a") as file:
        file.write("treat\n")  # as a list of long ago may hold
    second = renderings.rendered(SETTINGS, tmp_path)

    assert [*KEYWORDS, "snow", "snore", "slow"] == list(first) == list(second)
    assert (3, 2, 1) == tuple(len(first[text]) for text in ("no", "yes", "snow"))
    assert said == len(voices.said) == sum(map(len, first.values()))
    assert said == len({audio.tobytes() for every in first.values() for audio in every})
    for text, every in first.items():
        assert all(np.array_equal(a, b) for a, b in zip(every, second[text], strict=True))
        assert all(audio.dtype == np.int16 and len(audio) > RATE / 5 for audio in every)


def test_more_of_a_word_are_said_after_those_that_are_there(voices, tmp_path, monkeypatch):
    """Fewer are asked for later: the first of them."""
    monkeypatch.setattr(renderings.nearmisses, "near_misses", lambda *_: [])
    few = renderings.rendered(SETTINGS, tmp_path)["no"]
    said = len(voices.said)
    more = renderings.rendered({**SETTINGS, "scarce": 5}, tmp_path)["no"]
    new = len(voices.said) - said
    (tmp_path / "anew").mkdir()
    whole = renderings.rendered({**SETTINGS, "scarce": 5}, tmp_path / "anew")["no"]
    again = renderings.rendered(SETTINGS, tmp_path)["no"]

    assert (3, 5) == (len(few), len(more))
    assert new == 2
    for one, other in ((few, more), (whole, more), (few, again)):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=False))


def test_no_near_word_is_a_keyword_or_held_out(monkeypatch):
    """Neither by spelling nor by sound, whatever list they come from."""
    some = ["no", "right", "stop", "computer"]
    monkeypatch.setattr(renderings, "KEYWORDS", some)
    found = renderings.near_words(Spelling(), 3, [*RECIPE["voices"]["more"], *SETTINGS["more"]])

    assert len(found) > 60
    assert not [text for text in found if holds_keyword(text) or in_held_out(text)]
    for keyword in some:
        assert not any(holding(found, keyword)), keyword


def test_the_recipes_words_are_negatives():
    """None is dropped silently, none stands there twice."""
    more = RECIPE["voices"]["more"]

    assert all(map(renderings.is_negative, more))
    assert len(more) == len({*more})
    assert {*RECIPE["voices"]["scarce_words"]} <= {*KEYWORDS}


def test_no_table_holds_a_held_out_word(tmp_path, monkeypatch):
    """Neither by its label nor in its transcript, alone or in a phrase."""
    rows = [
        ("wake/a.opus", "alexa", "alexa"),
        ("wake/a.opus", "hey_athena", ""),
        ("wake/a.opus", "trick_or_treat", ""),
        ("speech/a.opus", "speech", "Trick, or treat? they said"),
        ("speech/a.opus", "speech", "HADOUKEN"),
        ("speech/a.opus", "speech", "it was a clever trick"),
    ]
    table = ["shard\tstart\tsamples\tlabel\tsplit\tspeaker\tsource\tname\ttext"]
    table += [f"{shard}\t0\t8000\t{label}\ttrain\t\t\tx.wav\t{said}" for shard, label, said in rows]
    (tmp_path / "index.tsv").write_text("\n".join(table) + "\n")
    monkeypatch.setenv("KWS_DATA", str(tmp_path))

    assert ["alexa"] == [clip.label for clip in recordings.table("wake", "train")]
    assert ["it was a clever trick"] == [clip.text for clip in recordings.keyword_free("train")]


def test_the_recordings_of_training_hold_no_held_out_word(recordings):
    """Nor do those that thresholds are found on."""
    kinds = ("speech_commands", "wake", "speech", "noise", "speech_untranscribed")
    from export.training.recordings import table

    wrong = [
        clip
        for kind in kinds
        for clip in table(kind)
        if says_held_out(clip.label) or says_held_out(clip.text)
    ]

    assert {"athena", "dracarys", "hadouken", "trick_or_treat"} == HELD_OUT
    assert not wrong


def words_aloud():
    """Every keyword and some other words, said by a machine."""
    folder = ROOT / "tests" / "words" / "flite-slt"
    for path in sorted(folder.glob("*.opus")):
        yield path.stem, soundfile.read(path, dtype="float32")[0]


@pytest.fixture
def said_by_a_machine(monkeypatch):
    """Calibration on words of a speech synthesiser instead of people's recordings."""
    speech = [soundfile.read(demo.PATH, dtype="float32")[0][: 8 * RATE]]
    pieces, truth = map(list, zip(*clean(words_aloud(), RATE), strict=True))
    clips = [
        (word if word in KEYWORDS else LABELS[UNKNOWN], np.resize(audio, RATE))
        for word, audio in words_aloud()
    ]
    chosen = after_wake.Chosen({"yes": 0.75}, 3, 4, WrongCommands(0.01, 1, 100, 0.0, 0.05))
    monkeypatch.setattr(calibrate, "word_stream", lambda split: (pieces, truth))
    monkeypatch.setattr(calibrate, "noisy_stream", lambda split: (pieces, truth))
    monkeypatch.setattr(calibrate, "speech_stream", lambda split, **_: speech)
    monkeypatch.setattr(prior, "_clips", lambda split: clips)
    monkeypatch.setattr(after_wake, "calibrate", lambda first, verify: chosen)
    monkeypatch.setattr(ship, "parity_clips", lambda: [audio for _, audio in words_aloud()][:5])


@pytest.mark.usefixtures("said_by_a_machine")
def test_a_release_is_a_verifier_of_the_bundled_model(tmp_path):
    """Its card names the first stage and thresholds of the pair; a spotter takes it."""
    torch.manual_seed(2)
    network = Verifier(Config(len(LABELS), 16_000, 96, 4, 1, 192, 5, 16)).eval()
    network.head.classify.bias.data[0] = 1  # int8 must not change what is named
    recipe = {
        "fusion": RECIPE["fusion"],
        "release": {"false_alarms": [0.5, 600.0], "keyword": 600.0, "wake": 600.0},
    }
    trained = deepcopy(network)
    release(network, recipe, tmp_path / "verifier.onnx", tmp_path)
    first, made = kws.load(), kws.load(tmp_path / "verifier.onnx")
    found = made.card.verification
    spotter = kws.Spotter(first, verify=made)

    assert LABELS == made.labels
    assert first.sha256 == found.first_stage
    assert {*KEYWORDS} == {*found.thresholds}
    assert [("keyword", 600.0), ("wake", 600.0)] == [
        (point.role, point.false_alarms_per_hour) for point in found.operating_points
    ]
    assert 0.75 == found.after_wake["yes"].value
    trades = json.loads((tmp_path / ship.TRADES).read_text(encoding="utf-8"))
    assert {*KEYWORDS} == {name for point in trades for name in point["keywords"]}
    assert RECIPE["fusion"]["calls"] == found.calls
    assert "int8-rows" == made.card.quantization.scheme
    assert made.card.parity.max_difference < 1e-3
    assert made.card.self_test
    assert made.card.encoder == encoder_id(network)
    assert is_written_again(trained, made, tmp_path)
    assert not spotter.push(np.zeros(RATE, np.float32), sample_rate=RATE)


def is_written_again(trained, made, folder):
    """The same weights give the same file; others are refused."""
    rewrite(deepcopy(trained), made.path, folder / "again.onnx")
    trained.head.classify.weight.data.mul_(2)
    with pytest.raises(ParityError, match="scores differ by"):
        rewrite(trained, made.path, folder / "other.onnx")
    return (folder / "again.onnx").read_bytes() == made.path.read_bytes()


def test_make_model_makes_the_first_stage_first():
    """The verifier is calibrated behind it; negatives are features of the verifier's encoder."""
    done = subprocess.run(
        ["make", "-n", "model"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    trainings = [line for line in done.stdout.splitlines() if "export.training" in line]

    assert ["", ".verifier", ".negatives"] == [
        line.split("-m export.training")[1] for line in trainings
    ]
