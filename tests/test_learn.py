"""Learning while listening: what fired, or nearly did, is kept as the person judges it."""

import os
import pty
import sys

import numpy as np
import pytest
import soundfile
from command import kws, model
from models import RATE, noise, tone

from export.training.own.material import read_words
from kws.errors import ConfigError
from kws.flow import Block
from kws.recording.examples import ExampleCollector
from kws.session import load
from kws.sources import microphone
from kws.sources.devices import Input
from kws.spotter import Spotter
from kws.terminal.keys import Keys

__all__ = ["kws", "model"]

BLOCK = 320
FAINT = 0.15
"""The amplitude of a tone whose score does not reach its threshold."""


@pytest.fixture
def terminal(monkeypatch):
    """Standard input is a terminal; what is written to this file is pressed."""
    master, slave = pty.openpty()
    with os.fdopen(slave) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield master
    os.close(master)


def collected(path, folder, sound, keys):
    """Hear a sound, keys pressed at seconds of it; return the collector and what it said."""
    said, pressed = [], [""]
    spotter = Spotter(load(path))
    with ExampleCollector(
        spotter, folder, None, say=said.append, keys=lambda: pressed[0]
    ) as examples:
        for at in range(0, len(sound), BLOCK):
            block = Block(sound[at : at + BLOCK], at, RATE)
            examples.hear(block)
            for event in spotter.process(block):
                examples.take(event)
            now = (at / RATE, block.end / RATE)
            pressed[0] = "".join(key for when, key in keys if now[0] <= when < now[1])
            examples.answer()
    return examples, said


def sound(word, *, amplitude=0.3, seconds=4.0):
    """A tone that begins after a second."""
    after = noise(seconds - 1.3, seed=2)
    return np.concatenate([noise(1.0), tone(word, 0.3, amplitude=amplitude), after])


def loud(path):
    """Where in a recording the tone lies: its first and last loud second, and its length."""
    audio, rate = soundfile.read(path)
    found = np.flatnonzero(np.abs(audio) > 0.1)
    return found[0] / rate, found[-1] / rate, len(audio) / rate


def test_what_was_right_becomes_a_recording_of_the_word(model, tmp_path):
    """With a little audio around it, in the folder of that word."""
    examples, said = collected(model, tmp_path / "mine", sound("yes"), [(2.0, "y")])
    first, last, length = loud(tmp_path / "mine" / "yes" / "001.flac")

    assert (examples.right, examples.wrong) == (1, 0)
    assert "was that 'yes'?" in said[0]
    assert "001.flac" in said[-1]
    assert 0.2 < first < 0.7
    assert last - first == pytest.approx(0.3, abs=0.02)
    assert 0.1 < length - last < 0.7
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["yes"]


def test_what_was_wrong_becomes_another_word(model, tmp_path):
    """All that was scored, so that the next training hears what fired."""
    examples, _ = collected(model, tmp_path / "mine", sound("yes"), [(2.0, "n")])
    first, last, _ = loud(tmp_path / "mine" / "_unknown_" / "001.flac")

    assert (examples.right, examples.wrong) == (0, 1)
    assert last - first == pytest.approx(0.3, abs=0.02)
    assert not (tmp_path / "mine" / "yes").exists()


@pytest.mark.parametrize(("key", "place"), [("y", "no"), ("n", "_unknown_")])
def test_a_near_miss_is_asked_about(model, tmp_path, key, place):
    """Once it has fallen, with its score and its threshold."""
    faint = sound("no", amplitude=FAINT)
    examples, said = collected(model, tmp_path / "mine", faint, [(3.0, key)])
    first, last, _ = loud(tmp_path / "mine" / place / "001.flac")

    assert examples.right + examples.wrong == 1
    assert "was that 'no'? (nearly: 0." in said[0]
    assert "of 0.60)" in said[0]
    assert last - first == pytest.approx(0.3, abs=0.02)


def test_noise_is_no_near_miss(model, tmp_path):
    """Nor is a word's own score that rises and falls around its event."""
    quiet, said = collected(model, tmp_path / "mine", noise(3.0), [])
    assert said == []
    _, said = collected(model, tmp_path / "mine", sound("yes"), [])
    assert len(said) == 1
    assert (quiet.right, quiet.wrong) == (0, 0)
    assert not (tmp_path / "mine").exists()


def test_a_question_is_answered_once(model, tmp_path):
    """Other keys mean nothing; of several answers at once the last counts."""
    keys = [(0.5, "y"), (2.0, "x"), (2.5, "yn"), (2.6, "y")]
    examples, _ = collected(model, tmp_path / "mine", sound("yes"), keys)

    assert (examples.right, examples.wrong) == (0, 1)


def test_what_is_too_long_ago_is_not_kept(model, tmp_path):
    """There is no audio left to keep."""
    long = sound("yes", seconds=14.0)
    examples, said = collected(model, tmp_path / "mine", long, [(13.5, "y")])

    assert examples.right == 0
    assert "too long ago" in said[-1]


def test_training_reads_what_was_kept(model, tmp_path):
    """Words in folders of their names, what was none beside them."""
    both = np.concatenate([sound("yes"), sound("no")])
    collected(model, tmp_path / "mine", both, [(2.0, "y"), (6.0, "n")])
    found = read_words(tmp_path / "mine", lambda line: None)

    assert {name: len(all_) for name, all_ in found.of.items()} == {"yes": 1}
    assert len(found.others) == 1


class Pressed:
    """A microphone that hears a recording, while somebody presses keys."""

    live, rate, channels = True, RATE, 1
    input = Input("Desk Mic", "ALSA", RATE, 1, default=True, index=0)

    def __init__(self, audio, terminal, keys):
        self._audio, self._terminal, self._keys = audio, terminal, keys

    def __iter__(self):
        for at in range(0, len(self._audio), BLOCK):
            for when, key in self._keys:
                if at <= when * RATE < at + BLOCK:
                    os.write(self._terminal, key)
            yield Block(self._audio[at : at + BLOCK], at, RATE)

    def poll_events(self):
        return []

    def close(self):
        pass


def test_listen_learns(kws, model, terminal, monkeypatch, tmp_path):
    """The command asks on stderr, takes keys from the terminal, and says what comes next."""
    heard = np.concatenate([sound("yes"), sound("yes"), noise(0.5)])
    source = Pressed(heard, terminal, [(2.0, b"y"), (6.0, b"n")])
    monkeypatch.setattr(microphone, "Microphone", lambda *_, **__: source)
    result = kws("listen", "--model", model, "--learn", tmp_path / "mine")

    assert result.code == 0, result.err
    assert len(result.out.splitlines()) == 2
    assert result.err.count("was that 'yes'?") == 2
    assert f"kept 1 right and 1 wrong examples in {tmp_path / 'mine'}" in result.err
    assert f"next: kws train {tmp_path / 'mine'}" in result.err
    assert sorted(path.parent.name for path in tmp_path.rglob("*.flac")) == ["_unknown_", "yes"]


def test_without_a_terminal_nothing_can_be_learned(kws, model, monkeypatch, tmp_path):
    """One line, exit code 2."""
    monkeypatch.setattr(microphone, "Microphone", lambda *_, **__: Pressed(noise(1.0), 0, []))
    with open(os.devnull) as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        result = kws("listen", "--model", model, "--learn", tmp_path / "mine")

    assert result.code == 2
    assert "keys are read from a terminal" in result.err


def test_keys_come_without_enter_and_the_terminal_is_left_as_it_was(terminal):
    """Nothing waits for a key; what was pressed before is taken."""
    import termios

    before = termios.tcgetattr(sys.stdin.fileno())
    with Keys() as keys:
        assert keys.pressed() == ""
        os.write(terminal, b"yn")
        assert keys.pressed() == "yn"
        assert keys.pressed() == ""
    assert termios.tcgetattr(sys.stdin.fileno()) == before


def test_a_folder_that_can_not_be_written_is_one_line(model, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="can't be written"):
        collected(model, tmp_path / "file", noise(0.1), [])
