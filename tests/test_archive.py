"""What a training keeps for its next run: it is data, and reading it runs nothing."""

import os
import pickle
from pathlib import Path

import msgspec
import numpy as np
import pytest

from export.synthesis import engines
from export.training import archive, corpus
from export.training.own import renderings
from export.training.own.recipe import Recipe
from export.training.strips import Speech, Word
from kws.errors import DataError

ROOT = Path(__file__).parent.parent


class Index(msgspec.Struct):
    names: list[str]


class Harmful:
    """Makes a folder, if ever a pickle of it is read."""

    def __init__(self, marker):
        self._marker = str(marker)

    def __reduce__(self):
        return os.mkdir, (self._marker,)


def pcm(count, seed=0):
    return np.random.default_rng(seed).integers(-32_768, 32_767, count).astype(np.int16)


@pytest.mark.parametrize("lengths", [[], [0], [3, 0, 5]])
def test_pieces_come_back_as_they_were(tmp_path, lengths):
    pieces = [pcm(count, seed) for seed, count in enumerate(lengths)]
    archive.write(tmp_path / "a.audio", Index(["é"]), pieces)
    index, found = archive.read(tmp_path / "a.audio", Index)

    assert index == Index(["é"])
    assert [each.tolist() for each in found] == [each.tolist() for each in pieces]
    assert [path.name for path in tmp_path.iterdir()] == ["a.audio"]


def test_what_is_no_archive_is_none(tmp_path):
    """Cut off anywhere, with another byte anywhere in its head, of another kind, or missing."""
    path = tmp_path / "a.audio"
    archive.write(path, Index(["a"]), [pcm(4)])
    whole = path.read_bytes()
    assert archive.read(path, Index) is not None
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        assert archive.read(path, Index) is None
    for at in range(len(archive.MAGIC) + archive.DIGITS):
        path.write_bytes(whole[:at] + b"\xff" + whole[at + 1 :])
        assert archive.read(path, Index) is None
    path.write_bytes(whole.replace(b'"lengths":[4]', b'"lengths":[9]'))
    assert archive.read(path, Index) is None
    path.write_bytes(whole)
    assert archive.read(path, dict[str, int]) is None
    assert archive.read(tmp_path / "missing", Index) is None


class Voice:
    """An engine that says one thing, and counts how often it is asked."""

    name, neural = "test", True

    def __init__(self):
        self.asked = 0

    def voices(self):
        return ["one"]

    def missing(self):
        return ""

    def render(self, text, count, seed, phonemes=()):
        self.asked += 1
        for number in range(count):
            yield np.full(4 + number, 0.5, np.float32)


@pytest.fixture
def voice(monkeypatch):
    found = Voice()
    monkeypatch.setattr(engines, "available", lambda: [found])
    return found


def render(folder):
    recipe = Recipe(renderings=2, near_words=1, near_renderings=1)
    return renderings.render({"hey": "hey"}, {}, recipe, 1, folder=folder, say=[].append)


def test_what_was_synthesised_is_said_once(voice, tmp_path):
    first = render(tmp_path)
    asked = voice.asked
    again = render(tmp_path)

    assert asked == voice.asked
    assert 2 == len(first.words["hey"])
    for one, other in ((first.words, again.words), (first.near, again.near)):
        assert [each.tolist() for each in one["hey"]] == [each.tolist() for each in other["hey"]]


@pytest.mark.parametrize("suffix", [".audio", ".pickle"])
def test_a_file_in_the_output_folder_runs_nothing(voice, tmp_path, suffix):
    """Whoever can write there must not be who trains."""
    marker = tmp_path / "it ran"
    render(tmp_path)
    for kept in tmp_path.glob("said-*"):
        kept.unlink()
        kept.with_suffix(suffix).write_bytes(pickle.dumps(Harmful(marker)))
    render(tmp_path)
    assert not marker.exists()

    pickle.loads(pickle.dumps(Harmful(marker)))  # noqa: S301 - the proof that it would
    assert marker.exists(), "the pickle is harmless: this test proves nothing"


def test_a_folder_that_takes_nothing_is_one_line(voice, tmp_path):
    with pytest.raises(DataError, match="can't be written"):
        render(tmp_path / "missing")


def test_the_corpus_is_decoded_once(tmp_path, monkeypatch):
    found = corpus.Corpus(
        [[Word(pcm(5), 1, 4, 0), Word(pcm(6), 0, 6, 0, isolated=False)], []],
        [Speech(pcm(8)), Speech(pcm(9), ((1, 2), (3, 4)))],
        [pcm(3)],
    )
    monkeypatch.setattr(corpus, "_decoded", lambda _: found)
    corpus.gather(tmp_path / "cache")
    monkeypatch.setattr(corpus, "_decoded", lambda _: pytest.fail("it was kept"))
    again = corpus.gather(tmp_path / "cache")

    def plain(what):
        words = [[(w.audio.tolist(), w.first, w.last, w.label, w.isolated) for w in group]
                 for group in what.words]  # fmt: skip
        speech = [(each.audio.tolist(), each.ours) for each in what.speech]
        return words, speech, [each.tolist() for each in what.noise]

    assert plain(again) == plain(found)


def test_nothing_is_unpickled_from_a_folder():
    """Neither here nor anywhere: checkpoints are read as tensors alone, arrays without objects."""
    wrong = []
    for path in [*(ROOT / "kws").rglob("*.py"), *(ROOT / "export").rglob("*.py")]:
        text = path.read_text(encoding="utf-8")
        wrong += [path.name] * ("pickle.load" in text and path.name != "cluster.py")
        wrong += [path.name] * ("torch.load(" in text and "weights_only=True" not in text)
        wrong += [path.name] * ("allow_pickle=True" in text)

    assert not wrong
