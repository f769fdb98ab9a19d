"""Recording: what is wrong with a take, the folder, the command, and a microphone."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from command import kws
from models import noise
from test_microphone import PATIENCE_S, ROOT, pulse
from test_sinks import full_disk

from kws import classify
from kws.errors import ConfigError, DataError, DeviceError
from kws.flow import Block
from kws.recording import session
from kws.recording.shelf import Shelf, word
from kws.recording.take import FAULTS, MARGIN_S, Said, Take, judge
from kws.sources import devices, microphone

__all__ = ["kws", "pulse"]

RATE = 16_000
SPOKEN = Path(__file__).parent / "words"
VOICES = ["espeak-ng-en-us", "festival-kal_diphone", "flite-rms", "flite-slt"]


def said(label="yes", voice="flite-rms", level=0.5):
    """Return a word as a voice says it, its peak at `level`."""
    audio, rate = soundfile.read(SPOKEN / voice / f"{label}.opus", dtype="float32")
    assert rate == RATE
    return audio * (level / np.abs(audio).max())


def take(*parts, quiet=0.001, lead=0.5, tail=0.7, **more):
    """Return a take: parts are sounds, or seconds of a pause."""
    sounds = [np.zeros(round(p * RATE), np.float32) if np.isscalar(p) else p for p in parts]
    pauses = [np.zeros(round(seconds * RATE), np.float32) for seconds in (lead, tail)]
    audio = np.concatenate([pauses[0], *sounds, pauses[1]])
    audio += noise(len(audio) / RATE + 0.1, amplitude=quiet)[: len(audio)]
    clipped = int((np.abs(audio) >= 0.999).sum())
    return Take(np.clip(audio, -1, 1), RATE, **{"clipped": clipped, **more})


@pytest.mark.parametrize("voice", VOICES)
@pytest.mark.parametrize("label", ["yes", "stop", "off", "computer", "marvin"])
def test_a_word_is_kept_with_its_margins(voice, label):
    """All of it, and as much silence on either side as MARGIN_S says."""
    sound = said(label, voice)
    found = judge(take(0.5, sound, 0.5))

    assert isinstance(found, Said), found
    assert found.start_s == pytest.approx(MARGIN_S)
    assert len(found.audio) / RATE == pytest.approx(found.end_s + MARGIN_S)
    assert 0.1 < found.end_s - found.start_s <= len(sound) / RATE
    assert len(found.audio) >= len(sound)
    assert -30 < found.level_db < -6


def whistle():
    """Return a kettle: a sine of 6 kHz, 0.3 s of it."""
    return (0.3 * np.sin(2 * np.pi * 6_000 * np.arange(4_800) / RATE)).astype(np.float32)


@pytest.mark.parametrize(
    ("heard", "fault"),
    [
        (take(1.0), "nothing"),
        (take(1.0, quiet=0.0), "zeros"),
        (take(said(level=0.004), quiet=0.00002), "quiet"),
        (take(said(level=3.0)), "clipped"),
        (take(said(), clipped=3), "clipped"),
        (take(said(), lost=True), "lost"),
        (take(said(), 0.6, said("no")), "several"),
        (take(said(), lead=0.0), "early"),
        (take(said()[: RATE // 4], tail=0.0), "endless"),
        (take(*[said()] * 12), "long"),
        (take(whistle()), "noise"),
        (take(noise(0.02, amplitude=0.3)), "nothing"),  # a click
        (take(said(level=0.3), quiet=0.1), "nothing"),  # drowned
    ],
)
def test_what_will_not_do_is_told(heard, fault):
    """Each for its own reason, which is one short line."""
    assert judge(heard) == fault
    assert len(FAULTS[fault]) < 80


@pytest.mark.parametrize(
    "heard",
    [
        take(said(), tail=0.5, quiet=0.0),  # microphones that mute themselves give zeros in pauses
        take(said("no"), 0.1, said("stop")),  # the pauses in a phrase are short
        take(noise(0.02, amplitude=0.3), 0.6, said()),  # a mouse was clicked before
    ],
)
def test_what_will_do_is_kept(heard):
    """Rules must not get in anybody's way."""
    assert isinstance(judge(heard), Said)


def test_a_constant_voltage_hides_no_word():
    """Cheap sound cards add one; the recording keeps it."""
    plain = take(0.5, said(level=0.1))
    shifted = judge(Take(plain.audio + np.float32(0.05), RATE))

    assert (judge(plain).start_s, judge(plain).end_s) == (shifted.start_s, shifted.end_s)
    assert shifted.level_db == pytest.approx(judge(plain).level_db, abs=0.1)


@pytest.mark.parametrize(
    ("text", "name"),
    [("marvin", "marvin"), (" hey marvin ", "hey marvin"), ("Größe", "Größe"), ("u\u0308", "ü")],
)
def test_a_word_is_its_folder(text, name):
    """Without the space around it, and in one way of writing."""
    assert word(text) == name


@pytest.mark.parametrize(
    "text",
    ["", "  ", "a/b", "..", ".a", "_noise", "a\\b", "a\0b", "a\nb", "a,b", "a=1", "a.", "C:"],
)
def test_what_can_be_no_folder_is_refused(kws, tmp_path, text):
    """One line, exit code 2, before the microphone is opened; nothing is made."""
    with pytest.raises(ConfigError):
        word(text)
    result = kws("record", "-o", tmp_path / "x", "--", text)

    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert not any(tmp_path.iterdir())


def test_recordings_are_numbered_on(tmp_path):
    """After the highest that is there, whatever its format; nothing is written over."""
    there = {"007.wav": b"a", "notes.txt": b"b", "12a.flac": b"c", ".990.flac": b"d"}
    for name, content in there.items():
        (tmp_path / name).write_bytes(content)
    audio = noise(0.5, amplitude=0.1)
    with Shelf(tmp_path) as shelf:
        before = shelf.there
        paths = [shelf.add(audio, 44_100).name for _ in range(2)]

    assert (before, paths, shelf.there) == (2, ["008.flac", "009.flac"], 4)
    assert {name: (tmp_path / name).read_bytes() for name in there} == there
    back, rate = soundfile.read(tmp_path / "008.flac", dtype="float32")
    assert rate == 44_100
    assert np.allclose(back, audio, atol=1 / 32_768)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*there, *paths])


@pytest.mark.parametrize("links", [True, False])
def test_two_at_once_write_over_nothing(tmp_path, monkeypatch, links):
    """Another one took the number in the meantime; file systems of memory cards have no links."""
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    with Shelf(tmp_path) as one, Shelf(tmp_path) as other:
        monkeypatch.setattr(one, "_highest", lambda: 0)
        monkeypatch.setattr(other, "_highest", lambda: 0)
        paths = [shelf.add(noise(0.1), RATE).name for shelf in (one, other)]

    assert paths == ["001.flac", "002.flac"]
    assert sorted(path.name for path in tmp_path.iterdir()) == paths


def no_links(*_):
    raise OSError(1, "Operation not permitted")


def test_a_full_disk_is_one_line(tmp_path):
    """It names the file; no part of it stays, and what was there does."""
    with Shelf(tmp_path / "a" / "b") as shelf:
        shelf.add(noise(0.1), RATE)
        with (
            full_disk(100),
            pytest.raises(DataError, match=r"b/002\.flac: can't be written \(File too large"),
        ):
            shelf.add(noise(0.1), RATE)

    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["001.flac"]


def test_a_folder_that_stays_empty_goes(tmp_path):
    """Only what was made here: one that was there stays."""
    with Shelf(tmp_path / "recordings" / "marvin"):
        assert (tmp_path / "recordings" / "marvin").is_dir()
    (tmp_path / "mine").mkdir()
    with Shelf(tmp_path / "mine" / "marvin"):
        pass

    assert [path.name for path in tmp_path.rglob("*")] == ["mine"]


class Person:
    """A microphone beside somebody who says, whenever asked, the next of `says`.

    says: sounds; an exception is raised instead. Two channels at 48 kHz.
    """

    live, rate, channels, input = True, 48_000, 2, "Desk Mic"

    def __init__(self, monkeypatch, *says):
        self._says, self._coming, self.asked = list(says), [], 0
        ask = session.Told.ask
        monkeypatch.setattr(session.Told, "ask", lambda *args: (self._asked(), ask(*args)))
        monkeypatch.setattr(microphone, "Microphone", lambda *_, **__: self)

    def _asked(self):
        self.asked += 1
        sound = self._says.pop(0)
        if isinstance(sound, np.ndarray):
            sound = np.concatenate([np.zeros(RATE // 5, np.float32), sound]).repeat(3)
        self._coming = sound

    def __iter__(self):
        hiss, start = np.repeat(noise(10.0, amplitude=0.0002), 3).reshape(-1, 1_920), 0
        while True:
            if isinstance(self._coming, BaseException):
                raise self._coming
            samples = hiss[start // 1_920 % len(hiss)].copy()
            now, self._coming = self._coming[:1_920], self._coming[1_920:]
            samples[: len(now)] += now
            yield Block(np.stack([samples, samples], 1).clip(-1, 1), start, self.rate)
            start += len(samples)

    def poll_events(self):
        return []

    def close(self):
        self._coming = DeviceError("closed")


SILENCE = np.zeros(0, np.float32)


def test_a_word_is_asked_for_until_there_are_enough(kws, tmp_path, monkeypatch):
    """Good takes are files of one channel at the microphone's rate; each bad one is told."""
    says = [said(), SILENCE, said(level=4.0), said("no"), said(level=0.003), said()]
    Person(monkeypatch, *says)

    result = kws("record", "yes", "-n", "3", "-o", tmp_path)

    assert result.code == 0, result.err
    paths = [tmp_path / "yes" / f"00{number}.flac" for number in (1, 2, 3)]
    assert [line.split(": ")[0] for line in result.out.splitlines()] == [
        str(path) for path in paths
    ]
    assert sorted((tmp_path / "yes").iterdir()) == paths
    assert {(soundfile.info(path).channels, soundfile.info(path).samplerate) for path in paths} == {
        (1, 48_000)
    }
    told = result.err.splitlines()
    assert told[0] == f"listening to Desk Mic, 48000 Hz; recordings go to {tmp_path / 'yes'}"
    assert [line[:19] for line in told[2:-1]] == [
        "1/3  say: yes", "2/3  say: yes", "again: nothing was ", "2/3  say: yes",
        "again: too loud, it", "2/3  say: yes", "3/3  say: yes", "again: too quiet: c",
        "3/3  say: yes",
    ]  # fmt: skip
    assert told[-1] == (
        f"made 3 recordings of yes (asked again 3 times); {tmp_path / 'yes'} holds 3"
    )


def test_a_program_reads_what_happens(kws, tmp_path, monkeypatch):
    """One JSON object a line, all on stdout."""
    (tmp_path / "yes").mkdir()
    (tmp_path / "yes" / "001.wav").touch()
    Person(monkeypatch, SILENCE, said())

    result = kws("record", "yes", "-n", "1", "-o", tmp_path, "--json")

    news = [json.loads(line) for line in result.out.splitlines()]
    assert [one["type"] for one in news] == ["begin", "say", "again", "say", "recorded", "summary"]
    assert news[0] == {
        "type": "begin", "word": "yes", "folder": str(tmp_path / "yes"), "there": 1, "rate": 48_000,
    }  # fmt: skip
    assert news[2]["reason"] == "nothing"
    assert news[4]["file"] == str(tmp_path / "yes" / "002.flac")
    assert news[4]["start_s"] == pytest.approx(MARGIN_S, abs=0.001)
    assert (news[5]["made"], news[5]["refused"], news[5]["there"]) == (1, 1, 2)


def test_ctrl_c_is_a_good_end(kws, tmp_path, monkeypatch):
    """Exit code 0, the summary; what was made stays."""
    Person(monkeypatch, said(), KeyboardInterrupt())

    result = kws("record", "yes", "-n", "3", "-o", tmp_path)

    assert result.code == 0
    folder = tmp_path / "yes"
    assert result.err.splitlines()[-1] == f"made 1 recording of yes; {folder} holds 1"
    assert [path.name for path in folder.iterdir()] == ["001.flac"]


def test_nobody_is_asked_for_ever(kws, tmp_path, monkeypatch):
    """After ten tries in a row it gives up, in one line; no empty folder stays."""
    person = Person(monkeypatch, *[SILENCE] * 20)

    result = kws("record", "yes", "-o", tmp_path / "r")

    assert (result.code, person.asked) == (2, session.TRIES)
    assert result.err.splitlines()[-1].startswith("kws: 10 tries in a row were no good (the last:")
    assert not (tmp_path / "r").exists()


def test_what_cannot_work_is_told_before_anybody_talks(kws, tmp_path, monkeypatch):
    """A folder that is a file; no microphone, and then no folder either."""
    (tmp_path / "file").touch()
    Person(monkeypatch)
    result = kws("record", "yes", "-o", tmp_path / "file")
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert result.err.startswith(f"kws: {tmp_path / 'file' / 'yes'}: can't be written (")

    monkeypatch.undo()
    monkeypatch.setattr(devices, "devices", list)
    result = kws("record", "yes", "-o", tmp_path / "none")
    assert (result.code, result.err.count("\n")) == (3, 1)
    assert not (tmp_path / "none").exists()


def test_help_is_plain_text(kws):
    """Without a box, on stdout."""
    result = kws("record", "--help")

    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("Usage: kws record")
    assert result.out.isascii()


def wav(folder, sound):
    """Write a sound for the virtual microphone, after the time that a person takes."""
    path = folder / f"{len(list(folder.glob('*.wav')))}.wav"
    soundfile.write(path, np.concatenate([np.zeros(RATE // 5, np.float32), sound]), RATE)
    return path


class Recorder:
    """`kws record` in another process, on a terminal or not; what it printed so far."""

    def __init__(self, folder, env, *options):
        self._err = folder / "err"
        with self._err.open("w") as err:
            command = [sys.executable, "-m", "kws", "record", *options]
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=err
            )

    def said(self):
        return self._err.read_text().splitlines()

    def answer(self, pulse, sounds):
        """Play the next sound each time the word is asked for, until the last of them."""
        deadline, played = time.monotonic() + PATIENCE_S, []
        while time.monotonic() < deadline and self.process.poll() is None:
            asked = sum("say: " in line for line in self.said())
            if asked > len(sounds):
                break
            if asked > len(played):
                sound = sounds[len(played)]
                played.append(sound if sound is None else pulse.play(sound))
            time.sleep(0.02)
        for one in filter(None, played):
            one.wait(PATIENCE_S)


def test_recorded_at_a_microphone_and_recognised(pulse, tmp_path):
    """Good, clipped, too quiet, silent: only the good ones are kept, and are the word."""
    good = [wav(tmp_path, said("yes", voice)) for voice in VOICES[:3]]
    loud = wav(tmp_path, np.clip(said("yes", level=6.0), -1, 1))
    quiet = wav(tmp_path, said("yes", level=0.003))
    recorder = Recorder(tmp_path, pulse.env, "yes", "-n", "3", "-o", str(tmp_path))
    recorder.answer(pulse, [good[0], loud, quiet, good[1], None, good[2]])

    assert recorder.process.wait(PATIENCE_S) == 0, recorder.said()
    again = [line.split()[1:3] for line in recorder.said() if line.startswith("again")]
    assert again[:2] == [["too", "loud,"], ["too", "quiet:"]]
    assert len(again) == 3
    paths = sorted((tmp_path / "yes").iterdir())
    assert [path.name for path in paths] == ["001.flac", "002.flac", "003.flac"]
    assert [classify(path)[0][0] for path in paths] == ["yes"] * 3


def test_a_microphone_that_goes_away_keeps_everything(pulse, tmp_path):
    """Exit code 3, the summary, one line; what was made is there."""
    recorder = Recorder(tmp_path, pulse.env, "yes", "-n", "3", "-o", str(tmp_path))
    recorder.answer(pulse, [wav(tmp_path, said())])
    pulse.unplug()

    assert recorder.process.wait(PATIENCE_S) == 3
    assert recorder.said()[-1].startswith("kws: default (ALSA) is gone")
    assert recorder.said()[-2].startswith("made 1 recording of yes")
    assert [path.name for path in (tmp_path / "yes").iterdir()] == ["001.flac"]


def test_a_terminal_shows_the_level(pulse, tmp_path):
    """Behind the prompt, in one line; Ctrl-C ends it with the summary."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "kws", "record", "yes", "-o", str(tmp_path / "r")],
        cwd=ROOT, env=pulse.env, stdout=follower, stderr=follower,
    )  # fmt: skip
    os.close(follower)
    shown = ""
    try:
        while "dBFS" not in shown and select.select([leader], [], [], PATIENCE_S)[0]:
            shown += os.read(leader, 4_096).decode()
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 0
        shown += os.read(leader, 65_536).decode()
    finally:
        process.kill()
        os.close(leader)

    lines = shown.replace("\r\n", "\n").splitlines()
    assert " 1/20  say: yes  ...................." in shown
    assert lines[-1].strip() == f"made 0 recordings of yes; {tmp_path}/r/yes holds 0"
    assert not (tmp_path / "r").exists()
