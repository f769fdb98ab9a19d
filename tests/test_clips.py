"""Clips: splits, folders and protocols are as published; figures are those counted by hand."""

import pickle
import re

import models as tones
import numpy as np
import pytest
from audio_files import text, written

from kws.card import Label
from kws.errors import ConfigError, DataError
from kws.evaluate import clips
from kws.evaluate.clips import evaluate
from kws.evaluate.corpus import clipset, speech_commands
from kws.evaluate.corpus.reading import LongRecording
from kws.evaluate.corpus.speech_commands import NOISE, WORDS, split_of
from kws.evaluate.protocols import COMMANDS, SILENCE, UNKNOWN, v2_12
from kws.evaluate.report.sections import labels
from kws.session import load
from kws.shortcuts import classify
from kws.terminal.figures import clips_lines

RATE = tones.RATE
PITCH = {"yes": "yes", UNKNOWN: "no", SILENCE: "jarvis"}
"""What sounds like what: the model's three tones by the labels of `twelve`."""
TWELVE = [*PITCH, *(word for word in COMMANDS if word != "yes"), "computer"]


def made(path, labels):
    """A model of three tones, under other names."""
    card = tones.card("stream", labels=[Label(name) for name in labels], thresholds={})
    return load(tones.write(path, card, labels=len(labels)))


@pytest.fixture(scope="module")
def twelve(tmp_path_factory):
    """A model that knows yes from unknown from silence, and says `yes` to everything else."""
    return made(tmp_path_factory.mktemp("models") / "twelve.onnx", TWELVE)


def lay(folder, counts, *, sound=None, name="{speaker:08x}_nohash_{number}.wav", rate=RATE):
    """Lay out label folders of a second each; sound: by label, what is heard in its clips."""
    for label, count in counts.items():
        (folder / label).mkdir(parents=True)
        for number in range(count):
            pitch = (sound or {}).get(label, "yes")
            time = np.arange(rate) / rate
            clip = 0.3 * np.sin(2 * np.pi * tones.TONES[pitch] * time)
            written(folder / label, name.format(speaker=number, number=0), clip, rate)
    return folder


def lay_noise(folder, seconds=3):
    (folder / NOISE).mkdir(parents=True, exist_ok=True)
    return written(folder / NOISE, "tone.wav", tones.tone("jarvis", seconds), RATE)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("026290a7_nohash_0.wav", "validation"),
        ("060cd039_nohash_0.wav", "validation"),
        ("099d52ad_nohash_0.wav", "validation"),
        ("0c40e715_nohash_0.wav", "testing"),
        ("0ea0e2f4_nohash_0.wav", "testing"),
        ("0ea0e2f4_nohash_1.wav", "testing"),
        ("105a0eea_nohash_0.wav", "testing"),
        ("00176480_nohash_0.wav", "training"),
        ("004ae714_nohash_0.wav", "training"),
    ],
)
def test_the_split_is_the_published_lists(name, split):
    """The first names of the corpus's own validation and testing lists, and two of neither."""
    assert split == split_of(name)


def test_lists_go_before_the_hash_and_know_other_suffixes(tmp_path):
    """What a list names is of its split; what it leaves out is not, whatever its hash."""
    folder = lay(tmp_path, {"yes": 40}, name="{speaker:08x}_nohash_{number}.flac")
    names = [clip.path.stem for clip in speech_commands.clips(folder)]
    hashed = {split: [n for n in names if split_of(n) == split] for split in speech_commands.SPLITS}
    assert all(hashed.values())
    (folder / "testing_list.txt").write_text(f"yes/{hashed['training'][0]}.wav\n")

    found = {
        split: [clip.path.stem for clip in speech_commands.clips(folder, split)]
        for split in speech_commands.SPLITS
    }

    assert hashed["training"][:1] == found["testing"]
    assert hashed["validation"] == found["validation"]
    assert sorted(hashed["training"][1:] + hashed["testing"]) == found["training"]
    (folder / "validation_list.txt").write_text("")
    assert 39 == len(speech_commands.clips(folder, "training"))
    assert found["testing"] == [c.path.stem for c in speech_commands.clips(folder)]


def test_figures_are_those_counted_by_hand(tmp_path, twelve):
    """Precision, recall, F1, mean recall, confusion and interval of seven clips."""
    folder = lay(tmp_path, {"yes": 4, "cat": 1}, sound={"cat": "no"})
    (folder / SILENCE).mkdir()
    written(folder / SILENCE, "a.wav", tones.tone("jarvis", 1), RATE)
    written(folder / SILENCE, "b.wav", tones.tone("yes", 1), RATE)
    written(folder / "yes", "z.wav", tones.tone("no", 1), RATE)

    found = evaluate(twelve, folder)

    assert ("labels", folder.name, "twelve") == (found.protocol, found.corpus, found.model)
    assert ["yes", UNKNOWN, SILENCE] == list(found.labels)
    assert [[4, 1, 0], [0, 1, 0], [1, 0, 1]] == found.confusion
    assert (6, 8, 0.75) == (found.accuracy.hits, found.accuracy.count, found.accuracy.value)
    assert (0.40928, 0.92852) == (found.accuracy.low, found.accuracy.high)
    yes, unknown, silence = found.labels.values()
    assert (0.8, 0.8, 0.8, 5) == (yes.precision, yes.recall, yes.f1, yes.clips)
    assert (0.5, 1.0, 0.66667, 1) == (
        unknown.precision, unknown.recall, unknown.f1, unknown.clips,
    )  # fmt: skip
    assert (1.0, 0.5, 0.66667, 2) == (
        silence.precision, silence.recall, silence.f1, silence.clips,
    )  # fmt: skip
    assert round((0.8 + 1 + 0.5) / 3, 5) == found.mean_recall


def test_what_was_never_said_or_heard_has_no_figures(twelve, tmp_path):
    """A label without clips was not missed: nothing is known of it, in text and page too."""
    folder = tmp_path / "clips"
    (folder / "yes").mkdir(parents=True)
    written(folder / "yes", "a.wav", tones.tone("jarvis", 1), RATE)
    found = evaluate(twelve, folder)
    yes, silence = found.labels["yes"], found.labels[SILENCE]

    assert (None, 0.0, 0.0, 1) == (yes.precision, yes.recall, yes.f1, yes.clips)
    assert (0.0, None, None, 0) == (silence.precision, silence.recall, silence.f1, silence.clips)
    assert 0 == found.mean_recall
    text = "\n".join(clips_lines(found))
    assert re.search(r"^yes +1 +- +0\.0% +0\.0%$", text, re.MULTILINE)
    assert re.search(r"^_silence_ +0 +0\.0% +- +-$", text, re.MULTILINE)
    assert "whatever the thresholds" in text
    page = "".join(labels(found))
    assert "whatever the thresholds" in page
    assert ">_silence_</th><td>not known</td><td>0.0" in page


@pytest.mark.parametrize("kind", ["stream", "window"])
def test_a_clip_is_heard_as_classify_hears_it(tmp_path, kind):
    """At 44.1 kHz and in two channels, the best label is the first that `kws classify` tells."""
    card = tones.card(kind, min_samples=tones.WINDOW, max_samples=tones.WINDOW)
    model = load(tones.write(tmp_path / "model.onnx", card))
    time = np.arange(44_100) / 44_100
    both = np.stack([0.6 * np.sin(2 * np.pi * 1_000 * time), np.zeros(44_100)], axis=1)
    path = written(tmp_path, "no.wav", both, 44_100)

    heard = clips.score(clips.Unit("no", path, str(model.path), clips.sha(model.path)))

    assert "no" == heard == classify(path, model)[0][0]


def test_clips_at_any_rate_and_what_fails_is_listed(tmp_path, twelve):
    """Files that are no audio are named with their reason; the run goes on."""
    lay(tmp_path, {"yes": 2}, rate=48_000)
    text(tmp_path / "yes")
    done = []

    found = evaluate(twelve, tmp_path, told=lambda: done.append(1))

    assert (2, 2, 3) == (found.accuracy.hits, found.accuracy.count, len(done))
    assert ["yes/text.wav"] == list(found.failed)
    assert found.failed["yes/text.wav"].startswith("not audio that can be read")


def test_units_travel_and_are_told_apart(tmp_path, twelve):
    """A unit can be pickled, scores the same elsewhere, and its key changes with its clip."""
    path = written(tmp_path, "a.wav", tones.tone("yes", 1), RATE)
    sha = clips.sha(twelve.path)
    units = [
        clips.Unit("yes", path, str(twelve.path), sha),
        clips.Unit("yes", tones.tone("no", 1), str(twelve.path), sha),
        clips.Unit("yes", tones.tone("jarvis", 1), str(twelve.path), sha),
    ]
    again = [pickle.loads(pickle.dumps(unit)) for unit in units]  # noqa: S301 - our own

    assert ["yes", UNKNOWN, SILENCE] == [clips.score(unit) for unit in again]
    assert 3 == len({unit.key for unit in units})
    assert [unit.key for unit in units] == [unit.key for unit in again]


def test_the_official_archive_as_it_is(tmp_path, twelve):
    """Guessed by its twelve folders; wake words count as unknown; another size is told."""
    folder = lay(tmp_path, dict.fromkeys((*COMMANDS, UNKNOWN, SILENCE), 1), sound=PITCH)
    found = evaluate(twelve, folder)

    assert "v2-12" == found.protocol
    assert f"{folder.name} (12 clips; the official archive has 4890)" == found.corpus
    # Nine commands sound like yes, and are heard as that.
    assert (3, 12) == (found.accuracy.hits, found.accuracy.count)
    assert [*COMMANDS, UNKNOWN, SILENCE] == list(found.labels)
    assert UNKNOWN == clipset.find(twelve, folder).heard["computer"]

    (folder / "cat").mkdir()
    with pytest.raises(DataError, match="is not the official test archive"):
        evaluate(twelve, folder, protocol="v2-12")


def test_v2_12_style_draws_unknown_and_makes_silence(tmp_path, twelve):
    """Guessed in the published layout; as many unknown and silence as the mean word."""
    counts = dict.fromkeys(COMMANDS, 3) | {"cat": 9, "dog": 1}
    folder = lay(tmp_path, counts, sound={"cat": "no", "dog": "no"})
    every = "\n".join(c.name for c in speech_commands.clips(folder))
    (folder / "testing_list.txt").write_text(every)
    lay_noise(folder)

    found = evaluate(twelve, folder)

    assert ("v2-12-style", f"{folder.name}, testing") == (found.protocol, found.corpus)
    assert [3] * 12 == [label.clips for label in found.labels.values()]
    assert {"yes": 1.0, UNKNOWN: 1.0, SILENCE: 1.0} == {
        name: label.recall for name, label in found.labels.items() if label.recall
    }


def test_noise_is_read_in_stretches_as_if_it_were_in_memory(tmp_path):
    """The same silence, whether the noise is an array or a file of which a second is read."""
    audio = np.round(tones.noise(7, amplitude=0.1) * 32_768) / np.float32(32_768)
    path = written(tmp_path, "noise.flac", audio, RATE)
    words = {word: ["clip"] * 5 for word in (*COMMANDS, "cat")}

    lazily = v2_12(words, [LongRecording(path, RATE)], rate=RATE)
    whole = v2_12(words, [audio], rate=RATE)

    for (label, clip), (other, same) in zip(lazily, whole, strict=True):
        assert label == other
        assert np.array_equal(clip, same)
    assert RATE == pytest.approx(len(LongRecording(path, 8_000)[8_000:24_000]), abs=2)


def test_v2_35_needs_its_words(tmp_path, twelve):
    """A model of the 35 words is measured on them; one that lacks some is told which."""
    folder = lay(tmp_path / "corpus", dict.fromkeys(WORDS, 1))
    every = "\n".join(c.name for c in speech_commands.clips(folder))
    (folder / "testing_list.txt").write_text(every)
    model = made(tmp_path / "all.onnx", ["yes", *(word for word in WORDS if word != "yes")])

    found = evaluate(model, folder)

    assert ("v2-35", 1, 35) == (found.protocol, found.accuracy.hits, found.accuracy.count)
    with pytest.raises(ConfigError, match=r"v2-35 needs labels that it lacks \(backward, bed"):
        evaluate(twelve, folder, protocol="v2-35")


def test_a_folder_that_the_model_does_not_know(tmp_path, models):
    """Without a label for unknown words it is an error that names the folder."""
    lay(tmp_path, {"yes": 1, "cat": 1})

    with pytest.raises(ConfigError, match=r"cat: stream.onnx has no label cat"):
        evaluate(models["stream"], tmp_path)


def test_names_without_underscores_are_the_same(tmp_path):
    """A model that calls them `unknown` and `silence` has labels for both."""
    model = made(tmp_path / "m.onnx", ["yes", "unknown", "silence"])
    folder = lay(tmp_path / "clips", {"yes": 1, "cat": 1, SILENCE: 1}, sound={**PITCH, "cat": "no"})

    found = evaluate(model, folder)

    assert 3 == found.accuracy.hits
    assert ["yes", UNKNOWN, SILENCE] == list(found.labels)


@pytest.mark.parametrize(
    ("what", "options", "message"),
    [
        ({}, {}, "no such folder"),
        ({"yes": 0}, {}, "yes: no recordings in it"),
        ({"yes": 1}, {"split": "testing"}, "none of its 1 clips is of the split testing"),
        ({"yes": 1}, {"split": "test"}, "no split 'test'"),
        ({"yes": 1}, {"protocol": "v3"}, "no protocol 'v3'"),
        ({"yes": 1}, {"protocol": "v2-12-style"}, "no clips of no, up, down"),
        (dict.fromkeys(COMMANDS, 1), {"protocol": "v2-12-style"}, "unknown words are missing"),
        (
            dict.fromkeys((*COMMANDS, "cat"), 1),
            {"protocol": "v2-12-style"},
            "silence needs noise.*give --noise",
        ),
    ],
)
def test_what_is_missing_is_told_in_one_line(tmp_path, twelve, what, options, message):
    """Each says where, and what to give."""
    folder = lay(tmp_path / "clips", what)

    with pytest.raises((DataError, ConfigError), match=message) as error:
        evaluate(twelve, folder, **options)

    assert "\n" not in str(error.value)


def test_no_clip_can_be_scored(tmp_path, twelve):
    """All unreadable: an error with the first reason."""
    (tmp_path / "yes").mkdir()
    text(tmp_path / "yes")

    with pytest.raises(DataError, match=r"no clip could be scored.*yes/text\.wav: not audio"):
        evaluate(twelve, tmp_path)


def test_people_say_yes_and_no(tmp_path, recordings):
    """The bundled model knows most of thirty real clips, laid out as files."""
    for label in ("yes", "stop", "happy"):
        (tmp_path / label).mkdir()
        for clip in recordings.clips("speech_commands", label)[:10]:
            written(tmp_path / label, clip.name, recordings.read(clip), RATE)

    found = evaluate(load(), tmp_path, split="validation")

    assert 30 == found.accuracy.count
    assert found.accuracy.value > 0.8
    assert 10 == found.labels[UNKNOWN].clips
