"""Told: what a person (and a program) hears of a recording session."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

from kws.recording.take import FAULTS, Said
from kws.terminal.lines import print_json

BAR = 20
QUIETEST_DB = -60.0
"""Left end of the level meter, in dBFS."""


class Told:
    """Recordings go to stdout, all else to stderr; the level only to a terminal.

    as_json: what happens goes to stdout as JSON, beside the prompts on stderr.
    """

    def __init__(self, word: str, *, as_json: bool) -> None:
        self._word, self._as_json = word, as_json
        self._meter = sys.stderr.isatty()
        self._prompt, self._shown = "", 0

    def begin(self, folder: Path, there: int, microphone: str, rate: int) -> None:
        """Say where recordings go, and what is there."""
        already = f", which holds {there}" if there else ""
        self._say(f"listening to {microphone}, {rate} Hz; recordings go to {folder}{already}")
        self._say(
            "Say the word each time it is asked for: near and far, loud and soft, as in everyday "
            "life. Ctrl-C ends it; what was made stays."
        )
        self._news("begin", word=self._word, folder=str(folder), there=there, rate=rate)

    def ask(self, number: int, count: int) -> None:
        """Ask for the word; it is number `number` of `count` that are wanted."""
        self._prompt = f"{number:>{len(str(count))}}/{count}  say: {self._word}"
        if not self._meter:
            self._say(self._prompt)
        self._news("say", word=self._word, number=number, of=count)

    def level(self, level_db: float) -> None:
        """Show how loud it is behind the prompt."""
        if not self._meter or not self._prompt:
            return
        filled = round(BAR * min(1.0, max(0.0, 1 - level_db / QUIETEST_DB)))
        bar = "#" * filled + "." * (BAR - filled)
        room = shutil.get_terminal_size().columns - 1
        line = f"{self._prompt[: max(0, room - BAR - 13)]}  {bar} {max(level_db, -99):4.0f} dBFS"
        self._draw(line[:room])

    def kept(self, path: Path, said: Said, number: int, count: int) -> None:
        """Name a recording that was written."""
        self._clear()
        seconds = said.end_s - said.start_s
        if not self._as_json:
            print(f"{path}: {seconds:.2f} s, {said.level_db:.0f} dBFS", flush=True)
        self._news(
            "recorded", file=str(path), number=number, of=count,
            seconds=round(len(said.audio) / said.rate, 3), level_db=round(said.level_db, 1),
            start_s=round(said.start_s, 3), end_s=round(said.end_s, 3),
        )  # fmt: skip

    def again(self, fault: str) -> None:
        """Say why a take won't do."""
        self._clear()
        self._say(f"again: {FAULTS[fault]}")
        self._news("again", reason=fault, text=FAULTS[fault])

    def end(self, folder: Path, there: int, made: int, refused: int) -> None:
        """Sum up."""
        self._clear()
        things = "recording" if made == 1 else "recordings"
        again = f" (asked again {refused} times)" if refused > 1 else " (asked again once)"
        self._say(
            f"made {made} {things} of {self._word}{again if refused else ''}; "
            f"{folder} holds {there}"
        )
        self._news(
            "summary", word=self._word, folder=str(folder), made=made, refused=refused, there=there
        )

    def _news(self, kind: str, **what: Any) -> None:
        if self._as_json:
            print_json({"type": kind, **what})

    def _say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def _draw(self, line: str) -> None:
        before = self._shown
        self._shown = max(before, len(line))  # first: Ctrl-C may come while it is drawn
        print(f"\r{line:{before}}", end="", file=sys.stderr, flush=True)
        self._shown = len(line)

    def _clear(self) -> None:
        self._prompt = ""
        if self._shown:
            self._draw("")
            print("\r", end="", file=sys.stderr, flush=True)
            self._shown = 0
