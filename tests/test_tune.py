"""Tuning: the rule, worked out on paper; what is expected of it; the command, at a microphone."""

import json
import random
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import models
import numpy as np
import pytest
from audio_files import written
from command import keywords, kws, model
from test_microphone import PATIENCE_S, pulse

from kws.card import OperatingPoint, Rate, Threshold
from kws.errors import ConfigError
from kws.evaluate.tuning import spoken
from kws.evaluate.tuning.tune import Start, check, choose, start
from kws.evaluate.tuning.tuned import Evidence
from kws.flow import Block
from kws.sources import devices, microphone
from kws.sources.backlog import Piece
from kws.terminal.prompts import rounds

__all__ = ["kws", "model", "pulse"]

ROOT = Path(__file__).parent.parent
RNG = np.random.default_rng(5)
WEAK, MIDDLING = 0.15811, 0.17462
"""Amplitudes at which the model of tones gives 0.5 and 0.75: odds of 1 and 3."""


def chosen(said, room=(), *, before=0.8, floor=0.6, hours=0.2, by_room=False):
    """Return the threshold of one keyword; said, room: its peaks."""
    known = Start({"a": before}, {"a": floor}, 1.0, [])
    heard = {"a": np.array(said)} if len(said) else {}
    rooms = {"a": np.array(room, np.float64)}
    return choose(known, heard, rooms, hours=hours, by_room=by_room)["a"]


@pytest.mark.parametrize(
    ("said", "room", "threshold"),
    [
        ([0.99, 0.98, 0.97], [], 0.8),  # a clear voice in a quiet room: nothing moves
        ([0.99, 0.98, 0.8], [], 0.6667),  # 0.8 has odds of 4; half of them is 2 to 1
        ([0.99, 0.98, 0.7], [], 0.6),  # odds of 7 to 6 lie under the card's operating points
        ([0.99, 0.98, 0.1], [], 0.8),  # no threshold reaches 0.1: the others don't pay for it
        ([0.3, 0.2, 0.1], [], 0.8),
        ([0.99, 0.98, 0.97], [0.9, 0.2], 0.9474),  # 0.9 has odds of 9: twice that
        ([0.75, 0.75, 0.75], [0.9], 0.9474),  # the room comes before the voice
        ([0.99, 0.9, 0.7], [0.5], 0.6667),  # over 2 to 1 the room can't reach; 0.7 still counts
        ([0.99, 0.9, 0.7], [0.6], 0.8),  # 0.7 lies under 3 to 1, 0.9 over it: half of 9 is 4.5
        ([], [0.9], 0.9474),  # never said: the room may raise it
        ([], [], 0.8),
        ([0.99, 0.98, 0.97], [0.999999], 0.9999),
    ],
)
def test_a_threshold_moves_only_for_a_reason(said, room, threshold):
    """Down as far as the voice needs and the card allows, up over whatever the room made."""
    assert threshold == chosen(said, room)


def test_a_room_that_was_heard_for_hours_takes_the_cards_place():
    """Without a peak in four hours: as low as the voice needs, whatever the card says."""
    assert chosen([0.9, 0.8, 0.5], hours=4, by_room=True) == 0.3333
    assert chosen([0.9, 0.8, 0.5], hours=4, by_room=False) == 0.6667


def test_a_long_room_may_raise_some_alarms_within_the_rate():
    """A voice that lies under the room's one peak in four hours stays heard; not under forty."""
    voice = [0.85, 0.85, 0.85]

    assert chosen(voice, [0.9], hours=4, by_room=True) < 0.85
    assert chosen(voice, RNG.uniform(0.7, 0.95, 40), hours=4, by_room=True) > 0.9
    assert chosen(voice, [0.9], hours=4, by_room=False) == 0.9474


def point(rate, level):
    """An operating point of the word yes."""
    return OperatingPoint(rate, "keyword", {"yes": level}, Rate(rate, 1, 1.0, 0.0, 5.0))


POINTS = [point(0.5, 0.9), point(2.0, 0.7), point(4.0, 0.6)]
MEASURED = {"yes": Threshold(0.7, Rate(2.0, 2, 1.0, 0.2, 7.2))}


@pytest.mark.parametrize(
    ("changes", "wanted", "floor"),
    [
        ({"operating_points": POINTS}, None, 0.6),
        ({"operating_points": POINTS}, 3.0, 0.7),
        ({"operating_points": POINTS}, 0.5, 0.9),  # over the threshold in use: it has to rise
        ({"operating_points": POINTS}, 0.1, 0.7),  # nothing is known of it: as it stands
        ({"thresholds": MEASURED}, None, 0.7),
        ({}, None, pytest.approx(0.1824, abs=1e-4)),  # never measured: no reason against any
    ],
)
def test_the_card_says_how_low_a_threshold_may_go(changes, wanted, floor):
    """To its most permissive operating point within the rate that is asked for."""
    assert floor == start([models.card(**changes)], {"yes": 0.7}, wanted).floor["yes"]


def test_a_rate_that_nobody_can_speak_of_is_refused():
    """Neither points so low nor hours enough: one line says how long it takes."""
    known = start([models.card(operating_points=POINTS)], {"yes": 0.7}, 0.1)

    with pytest.raises(ConfigError, match=r"points: 0\.5, 2, 4\) nor 0\.17 h .* takes 37 h"):
        check(known, 0.1, 10 / 60)
    check(known, 0.1, 37)
    check(known, 0.5, 0)


def test_every_word_and_every_part_of_the_room_is_left_out_once():
    """Of few utterances each alone; of many a tenth at a time."""
    said = [SimpleNamespace(word=SimpleNamespace(label=name)) for name in "aabbbb" + 25 * "c"]
    room = [SimpleNamespace(seconds=60.0) for _ in range(4)]
    parts = list(Evidence(said, room).parts())

    for whole, pick in [(said, lambda part: part.said), (room, lambda part: part.room)]:
        left_out = [each for _, out in parts for each in pick(out)]
        assert sorted(map(id, left_out)) == sorted(map(id, whole))
        assert all(len(pick(rest)) + len(pick(out)) == len(whole) for rest, out in parts)
    most = [max(sum(s.word.label == n for s in out.said) for _, out in parts) for n in "abc"]
    assert most == [1, 1, 3]
    assert len(parts) == 10


def test_rounds_are_shuffled_and_no_word_comes_twice_in_a_row():
    """Each round has every word once; a single word can't but follow itself."""
    order = rounds(["a", "b", "c"], 50, random.Random(1))

    assert all(set(order[at : at + 3]) == set("abc") for at in range(0, 150, 3))
    assert all(one != other for one, other in pairwise(order))
    assert len({tuple(order[at : at + 3]) for at in range(0, 150, 3)}) > 3
    assert rounds(["a"], 3, random.Random(1)) == ["a"] * 3


def heard(sound, *, background=0.001):
    """Return a sound half a second into noise, with where it was found."""
    audio = models.noise(2.0, amplitude=background)
    audio[8_000 : 8_000 + len(sound)] += sound
    return audio, spoken.find(audio, models.RATE)


def test_a_word_is_found_with_its_bounds_and_level():
    """Half a second in, 0.3 s long; a sine of amplitude 0.3 has -13.5 dBFS."""
    audio, found = heard(models.tone("yes", 0.3))

    assert (found.start_s, found.end_s) == pytest.approx((0.5, 0.8), abs=0.011)
    assert found.level_db == pytest.approx(-13.5, abs=0.5)
    assert spoken.trouble(audio, models.RATE, found, clipped=0) is None


@pytest.mark.parametrize(
    ("sound", "background", "clipped", "said"),
    [
        (np.zeros(0, np.float32), 0.001, 0, "nothing was heard"),
        (np.zeros(0, np.float32), 0.0, 0, "nothing was heard"),
        (models.tone("yes", 0.03), 0.001, 0, "nothing was heard"),  # a click
        (models.tone("yes", 0.3), 0.3, 0, "nothing was heard"),  # drowned
        (models.tone("yes", 0.3, amplitude=0.003), 0.0001, 0, "too quiet"),
        (models.tone("yes", 0.3), 0.001, 5, "too loud"),
    ],
)
def test_what_is_no_word_is_asked_for_again(sound, background, clipped, said):
    """Silence, a click, a murmur, a roar; never what was only not recognised."""
    audio, found = heard(sound, background=background)

    assert spoken.trouble(audio, models.RATE, found, clipped=clipped).startswith(said)


def clips(folder, amplitudes):
    """Write recordings of words: amplitudes by keyword."""
    for name, levels in amplitudes.items():
        (folder / name).mkdir(parents=True)
        for number, level in enumerate(levels):
            audio = [models.noise(0.3), models.tone(name, 0.3, amplitude=level), models.noise(0.4)]
            written(folder / name, f"{number}.wav", np.concatenate(audio), models.RATE)
    return folder


def a_room(folder, *sounds):
    """Write a recording of a room in which these sounds occur."""
    parts = [models.noise(1.0)]
    for sound in sounds:
        parts += [sound, models.noise(2.0)]
    return written(folder, "room.wav", np.concatenate(parts), models.RATE)


def test_recordings_give_an_override_file(kws, model, tmp_path):
    """A weak voice lowers yes to half its odds, the room raises no to twice its peak's."""
    words = clips(tmp_path / "words", {"yes": [WEAK] * 4, "no": [0.3] * 3})
    words.joinpath("unknown").mkdir()
    written(words / "unknown")
    room = a_room(tmp_path, models.tone("no", 0.3, amplitude=MIDDLING))
    out = tmp_path / "tuned.json"

    result = kws("tune", "--model", model, "--words", words, "--room", room, "-o", out, "--json")

    assert result.code == 0
    levels = json.loads(out.read_text())["thresholds"]
    assert levels == pytest.approx({"yes": 1 / 3, "no": 6 / 7, "jarvis": 0.6}, abs=0.002)
    found = json.loads(result.out)
    yes, no = found["keywords"]["yes"], found["keywords"]["no"]
    assert [yes["missed_before"]["hits"], yes["missed"]["hits"]] == [4, 0]
    assert no["missed"]["hits"] == no["alarms_before"]["events"] - 1 == 0
    assert no["alarms"]["events"] == 1  # this part of the room, judged without it
    assert no["room_peak"] == {
        "score": pytest.approx(0.75, abs=0.01), "at_s": pytest.approx(1.2, abs=0.15),
        "recording": str(room),
    }  # fmt: skip
    weak = a_room(tmp_path, models.tone("yes", 0.3, amplitude=WEAK))
    assert keywords(kws("spot", weak, "--model", model)) == []
    assert keywords(kws("spot", weak, "--model", model, "--overrides", out)) == ["yes"]


def test_the_table_claims_no_more_than_was_heard(kws, model, tmp_path):
    """Bounds beside counts, what minutes can't tell, and what was odd."""
    words = clips(tmp_path / "words", {"yes": [0.3] * 3})
    room = a_room(tmp_path, models.tone("no", 0.3, amplitude=MIDDLING))

    said = kws(
        "tune", "--model", model, "--words", words, "--room", room, "-o", tmp_path / "t.json"
    ).out

    for text in [
        "0 of 3 (0-56 %)",
        "0 (too short to tell)",
        "3 seconds of room can't tell anything of false alarms an hour",
        "3 utterances of a word can't tell of less than 33 % misses",
        "no: rose to 0.7",
    ]:
        assert text in said
    assert max(map(len, said.splitlines()[:12])) <= 100


def test_the_settings_of_an_older_override_file_stay(kws, model, tmp_path):
    """What it says of the decision holds while tuning, and goes into the new one."""
    old = tmp_path / "old.json"
    old.write_text('{"thresholds": {"yes": 0.4}, "decision": {"smoothing_s": 0.2}}')
    words = clips(tmp_path / "words", {"no": [0.3] * 3})
    out = tmp_path / "new.json"

    result = kws(
        "tune", "--model", model, "--words", words, "--room", a_room(tmp_path),
        "--keywords", "no", "--overrides", old, "-o", out,
    )  # fmt: skip

    assert result.code == 0
    assert json.loads(out.read_text()) == {
        "thresholds": {"yes": 0.4, "no": 0.6}, "decision": {"smoothing_s": 0.2},
    }  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with recordings in it: of few words, of others, of enough."""
    monkeypatch.chdir(tmp_path)
    clips(tmp_path / "few", {"yes": [0.3] * 2})
    clips(tmp_path / "fine", {"yes": [0.3] * 3})
    for name in ["bird", "cat"]:
        (tmp_path / "others" / name).mkdir(parents=True)
    (tmp_path / "there.json").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--keywords", "yse"], "unknown keyword 'yse'; did you mean yes"),
        (["--words", "few"], "few/yes: 2 recordings of it; its threshold takes 3"),
        (["--words", "others"], "others: no folder of yes, no, jarvis; it has bird, cat"),
        (["--words", "fine", "--keywords", "yes,no"], "fine: no folder of no; it has yes"),
        (["--words", "nowhere"], "nowhere: no such folder"),
        (["--words", "fine", "--room", "nowhere.wav"], "nowhere.wav: no such file"),
        (["--false-alarms", "1"], "neither the model (its operating points: none) nor 0.17 h"),
        (["--false-alarms", "0"], "--false-alarms 0 is no rate"),
        (["-o", "there.json"], "there.json: is there already; give another --out FILE, or --force"),
        (["-o", "nowhere/x.json"], "nowhere/x.json: can't be written: no folder"),
        (["--times", "2"], "Invalid value for '--times'"),
    ],
)
def test_what_cannot_work_is_told_before_anybody_talks(kws, model, folder, options, said):
    """One line, exit code 2, nothing written."""
    result = kws("tune", "--model", model, *options)

    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert result.err.startswith(f"kws: {said}")
    assert not (folder / "kws-thresholds.json").exists()


def test_without_a_microphone_tune_says_so(kws, model, tmp_path, monkeypatch):
    """As `listen` does: one line, exit code 3."""
    monkeypatch.setattr(devices, "devices", list)

    result = kws("tune", "--model", model, "-o", tmp_path / "t.json")

    assert (result.code, result.out) == (3, "")
    assert result.err == "kws: there is no microphone: connect one, or start the sound server\n"


class Person:
    """A microphone beside somebody who says what is asked for, in their own way.

    says: by keyword, how loud, one after the other (0: not a word). interrupt, muted: Ctrl-C, and
    nothing but zeros, after so many seconds.
    """

    live, rate, channels, input = True, models.RATE, 1, "Desk Mic"

    def __init__(self, capsys, says, interrupt=1e9, muted=1e9):
        self._capsys, self._interrupt, self._muted = capsys, interrupt, muted
        self._says = {name: iter(levels) for name, levels in says.items()}
        self._zeros, self._events = microphone.Zeros(self.rate), []
        self.printed = ""

    def __iter__(self):
        coming, start, noise = [], 0, models.noise(60.0)
        while True:
            more = self._capsys.readouterr().err
            self.printed += more
            for line in more.splitlines():
                if line.startswith("say: "):
                    name = line.split()[1]
                    coming = [models.noise(0.3), self._word(name), models.noise(0.3)]
                    coming = list(np.concatenate(coming).reshape(-1, 400))
            if start > self._interrupt * self.rate:
                raise KeyboardInterrupt
            at = start % len(noise)
            samples = coming.pop(0) if coming else noise[at : at + 400]
            if start > self._muted * self.rate:
                samples = np.zeros(400, np.float32)
            piece = Piece(b"", start, len(samples), 0.0)
            self._events += self._zeros.process(piece, sound=bool(samples.any()))
            yield Block(samples[:, None], start, self.rate)
            start += len(samples)

    def _word(self, name):
        level = next(self._says[name])
        if not level:
            return models.noise(0.3)
        return np.clip(models.tone(name, 0.3, amplitude=level), -1, 1)

    def poll_events(self):
        events, self._events = self._events, []
        return events

    def close(self):
        pass


def talk(monkeypatch, person, *args):
    """Run `kws tune` beside a person; return its exit code."""
    from kws.cli import main

    monkeypatch.setattr(microphone, "Microphone", lambda *_, **__: person)
    return main(["tune", *map(str, args)])


def test_a_word_that_was_not_heard_is_asked_for_again(model, tmp_path, monkeypatch, capsys):
    """Silence and clipping are repeated; a keyword that never comes is given up, and said so."""
    yes = [0.3, 0.0, 0.3, 1.5, WEAK]
    person = Person(capsys, {"yes": yes, "no": [0.0] * 3})
    out = tmp_path / "t.json"

    code = talk(
        monkeypatch, person, "--model", model, "--keywords", "yes,no", "--times", 3,
        "--minutes", 0.05, "-o", out,
    )  # fmt: skip

    assert code == 0
    assert "nothing was heard" in person.printed
    assert "too loud" in person.printed
    assert "no is given up after 3 tries" in person.printed
    assert "no is given up" not in person.printed.split("no is given up", 1)[1]
    levels = json.loads(out.read_text())["thresholds"]
    assert levels == pytest.approx({"yes": 1 / 3, "no": 0.6}, abs=0.002)


def test_without_a_room_nothing_is_known_of_false_alarms(model, tmp_path, monkeypatch, capsys):
    """It says so; the voice still counts."""
    person = Person(capsys, {"yes": [WEAK] * 3})
    out = tmp_path / "t.json"

    code = talk(
        monkeypatch, person, "--model", model, "--keywords", "yes", "--times", 3,
        "--minutes", 0, "-o", out,
    )  # fmt: skip

    assert code == 0
    assert "nothing is known of its false alarms" in capsys.readouterr().out
    assert json.loads(out.read_text())["thresholds"]["yes"] == pytest.approx(1 / 3, abs=0.002)


def test_ctrl_c_before_the_room_writes_nothing(model, tmp_path, monkeypatch, capsys):
    """It ends as a shell expects."""
    person = Person(capsys, {"yes": [0.3] * 3}, interrupt=2)
    out = tmp_path / "t.json"

    assert talk(monkeypatch, person, "--model", model, "--keywords", "yes", "-o", out) == 130
    assert "nothing was written" in capsys.readouterr().err
    assert not out.exists()


def test_ctrl_c_in_the_room_goes_on_with_what_was_heard(model, tmp_path, monkeypatch, capsys):
    """The file is written, and the minutes are those that were heard."""
    person = Person(capsys, {"yes": [0.3] * 3}, interrupt=15)
    out = tmp_path / "t.json"
    code = talk(
        monkeypatch, person, "--model", model, "--keywords", "yes", "--times", 3, "-o", out,
        "--json",
    )  # fmt: skip

    assert code == 0
    assert out.exists()
    assert 0 < json.loads(capsys.readouterr().out)["hours"] < 15 / 3600


def test_a_muted_microphone_hears_no_room(model, tmp_path, monkeypatch, capsys):
    """Zeros say nothing of false alarms, so they are no time in which none came."""
    person = Person(capsys, {"yes": [0.3] * 3}, muted=10)
    out = tmp_path / "t.json"

    talk(
        monkeypatch, person, "--model", model, "--keywords", "yes", "--times", 3,
        "--minutes", 0.5, "-o", out, "--json",
    )  # fmt: skip

    assert "nothing but zeros: is the microphone muted?" in person.printed
    assert 0 < json.loads(capsys.readouterr().out)["hours"] < 10 / 3600


def test_somebody_who_says_nothing_is_not_asked_for_ever(model, tmp_path, monkeypatch, capsys):
    """One line, exit code 2, nothing written."""
    person = Person(capsys, {"yes": [0.0] * 3})
    out = tmp_path / "t.json"

    assert talk(monkeypatch, person, "--model", model, "--keywords", "yes", "-o", out) == 2
    assert "nothing was said, so nothing was written" in capsys.readouterr().err
    assert not out.exists()


def test_tuned_at_a_microphone_and_used(pulse, kws, model, tmp_path):
    """Words are played when they are asked for; what comes out is what `kws spot` needs."""
    out, said = tmp_path / "t.json", tmp_path / "said"
    weak = a_room(tmp_path, models.tone("yes", 0.3, amplitude=WEAK))
    word = written(tmp_path, "yes.wav", models.tone("yes", 0.3, amplitude=WEAK), models.RATE)
    options = ["--keywords", "yes", "--times", "3", "--minutes", "0.05"]
    with said.open("w") as err:
        process = subprocess.Popen(
            [sys.executable, "-m", "kws", "tune", "--model", model, "-o", out, *options],
            cwd=ROOT, env=pulse.env, stdout=subprocess.DEVNULL, stderr=err,
        )  # fmt: skip
    played, deadline = [], time.monotonic() + PATIENCE_S
    while process.poll() is None and time.monotonic() < deadline:
        if said.read_text().count("say: yes") > len(played):
            played.append(pulse.play(word))
        time.sleep(0.05)
    process.kill()
    for one in played:
        one.wait(PATIENCE_S)

    assert process.wait() == 0, said.read_text()
    assert said.read_text().count("heard, 0.3") == 3
    assert json.loads(out.read_text())["thresholds"]["yes"] == pytest.approx(1 / 3, abs=0.03)
    assert keywords(kws("spot", weak, "--model", model)) == []
    assert keywords(kws("spot", weak, "--model", model, "--overrides", out)) == ["yes"]
