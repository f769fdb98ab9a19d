"""What `kws listen` draws on a terminal, as the terminal shows it."""

import io
import re
from types import SimpleNamespace

import pytest

from kws.flow import KeywordStuck
from kws.terminal import view as viewing
from kws.terminal.view import View

LINES, COLUMNS = 30, 80


class Terminal(io.StringIO):
    """As much of a terminal as is needed: it moves up and down, and erases lines."""

    def __init__(self):
        super().__init__()
        self.rows, self.row, self.column, self.written = [[] for _ in range(LINES)], 0, 0, ""

    def isatty(self):
        return True

    def write(self, text):
        self.written += text
        for part in re.findall(r"\x1b\[\??[\d;]*[A-Za-z]|.|\n", text):
            if part.startswith("\x1b"):
                self._move(part)
            elif part == "\n":
                self.row, self.column = self.row + 1, 0
            elif part == "\r":
                self.column = 0
            else:
                line = self.rows[self.row]
                line.extend(" " * (self.column + 1 - len(line)))
                line[self.column] = part
                self.column += 1
        return len(text)

    def _move(self, code):
        steps, what = int(re.sub(r"\D", "", code) or 1), code[-1]
        self.row += {"A": -steps, "B": steps}.get(what, 0)
        if code == "\x1b[2K":
            self.rows[self.row] = []

    def screen(self):
        return ["".join(row).rstrip() for row in self.rows]

    def take(self):
        """Return what was written since it was last asked."""
        written, self.written = self.written, ""
        return written


@pytest.fixture
def terminal(monkeypatch):
    for name, value in {"TERM": "xterm-256color", "COLUMNS": COLUMNS, "LINES": LINES}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.delenv("NO_COLOR", raising=False)
    screen = Terminal()
    monkeypatch.setattr(viewing, "drawable", lambda _: screen)
    return screen


@pytest.fixture
def spotter():
    names = [f"word{index}" for index in range(13)]
    return SimpleNamespace(
        level_db=-30.0, gate_open=True, thresholds=dict.fromkeys(names, 0.5),
        scores=dict.fromkeys(names, 0.1), stats=SimpleNamespace(audio_s=75.2),
    )  # fmt: skip


@pytest.fixture
def clock(monkeypatch):
    now = SimpleNamespace(s=100.0)
    monkeypatch.setattr(viewing.time, "monotonic", lambda: now.s)
    return now


def test_only_what_changed_is_drawn_again(terminal, spotter, clock):
    """A line for a line; the screen is what a drawing of all of it gives."""
    with View(spotter) as view:
        view.draw()
        terminal.take()
        clock.s += 1
        view.draw()
        nothing = terminal.take()
        spotter.level_db, spotter.scores["word3"], spotter.gate_open = -40.0, 0.7, False
        clock.s += 1
        view.draw()
        some, partly = terminal.take(), terminal.screen()
        view._live.refresh()
        entirely = terminal.screen()

    assert nothing == ""
    assert some.count("\x1b[2K") == 2
    assert "word3" in some
    assert "word1 " not in some
    assert partly == entirely
    assert " -40 dBFS  gate closed" in "\n".join(partly)


def test_it_is_drawn_four_times_a_second(terminal, spotter, clock):
    drawn = 0
    with View(spotter) as view:
        view.draw()
        for step in range(100):
            clock.s += 0.04
            spotter.level_db = -1.0 - step % 70
            terminal.take()
            view.draw()
            drawn += bool(terminal.take())

    assert drawn <= 16
    assert drawn >= 13


def test_events_and_the_clock_are_drawn(terminal, spotter, clock):
    with View(spotter) as view:
        view.say("listening to a test")
        view.draw()
        for number in range(10):
            view.show(KeywordStuck(f"event{number}", 1.0))
        spotter.stats.audio_s = 3601.0
        clock.s += 1
        view.draw()
        shown = "\n".join(terminal.screen())

    assert "listening to a test  1:00:01" in shown
    assert "event9" in shown
    assert "event1 " not in shown  # eight are kept


def test_words_of_any_script_stand_in_columns(terminal, spotter, clock):
    """Wide characters take two places."""
    spotter.thresholds = {"開始": 0.5, "yes": 0.5}
    with View(spotter) as view:
        view.draw()

    bars = [
        row.replace("開", "開 ").replace("始", "始 ") for row in terminal.screen() if " / " in row
    ]
    assert len({row.index("│") for row in bars}) == 1
