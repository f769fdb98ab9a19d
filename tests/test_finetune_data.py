"""Recordings to learn from: folders, Speech Commands, datasets; splits; what is wrong with them."""

import io
import json
import shutil
from collections import Counter

import audio_files
import numpy as np
import pytest
import soundfile
from finetuning import RATE, TONES, VOICES, tone, words

from export.training.finetuning import silence, splits, windows
from export.training.finetuning.audio import Row
from export.training.finetuning.corpus import TEST, TRAIN, VALIDATION, find
from export.training.finetuning.options import Options
from export.training.finetuning.windows import Recordings, Windows
from kws.errors import ConfigError, DataError
from kws.evaluate.corpus.speech_commands import split_of


def corpus(data, **options):
    """Everything that is done with recordings before they are heard."""
    settings = Options(**options)
    return silence.add(splits.complete(find(str(data), settings, print)), settings.seed)


def heard(data):
    """Every recording of a corpus, decoded once."""
    for clips in corpus(data).splits.values():
        Recordings(clips, RATE).survey(print)


def labels(clips):
    return {clip.label for clip in clips}


def stems(clips):
    return [clip.audio.path.stem for clip in clips]


def test_each_label_is_in_each_split_and_each_speaker_in_one(tmp_path):
    """Names tell the speakers; nobody who is trained on is measured."""
    found = corpus(words(tmp_path / "words", 12))
    voices = {
        split: {stem.split("-")[0] for stem in stems(clips)}
        for split, clips in found.splits.items()
    }

    assert {TRAIN, VALIDATION, TEST} == set(found.splits)
    assert all(labels(clips) == set(TONES) for clips in found.splits.values())
    assert sorted(VOICES) == sorted(name for names in voices.values() for name in names)
    assert "6 of them" in found.notes[-1]


@pytest.mark.parametrize(
    ("stem", "who"),
    [
        ("a1b2_nohash_3", "a1b2"),
        ("anna-3", "anna"),
        ("anna_yes_03", "anna"),
        ("yes_anna_3", "anna"),
        ("yes anna (3", "anna ("),
        ("1089-134686-0001", "1089"),
        ("7_jackson_32", "7_jackson"),
        ("yes-12", ""),
        ("recording", ""),
        ("yesterday-2", "yesterday"),
    ],
)
def test_a_name_tells_its_speaker(stem, who):
    """The label is no part of it, nor is the counter."""
    assert who == splits._speaker(stem, "yes")


@pytest.mark.parametrize("name", ["{label}-{number}.wav", "recording_{number}.wav", "{number}.wav"])
def test_names_without_speakers_are_split_by_the_bytes(tmp_path, name):
    """Copies stay together, whatever they are called."""
    folder = words(tmp_path / "words", 10, name=name)
    shutil.copy(next(iter(sorted((folder / "low").iterdir()))), folder / "low" / "copy.wav")
    found = corpus(folder)
    where = {}
    for split, clips in found.splits.items():
        for clip in clips:
            where.setdefault(clip.audio.identity()[1], set()).add(split)

    assert "by the hash of the file" in found.notes[-1]
    assert all(len(splits) == 1 for splits in where.values())
    assert all(labels(clips) == set(TONES) for clips in found.splits.values())
    assert 0.55 < len(found.splits[TRAIN]) / 31 < 0.75


def test_a_recording_that_comes_later_leaves_the_others_in_their_splits(tmp_path):
    """The order is that of hashes, not that of the folder."""
    folder = words(tmp_path / "words", 20, name="{number}.wav")
    before = {
        name: split for split, clips in corpus(folder).splits.items() for name in stems(clips)
    }
    soundfile.write(folder / "low" / "new.wav", tone("low", 99), RATE)
    after = {name: split for split, clips in corpus(folder).splits.items() for name in stems(clips)}

    assert 0.9 < np.mean([before[name] == after[name] for name in before])


def test_the_folders_of_splits_are_taken_as_they_are(tmp_path):
    """Without a validation folder, validation comes from training."""
    words(tmp_path / "data" / "train", 10)
    words(tmp_path / "data" / "test", 5)
    found = corpus(tmp_path / "data")

    assert [15, 30] == [
        len(found.splits[TEST]),
        sum(len(found.splits[s]) for s in (TRAIN, VALIDATION)),
    ]


def speech_commands(folder, lists):
    """The corpus as published, small: names are speakers' hashes; with lists, or without."""
    names = [f"{number:08x}_nohash_0.wav" for number in range(40)]
    for label in TONES:
        (folder / label).mkdir(parents=True)
        for number, name in enumerate(names):
            soundfile.write(folder / label / name, tone(label, number), RATE)
    (folder / "_background_noise_").mkdir()
    noise = audio_files.noise(8 * RATE, seed=3)
    soundfile.write(folder / "_background_noise_" / "rain.wav", noise, RATE)
    if lists:
        for at, name in enumerate(["validation_list.txt", "testing_list.txt"]):
            listed = [f"{label}/{file}" for label in TONES for file in names[3 * at : 3 * at + 3]]
            (folder / name).write_text("\n".join(listed) + "\n")
    return folder


def test_speech_commands_keeps_its_official_split(tmp_path):
    """By its lists; else by the publisher's hash. Silence is cut from its noise, for each split."""
    listed = corpus(speech_commands(tmp_path / "listed", lists=True))
    hashed = corpus(speech_commands(tmp_path / "hashed", lists=False))
    official = Counter(split_of(f"{n:08x}_nohash_0.wav") for n in range(40))
    silent = {split: Counter(c.label for c in clips) for split, clips in listed.splits.items()}

    assert {"low": 34, "high": 34, "mid": 34, "_silence_": 34} == silent[TRAIN]
    assert {"low": 3, "high": 3, "mid": 3, "_silence_": 3} == silent[VALIDATION] == silent[TEST]
    assert 4 * official["validation"] == len(hashed.splits[VALIDATION])
    assert 4 * official["testing"] == len(hashed.splits[TEST])
    quiet = next(c for c in listed.splits[TEST] if c.label == "_silence_").audio
    level = 10 * np.log10(np.mean(quiet.read(RATE) ** 2))
    assert quiet.share >= 0.9
    assert quiet.level_db == pytest.approx(level, abs=0.5)


class Table:
    """A dataset of tones, as a person would save it."""

    def __init__(self, folder, count=10):
        self.datasets = pytest.importorskip("datasets")
        self.folder, self.rows = folder, []
        for label in TONES:
            for number in range(count):
                stream = io.BytesIO()
                soundfile.write(stream, tone(label, number), RATE, format="WAV")
                name = f"{VOICES[number % 5]}-{number}.wav"
                sound = {"bytes": stream.getvalue(), "path": name}
                self.rows.append({"sound": sound, "label": label, "who": VOICES[number % 5]})

    def made(self, rows=None, **renamed):
        rows = self.rows if rows is None else rows
        columns = {
            renamed.get(name, name): [row[name] for row in rows]
            for name in ("sound", "label", "who")
        }
        table = self.datasets.Dataset.from_dict(columns)
        return table.cast_column("sound", self.datasets.Audio())

    def saved(self, table):
        self.folder.mkdir(exist_ok=True)
        table.save_to_disk(str(self.folder))
        return self.folder


@pytest.fixture
def table(tmp_path):
    return Table(tmp_path / "dataset")


@pytest.mark.filterwarnings("ignore::ResourceWarning")
class TestDataset:
    """A Hugging Face dataset: columns found or named, audio decoded by soundfile."""

    def test_saved_whole(self, table):
        """Audio and labels are found, names tell speakers, samples come through."""
        found = corpus(table.saved(table.made()))
        clip = found.splits[TRAIN][0]

        assert "audio is 'sound', labels are 'label'" in found.notes[0]
        assert {TRAIN, VALIDATION, TEST} == set(found.splits)
        assert 30 == sum(len(clips) for clips in found.splits.values())
        number = clip.audio.number % 10
        assert np.allclose(tone(clip.label, number), clip.audio.read(RATE), atol=1e-4)
        assert len(tone("low")) / 2 == len(clip.audio.read(RATE // 2))

    def test_in_splits_with_class_labels(self, table):
        """Its own splits stay; numbers become names; a hidden test's labels leave it out."""
        datasets = table.datasets
        whole = table.made().class_encode_column("label")
        hidden = whole.select(range(3)).map(
            lambda row: {"label": -1}, load_from_cache_file=False, features=whole.features
        )
        parts = {"train": whole, "validation": whole.select(range(0, 30, 3)), "test": hidden}
        found = corpus(table.saved(datasets.DatasetDict(parts)))

        assert [30, 10] == [len(found.splits[TRAIN]), len(found.splits[VALIDATION])]
        assert set(TONES) == labels(found.splits[VALIDATION])
        assert "test: has no labels, and is left out" in found.notes

    def test_as_parquet(self, table):
        """A folder as it lies on the Hub."""
        table.folder.mkdir()
        table.made().to_parquet(str(table.folder / "train.parquet"))

        assert set(TONES) == labels(corpus(table.folder).splits[TRAIN])

    def test_of_files_and_of_arrays(self, table, tmp_path):
        """A column of names or of numbers will do, if it is named or plain to see."""
        folder = words(tmp_path / "words", 10)
        paths = sorted(folder.rglob("*.wav"))
        what = {"file": [str(path) for path in paths], "word": [path.parent.name for path in paths]}
        named = table.datasets.Dataset.from_dict(what)
        arrays = [tone(word, number).tolist() for number, word in enumerate(what["word"])]
        sounds = [{"array": each, "sampling_rate": RATE} for each in arrays]
        numbers = table.datasets.Dataset.from_dict({"sound": sounds, "word": what["word"]})
        found = corpus(table.saved(named), audio_column="file", label_column="word")
        other = corpus(Table(tmp_path / "other").saved(numbers))

        assert 10 == Counter(clip.label for s in found.splits.values() for clip in s)["low"]
        assert len(found.splits[TRAIN][0].audio.read(RATE)) > 0
        assert 0.7 * RATE == len(other.splits[TRAIN][0].audio.read(RATE))

    def test_columns_that_are_not_there_are_told(self, table):
        """With those that are."""
        folder = table.saved(table.made(label="meaning"))

        with pytest.raises(DataError, match="no column holds label; there are sound, meaning, who"):
            corpus(folder)
        with pytest.raises(DataError, match="no column 'x' for audio; there are sound"):
            corpus(folder, audio_column="x")
        assert set(TONES) == set(corpus(folder, label_column="meaning").labels)

    def test_a_row_that_is_no_audio_is_told_with_its_number(self, table):
        """And with its file's name."""
        table.rows[7]["sound"] = {"bytes": b"no audio at all", "path": "broken.wav"}
        folder = table.saved(table.made())

        with pytest.raises(DataError, match=r"row 7 \(broken.wav\): not audio that can be read"):
            heard(folder)

    def test_a_damaged_folder_is_told(self, tmp_path):
        """In a line."""
        pytest.importorskip("datasets")
        (tmp_path / "state.json").write_text("{}")

        with pytest.raises(DataError, match="can't be read as a dataset"):
            corpus(tmp_path)

    def test_one_that_nobody_can_load_is_told(self, monkeypatch):
        """By what was asked for."""
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        datasets = pytest.importorskip("datasets")
        monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)

        with pytest.raises(DataError, match="nobody/nothing: neither a folder here nor a dataset"):
            corpus("nobody/nothing")


def removed(folder, name):
    shutil.rmtree(folder / name)


def replaced(make):
    def spoil(folder):
        bad = make(folder.parent)
        shutil.move(bad, folder / "low" / "bad.wav")

    return spoil


def only(count):
    def spoil(folder):
        for path in sorted((folder / "low").iterdir())[count:]:
            path.unlink()

    return spoil


def three(folder):
    for label in TONES:
        for path in sorted((folder / label).iterdir())[1:]:
            path.unlink()


def one_label(folder):
    shutil.rmtree(folder / "low")
    shutil.rmtree(folder / "mid")


def copies(folder):
    for path in (folder / "low").iterdir():
        soundfile.write(path.with_name(f"take{path.name[-6:]}"), tone("low"), RATE)
        path.unlink()


def flat(folder):
    for path in sorted(folder.rglob("*.wav")):
        path.rename(folder / f"{path.parent.name}_{path.name}")
    for label in TONES:
        (folder / label).rmdir()


WRONG = {
    r"words: has one label only \(high\)": one_label,
    "words: 1 recordings of high are too few; give at least 5": three,
    "words: 4 recordings of low are too few": only(4),
    "low: no recordings in it": only(0),
    "words: no label folders in it": flat,
    "words: most recordings are copies of one another": copies,
    r"bad.wav: empty \(0 bytes\)": replaced(audio_files.empty),
    "bad.wav: cut off": replaced(audio_files.cut_off),
    "bad.wav: not audio that can be read": replaced(audio_files.text),
    "bad.wav: not a number": replaced(audio_files.nan),
    "bad.wav: holds no samples": replaced(
        lambda folder: audio_files.written(folder, samples=np.zeros((0, 1)))
    ),
}


@pytest.mark.parametrize("told", WRONG)
def test_what_is_wrong_with_recordings_is_told_in_a_line_with_the_name(tmp_path, told):
    """Before anything is trained."""
    folder = words(tmp_path / "words", 6)
    WRONG[told](folder)

    with pytest.raises(DataError, match=told) as caught:
        heard(folder)
    assert "\n" not in str(caught.value)


def test_what_is_not_there_is_told(tmp_path):
    """A name that may be an id is looked up; any other can't be."""
    (tmp_path / "file.wav").touch()

    with pytest.raises(DataError, match="no such folder, and no dataset's id"):
        corpus(tmp_path / "nothing")
    with pytest.raises(DataError, match="is a file"):
        corpus(tmp_path / "file.wav")
    with pytest.raises(DataError, match="label folders, which have no columns"):
        corpus(words(tmp_path / "words", 6), label_column="label")
    with pytest.raises(ConfigError, match="window-s -1"):
        Options(window_s=-1)


def test_a_label_that_is_only_measured_is_told(tmp_path):
    """Nothing could be learned of it."""
    words(tmp_path / "data" / "train", 6, ["low", "mid"])
    words(tmp_path / "data" / "test", 6)

    with pytest.raises(DataError, match="high is in test, but not in train"):
        corpus(tmp_path / "data")


@pytest.mark.parametrize(
    ("seconds", "names", "window"),
    [
        ([0.8] * 9 + [1.2], ["yes", "no"], 1.0),  # such words are said within a second
        ([0.8] * 9 + [1.24], ["ja", "nein"], 1.1),
        ([30.0] * 10, ["jazz", "rock"], 30.0),
        ([1.0] * 8 + [60.0] * 2, ["ja", "nein"], 2.0),  # a few are much longer than most
        ([0.2] * 9, ["ja", "nein"], 0.5),
    ],
)
def test_the_window_is_as_long_as_the_words(seconds, names, window):
    """By the labels where they tell, else by the recordings; or as it was asked for."""
    lengths = [round(each * RATE) for each in seconds]

    assert window == pytest.approx(windows.choose(lengths, names, RATE, None) / RATE, abs=0.05)
    assert 2.5 * RATE == windows.choose(lengths, names, RATE, 2.5)


@pytest.mark.parametrize("seconds", [0.3, 3.0])
def test_a_recording_is_cut_and_padded_anywhere_in_training_and_at_its_end_to_measure(
    tmp_path, seconds
):
    """The same seed and epoch give the same window, another epoch another."""
    folder = words(tmp_path / "words", 6)
    soundfile.write(folder / "low" / "anna-0.wav", tone("low", 1, seconds, 44_100), 44_100)
    clips = [c for c in find(str(folder), Options(), print).splits[TRAIN] if "low/anna-0" in c.name]
    heard = Recordings(clips, RATE)
    order, audio = sorted(TONES), Recordings(clips, RATE)[0]
    measured = Windows(heard, order, RATE)[0]
    training = Windows(heard, order, RATE, seed=1)
    once, again = training[0]["audio"], training[0]["audio"]
    training.epoch = 1

    assert seconds * RATE == pytest.approx(len(audio), abs=2)
    assert order.index("low") == measured["label"]
    assert np.array_equal(audio[:RATE], measured["audio"][: len(audio)])
    assert not measured["audio"][len(audio) :].any()
    assert np.array_equal(once, again)
    assert not np.array_equal(once, training[0]["audio"])
    assert RATE == len(once) == len(training[0]["audio"])
    assert np.abs(once).max() > 0.1


def test_two_channels_are_averaged_and_of_more_the_first_is_heard(tmp_path):
    """As everywhere in this package."""
    samples = audio_files.noise(1_000, channels=3)
    entries = [{"sound": {"bytes": audio_files.wav(samples[:, :n]), "path": None}} for n in (2, 3)]
    two, three = (Row(entries, n, "sound", f"row {n}", None).read(RATE) for n in (0, 1))

    assert np.allclose(samples[:, :2].mean(1), two, atol=1e-4)
    assert np.allclose(samples[:, 0], three, atol=1e-4)
    assert json.dumps(Options().fingerprint())


def test_a_folder_of_noise_needs_no_speakers(tmp_path):
    """Its names tell none; those of the words still keep voices apart."""
    folder = words(tmp_path / "words", 12, ["high", "low"])
    (folder / "_background_").mkdir()
    for number in range(12):
        soundfile.write(folder / "_background_" / f"{number}.wav", tone("mid", number), RATE)
    found = corpus(folder)
    voices = [
        stem.split("-")[0] for clips in found.splits.values() for stem in {*map(voice, clips)}
    ]

    assert "6 of them" in found.notes[-1]
    assert sorted([*VOICES, "", "", ""]) == sorted(voices)


def voice(clip):
    return "" if clip.label == "_background_" else clip.audio.path.stem.split("-")[0]


def test_a_part_of_speech_commands_is_split_by_speaker_too(tmp_path):
    """Of training speakers alone the hash gives no validation; nor need anyone say two words."""
    speakers = [name for name in map("{:08x}".format, range(90)) if split_of(name) == "training"]
    for at, label in enumerate(TONES):
        (tmp_path / label).mkdir()
        for number, name in enumerate(speakers[10 * at : 10 * at + 10] * 2):
            path = tmp_path / label / f"{name}_nohash_{number // 10}.wav"
            soundfile.write(path, tone(label, number), RATE)
    found = corpus(tmp_path)
    said = {split: {stem[:8] for stem in stems(clips)} for split, clips in found.splits.items()}

    assert ["recordings are split by speaker: 30 of them"] == found.notes
    assert 30 == sum(map(len, said.values()))
