"""The daemon that is soaked: what it hears, what happens to it, and what it is counted by."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.scripted import RATE, Clock, Jack
from benchmarks.soak_counters import Counted, Ledger, Watched
from benchmarks.soak_day import PHASES, Actions, Day, attic
from benchmarks.soak_faults import CountedOutput, LogCounter, SmallDisk, UnreadPipe
from kws.serve import logs
from kws.serve.daemon import Daemon
from kws.serve.tally import Tally

LOGGED = ["the config was read again", "nothing was changed", "self-test passed"]
"""Lines of the log that are counted."""
UNREAD_S = 0.5
"""So long a fact waits for whoever reads stdout: time goes faster here."""
END_S = 60.0
"""So long each thread may take to end."""

CONFIG = """
[log]
level = "debug"
[playback]
live = ["stop"]
max_s = 40.0
[[sink]]
type = "jsonl"
path = "{folder}/facts"
max_mb = 0.1
keep = 1000
[[sink]]
type = "jsonl"
path = "{disk}/facts"
max_mb = 0.1
keep = 1000
[[sink]]
type = "jsonl"
path = "-"
[[sink]]
type = "command"
run = ["true"]
keywords = ["stop"]
[[sink]]
type = "command"
run = ["sleep", "1000"]
timeout_s = 0.2
[[sink]]
type = "webhook"
url = "http://127.0.0.1:{port}/"
retries = 1
[[microphone]]
name = "kitchen"
"""
"""The webhook takes half a second for each fact that it can't post, so its queue overflows; so does
that of the program that never ends. Nobody reads stdout."""
RECORD = """
[record]
folder = "{disk}/heard"
most = 50
most_mb = 2.0
"""
SECOND = """
[[microphone]]
name = "attic"
[[model]]
thresholds = {{ stop = 0.9, jarvis = 0.9 }}
"""
BROKER = """
[[sink]]
type = "mqtt"
host = "127.0.0.1"
port = {port}
"""
BROKEN = """
[[sink]]
type = "jsnol"
"""
CONFIGS = [RECORD + SECOND, BROKEN, BROKER, RECORD]
"""One for each phase of the day."""


class Soaked:
    """A daemon in a folder, which hears for a while; nobody reads what it prints.

    port: nobody listens there. disk: where it writes, becomes full at times. between: called
    whenever all is as it was at first; audio waits meanwhile.
    """

    def __init__(
        self,
        folder: Path,
        hours: float,
        port: int,
        disk: SmallDisk,
        between: Callable[[], object],
    ) -> None:
        self._folder, self._port, self._disk = folder, port, disk
        self.clock, self.ledger, self.notify = Clock(), Ledger(), Watched()
        self.log = LogCounter(*LOGGED)
        self.printed: dict[str, dict[str, int]] = {}
        self.tally = Tally()
        self.day = Day(
            hours,
            Actions(
                self._reload,
                self._playback,
                self._refuse,
                disk.fill,
                disk.free,
                between,
                self._stop,
            ),
        )
        scripts = {"kitchen": self.day.kitchen(), "attic": attic()}
        self._jacks = {name: Jack(self.clock, script) for name, script in scripts.items()}
        self._began = self.clock.monotonic()
        self._config = folder / "kws.toml"
        self._configure(PHASES - 1)

    def run(self) -> None:
        """Hear all of it. Raises what the daemon dies of."""
        outlet, jacks = partial(Counted, self.ledger), self._jacks
        stdout, stderr = UnreadPipe(), UnreadPipe()
        output = CountedOutput(stderr.stream)
        logs.LOG.addFilter(self.log)
        with ExitStack() as patches:
            self.clock.rule(patches)
            for name in "audience", "keeping":
                patches.enter_context(patch(f"kws.serve.{name}.Outlet", outlet))
            patches.enter_context(patch("kws.sinks.jsonl.UNREAD_S", UNREAD_S))
            patches.enter_context(redirect_stdout(stdout.stream))
            patches.enter_context(redirect_stderr(output))
            self._daemon = Daemon(
                self._config,
                lambda one: jacks[one.name].open(),
                self.notify,
                clock=self.clock,
            )
            self._daemon.handle_signals()
            self._daemon.run()
            output.drain(UNREAD_S)
        self.tally = next(tally for name, tally in self.tallies if name == "kitchen")
        writers = [one.thread for one in self.ledger.outlets]
        self.printed = {
            "stdout": {"read": len(stdout.lines(writers, END_S))},
            "stderr": _accounted(output, stderr.lines([output.writer], END_S)),
        }

    @property
    def tallies(self) -> list[tuple[str, Tally]]:
        """What each microphone's audio came to."""
        return [(name, vital.tally) for name, vital in self._daemon._ears.vitals]  # noqa: SLF001

    @property
    def hours(self) -> float:
        """How much was heard so far."""
        return (self.clock.monotonic() - self._began) / 3600

    @property
    def seconds(self) -> dict[str, float]:
        """What became of the first microphone's time, by the script and by the daemon's counts."""
        return {
            "clock": round(self.clock.monotonic() - self._began, 2),
            "delivered": round(self._jacks["kitchen"].delivered / RATE, 2),
            "counted_heard": round(self.tally.audio_s, 2),
            "counted_lost": round(self.tally.lost_s, 2),
        }

    def facts(self) -> Iterator[dict[str, Any]]:
        """Yield the facts in the file that could always be written."""
        for path in self._folder.glob("facts*"):
            for line in path.read_text(encoding="utf-8").splitlines():
                yield json.loads(line)

    @property
    def on_disk(self) -> int:
        """How many facts are in the file on the disk that was full at times."""
        files = self._disk.folder.glob("facts*")
        return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files)

    @property
    def recordings(self) -> int:
        """How many are kept."""
        return len(list(self._disk.folder.glob("heard/*/*.flac")))

    def _playback(self, on: bool) -> None:
        self._daemon.playback(on)

    def _refuse(self, times: int) -> None:
        self._jacks["kitchen"].refuses = times

    def _stop(self) -> None:
        self._daemon.stop()

    def _reload(self, number: int) -> None:
        self._configure(number)
        os.kill(os.getpid(), signal.SIGHUP)

    def _configure(self, number: int) -> None:
        text = CONFIG + CONFIGS[number % PHASES]
        names = {"folder": self._folder, "disk": self._disk.folder, "port": self._port}
        self._config.write_text(text.format(**names), "utf-8")


def _accounted(output: CountedOutput, read: list[str]) -> dict[str, int]:
    """Return what became of the lines that were logged. unfinished: one that was being written."""
    notices = sum("lines are missing here" in line for line in read)
    counts = {"given": output.lines, "read": len(read) - notices, "dropped": output.dropped}
    return {**counts, "unaccounted": output.lines - counts["read"] - output.dropped}
