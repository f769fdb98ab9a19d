"""View: what `kws listen` shows on a terminal."""

from __future__ import annotations

import math
import sys
from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from kws.flow import Detection, Event
from kws.terminal.lines import sentence, share
from kws.terminal.safe_output import drawable
from kws.text import one_line

if TYPE_CHECKING:
    from kws.spotter import Spotter

WIDTH, NARROW = 32, 12
"""Characters of a bar; where keywords stand in two columns."""
LOWEST, HIGHEST = -4.6, 9.2
"""Ends of a keyword's bar, in log-odds: 0.01 and 0.9999. Thresholds stand close below 1."""
ONE_COLUMN = 6
"""So many keywords stand in one column: all that is shown fits 80 by 24 characters."""
EVENTS = 8
"""How many of the latest events stay in sight."""
QUIETEST_DB = -72.0
"""Left end of the level meter, in dBFS."""


class View:
    """Level, gate, each keyword's score against its threshold, and the latest events.

    A context manager; a thread of rich's draws it five times a second: each costs some 9 ms.
    """

    def __init__(self, spotter: Spotter) -> None:
        self._spotter, self._title = spotter, "starting"
        self._events: deque[Text] = deque(maxlen=EVENTS)
        self._live = Live(
            console=Console(file=drawable(sys.stdout)),
            get_renderable=self._draw,
            refresh_per_second=5,
        )

    def show(self, event: Event) -> None:
        """Take note of one event."""
        text = sentence(event)
        if text is not None:
            style = "bold green" if isinstance(event, Detection) else "yellow"
            self._events.append(Text(one_line(text), style))

    def say(self, text: str) -> None:
        """Change the title."""
        self._title = one_line(text)

    def __enter__(self) -> View:  # noqa: PYI034 - Self came with Python 3.11
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def _draw(self) -> Group:
        heard = int(self._spotter.stats.audio_s)
        clock = f"{heard // 3600}:{heard // 60 % 60:02}:{heard % 60:02}"
        title = Text.assemble((self._title, "bold"), f"  {clock}  ", ("Ctrl-C ends", "dim"))
        return Group(title, Text(), self._level(), Text(), self._keywords(), Text(), *self._events)

    def _level(self) -> Text:
        spotter = self._spotter
        level = max(QUIETEST_DB, spotter.level_db)
        gate = ("gate open", "green") if spotter.gate_open else ("gate closed", "dim")
        return Text.assemble(_bar(1 - level / QUIETEST_DB, WIDTH), f" {level:4.0f} dBFS  ", gate)

    def _keywords(self) -> Table:
        scores, thresholds = self._spotter.scores, self._spotter.thresholds
        columns = 1 if len(thresholds) <= ONE_COLUMN else 2
        cells = []
        for keyword, threshold in thresholds.items():
            score = float(scores.get(keyword, 0.0))
            style = "bold green" if score >= threshold else ""
            bar = _bar(_place(score), WIDTH if columns == 1 else NARROW, mark=_place(threshold))
            figures = Text.assemble((share(score), style), (f" / {share(threshold)}  ", "dim"))
            cells.append((Text(one_line(keyword), style), bar, figures))
        table, rows = Table.grid(padding=(0, 1)), -(-len(cells) // columns)
        for row in range(rows):
            table.add_row(*(part for cell in cells[row::rows] for part in cell))
        return table


def _place(score: float) -> float:
    """Return where on a keyword's bar a score lies, 0 to 1."""
    held = min(max(score, 1e-6), 1 - 1e-6)
    return (math.log(held / (1 - held)) - LOWEST) / (HIGHEST - LOWEST)


def _bar(value: float, width: int, mark: float | None = None) -> Text:
    """Return a bar filled to `value` 0..1, with a tick at `mark`, green from there on."""
    filled = round(min(1.0, max(0.0, value)) * width)
    reached = mark is not None and value >= mark
    text = Text()
    for place in range(width):
        if mark is not None and place == min(width - 1, round(mark * width)):
            text.append("│", "bold green" if reached else "bold")
        elif place < filled:
            text.append("█", "green" if reached else "cyan")
        else:
            text.append("·", "dim")
    return text
