# ruff: noqa: RUF001  phonetic symbols look like letters
"""Voices: which are here, how better ones are fetched, and how any text is pronounced."""

import hashlib
import json

import numpy as np
import pytest

from export.packages import Packed, fetch
from export.synthesis import engines, phonemes
from export.synthesis.engines import kokoro, piper
from export.synthesis.phonemes import Phonemes, from_ipa, guesses
from kws.cli import main
from kws.errors import DataError


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    """A user's empty data folder; no voices of the machine's own."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "data"))
    monkeypatch.setattr(piper, "PACKAGED", ())
    return engines.folder()


@pytest.fixture
def dictionaries(tmp_path):
    """A folder with two small dictionaries of Misaki's form."""
    folder = tmp_path / "misaki-dictionaries"
    folder.mkdir()
    (folder / "us_gold.json").write_text(
        json.dumps({"hey": "hˈA", "marvin": {"DEFAULT": "mˈɑɹvɪn"}})
    )
    (folder / "us_silver.json").write_text("{}")
    return tmp_path


def rows(capsys):
    assert 0 == main(["voices", "--json"])
    return {row["engine"]: row for row in map(json.loads, capsys.readouterr().out.splitlines())}


def test_every_engine_is_listed_with_what_it_lacks(capsys):
    """Neural engines come first; each says what to do where nothing of it is here."""
    found = rows(capsys)

    assert {"kokoro", "piper", "espeak-ng", "flite", "festival"} == set(found)
    assert ["kokoro", "piper"] == sorted(list(found)[:2])
    assert "kws voices add kokoro" in found["kokoro"]["missing"]
    assert all(row["voices"] or row["missing"] for row in found.values())
    assert 0 == main(["voices"])
    told = capsys.readouterr()
    assert all(len(line) <= 100 for line in told.out.splitlines())
    assert "kws voices add kokoro" in told.err


def test_buzzing_voices_speak_only_where_no_neural_one_is(data, capsys, monkeypatch):
    """With a Piper voice here, espeak-ng is listed as not used."""
    monkeypatch.setattr(piper.shutil, "which", lambda name: f"/usr/bin/{name}")
    data.mkdir(parents=True)
    for name in ("en_US-amy-low.onnx", "en_US-amy-low.onnx.json"):
        (data / name).write_bytes(b"{}")

    found = rows(capsys)

    assert ["en_US-amy-low"] == found["piper"]["voices"]
    assert found["piper"]["used"]
    assert not found["espeak-ng"]["used"]
    assert ["piper"] == [engine.name for engine in engines.available()]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["add", "nobody"], "there is no voice engine 'nobody'; there are kokoro, piper"),
        (["add"], "kws voices add ENGINE"),
        (["add", "flite"], "apt install flite"),
        (["add", "kokoro", "--from", "nowhere"], "nowhere: is no folder"),
    ],
)
def test_a_wrong_wish_gets_one_line(arguments, line, capsys):
    """Exit code 2, and what to say instead."""
    assert 2 == main(["voices", *arguments])
    told = capsys.readouterr().err
    assert line in told
    assert 1 == len(told.splitlines())


def test_files_come_from_a_folder_and_are_checked(data, tmp_path, monkeypatch):
    """No network: the file itself lies there; one that was changed is refused."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "voice.bin").write_bytes(b"voice")
    right = Packed("voice.bin", ("a==1",), "*", hashlib.sha256(b"voice").hexdigest(), "MIT")
    wrong = Packed("other.bin", ("a==1",), "*", right.sha256, "MIT")
    (source / "other.bin").write_bytes(b"changed")

    assert b"voice" == fetch(right, data, source).read_bytes()
    with pytest.raises(DataError, match=r"other.bin from .*the package has changed"):
        fetch(wrong, data, source)
    with pytest.raises(DataError, match="put the package a==1 there"):
        fetch(Packed("third", ("a==1",), "*", "0", "MIT"), data, source)
    assert ["voice.bin"] == [path.name for path in data.iterdir()]


def test_only_add_fetches(data):
    """Saying a word with files missing is an error, and downloads nothing."""
    with pytest.raises(DataError, match="kws voices add kokoro"):
        next(kokoro.ENGINE.render("hey", 1, 1))
    assert not data.exists()


def test_any_text_is_pronounced(dictionaries, monkeypatch):
    """Known words by the dictionary; others by espeak-ng, as a name, and by their letters."""
    known = Phonemes(dictionaries)
    monkeypatch.setattr(phonemes, "pronounces", lambda: False)

    assert ["hˈA mˈɑɹvɪn"] == known.variants("Hey, Marvin!")
    assert ["hˈA hɑdˈukɛn", "hˈA hədˈukɛn", "hˈA hədˈOkɛn", "hˈA hædˈWkɛn"] == known.variants(
        "hey hadouken"
    )
    assert {"dɹəkˈɑɹis", "dɹəkˈæɹis"} <= set(guesses("dracarys"))
    assert ["ˌɔɹ", "ˌəɹ"] == phonemes._weak("ˌɔɹ")
    assert ["əθˈinə", "ɐθˈinə"] == phonemes._weak("əθˈinə")
    with pytest.raises(DataError, match="holds no word"):
        known.variants("?!")
    with pytest.raises(DataError, match="no pronunciation of 66"):
        guesses("66")


def test_espeaks_symbols_become_misakis():
    """Diphthongs and affricates are one symbol each; length is dropped."""
    assert "dɹˈækəɹiz" == from_ipa("dɹˈækɚɹiz")
    assert "hˈA mˈɑɹvɪn ʤˈIənt" == from_ipa("hˈeɪ mˈɑːɹvɪn dʒˈaɪənt")


def test_a_piper_file_that_is_none_gets_one_line(tmp_path):
    """The line names the file and says to remove it."""
    (tmp_path / "en_x.onnx").write_bytes(b"no graph")
    (tmp_path / "en_x.onnx.json").write_text("{}")

    with pytest.raises(DataError, match=r"en_x.onnx: is no Piper voice .*remove it"):
        piper._say(tmp_path / "en_x.onnx", "hey", np.random.default_rng(1))
