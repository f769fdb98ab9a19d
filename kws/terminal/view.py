"""View: what `kws listen` shows on a terminal."""

from __future__ import annotations

import io
import math
import sys
import time
from collections import deque
from collections.abc import Callable, Hashable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, TypeAlias

from rich.cells import cell_len
from rich.console import Console, Group
from rich.live import Live
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
DRAW_S = 0.25
"""Seconds between two drawings at least."""

Row: TypeAlias = tuple[Hashable, Callable[[], Text]]
"""What a line shows, and how to make it: it is made only where what it shows has changed."""


class View:
    """Level, gate, each keyword's score against its threshold, and the latest events.

    A context manager. `draw` is called again and again by the thread that hears: it draws the
    lines that have changed, four times a second. All of it at once costs ten times as much.
    """

    def __init__(self, spotter: Spotter) -> None:
        self._spotter, self._title = spotter, "starting"
        self._events: deque[Text] = deque(maxlen=EVENTS)
        self._console = Console(file=drawable(sys.stdout))
        self._live = Live(console=self._console, get_renderable=self._all, auto_refresh=False)
        self._shown: list[Hashable] = []
        self._size = self._console.size
        self._due = 0.0

    def show(self, event: Event) -> None:
        """Take note of one event, and show it at once."""
        text = sentence(event)
        if text is not None:
            style = "bold green" if isinstance(event, Detection) else "yellow"
            self._events.append(Text(one_line(text), style))
            if self._live.is_started:
                self._live.refresh()

    def note(self, text: str) -> None:
        """Show a remark among the events."""
        self._events.append(Text(one_line(text), "cyan"))
        if self._live.is_started:
            self._live.refresh()

    def say(self, text: str) -> None:
        """Change the title."""
        self._title = one_line(text)

    def draw(self) -> None:
        """Draw what has changed, unless that was done a moment ago."""
        now = time.monotonic()
        if now < self._due or not self._console.is_terminal:
            return
        self._due = now + DRAW_S
        rows, size = self._rows(), self._console.size
        if len(rows) != len(self._shown) or size != self._size or self._console.legacy_windows:
            self._live.refresh()
            return
        changed = [place for place, row in enumerate(rows) if row[0] != self._shown[place]]
        if changed:
            self._redraw(rows, changed)

    def __enter__(self) -> View:  # noqa: PYI034 - Self came with Python 3.11
        self._live.start(refresh=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def _all(self) -> Group:
        """Return all lines: where rich draws them, the cursor ends up in the last one."""
        rows, self._size = self._rows(), self._console.size
        self._shown = [key for key, _ in rows]
        lines = [make() for _, make in rows]
        for line in lines:
            line.no_wrap, line.overflow = True, "crop"
        return Group(*lines)

    def _redraw(self, rows: list[Row], changed: list[int]) -> None:
        """Draw single lines anew, and bring the cursor back to the last one."""
        console, out = self._console, io.StringIO()
        brush = Console(
            file=out,
            force_terminal=True,
            color_system=console.color_system,  # type: ignore[arg-type] # one of its own
            no_color=console.no_color,
            width=console.width,
        )
        for place in changed:
            self._shown[place], make = rows[place]
            up = len(rows) - 1 - place
            out.write(f"\x1b[{up}A\r\x1b[2K" if up else "\r\x1b[2K")
            brush.print(make(), end="", no_wrap=True, overflow="crop", crop=True)
            out.write(f"\x1b[{up}B" if up else "")
        console.file.write(out.getvalue())
        console.file.flush()

    def _rows(self) -> list[Row]:
        """Return all lines, first to last: as many as the terminal is high, the events last."""
        heard = int(self._spotter.stats.audio_s)
        blank: Row = (None, Text)
        heading: Row = (self._title, heard), partial(self._heading, heard)
        rows = [heading, blank, self._level(), blank]
        rows += [*self._keywords(), blank]
        rows += [(id(text), text.copy) for text in self._events]
        return rows[: max(1, self._console.height - 1)]

    def _heading(self, heard: int) -> Text:
        clock = f"{heard // 3600}:{heard // 60 % 60:02}:{heard % 60:02}"
        return Text.assemble((self._title, "bold"), f"  {clock}  ", ("Ctrl-C ends", "dim"))

    def _level(self) -> Row:
        level = max(QUIETEST_DB, self._spotter.level_db)
        shown = _filled(1 - level / QUIETEST_DB, WIDTH), f" {level:4.0f} dBFS  "
        gate = ("gate open", "green") if self._spotter.gate_open else ("gate closed", "dim")
        return (shown, gate), lambda: Text.assemble(_bar(shown[0], WIDTH), shown[1], gate)

    def _keywords(self) -> list[Row]:
        scores, thresholds = self._spotter.scores, self._spotter.thresholds
        columns = 1 if len(thresholds) <= ONE_COLUMN else 2
        width, longest = (
            WIDTH if columns == 1 else NARROW,
            max((cell_len(one_line(name)) for name in thresholds), default=0),
        )
        cells = [
            (
                (name := one_line(keyword)) + " " * (longest - cell_len(name)),
                _filled(_place(score := float(scores.get(keyword, 0.0))), width),
                min(width - 1, round(_place(threshold) * width)),
                score >= threshold,
                f"{share(score):>6}",
                f" / {share(threshold):<6} ",
            )
            for keyword, threshold in thresholds.items()
        ]
        count = -(-len(cells) // columns)
        rows = [tuple(cells[row::count]) for row in range(count)]
        return [(row, partial(_keyword_row, row, width)) for row in rows]


Cell: TypeAlias = tuple[str, int, int, bool, str, str]
"""A keyword: its name, its bar's filled and marked places, whether it passes, score, threshold."""


def _keyword_row(cells: tuple[Cell, ...], width: int) -> Text:
    line = Text()
    for name, filled, mark, passes, score, threshold in cells:
        style = "bold green" if passes else ""
        line.append(name, style).append(" ")
        line.append_text(_bar(filled, width, mark, reached=passes))
        line.append(" ").append(score, style).append(threshold, "dim")
    return line


def _place(score: float) -> float:
    """Return where on a keyword's bar a score lies, 0 to 1."""
    held = min(max(score, 1e-6), 1 - 1e-6)
    return (math.log(held / (1 - held)) - LOWEST) / (HIGHEST - LOWEST)


def _filled(value: float, width: int) -> int:
    """Return how many characters of a bar are filled by `value` 0..1."""
    return round(min(1.0, max(0.0, value)) * width)


def _bar(filled: int, width: int, mark: int | None = None, *, reached: bool = False) -> Text:
    """Return a bar with `filled` characters and a tick at `mark`, green where that is reached."""
    bar = "█" * filled + "·" * (width - filled)
    text = Text()
    for start, end in [(0, width)] if mark is None else [(0, mark), (mark + 1, width)]:
        text.append(bar[start : max(start, min(filled, end))], "green" if reached else "cyan")
        text.append(bar[max(start, filled) : end], "dim")
        if end == mark:
            text.append("│", "bold green" if reached else "bold")
    return text
