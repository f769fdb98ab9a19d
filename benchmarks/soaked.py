"""The daemon that is soaked: what it hears, what happens to it, and what it is counted by."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, redirect_stderr
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks.scripted import RATE, Clock, Jack, Step, noise, recorded
from kws.errors import DeviceError
from kws.flow import Samples
from kws.serve.daemon import Daemon
from kws.serve.notify import Notify
from kws.serve.outlets import Outlet
from kws.sources.demo import RECORDING

WORDS = Path(__file__).parent.parent / "tests" / "words"
ROUND_S = 300.0
"""About so long is a round: a loss of the microphone, and a new config."""

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
type = "command"
run = ["true"]
keywords = ["stop"]
[[sink]]
type = "webhook"
url = "http://127.0.0.1:{port}/"
retries = 1
[[microphone]]
name = "kitchen"
"""
"""The webhook takes half a second for each fact that it can't post, so its queue overflows."""
RECORD = """
[record]
folder = "{folder}/heard"
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
PHASES = len(CONFIGS)


class Ledger:
    """What outlets were given, and what became of it, by name; of those that are gone, too."""

    def __init__(self) -> None:
        self.figures: defaultdict[str, Counter[str]] = defaultdict(
            lambda: Counter(given=0, sent=0, failed=0, dropped=0)
        )
        self._lock = threading.Lock()
        self.outlets: list[Counted] = []

    def settle(self, timeout: float) -> None:
        """Wait until the replaced outlets have ended, each at most for the time limit."""
        for outlet in [one for one in self.outlets if one.closing]:
            outlet.join(timeout)
        self.outlets = [one for one in self.outlets if one.running]

    def add(self, name: str, **counts: int) -> None:
        """Count on, from any thread."""
        with self._lock:
            self.figures[name].update(counts)


class Counted(Outlet[Any]):
    """An outlet that enters its figures."""

    def __init__(self, ledger: Ledger, name: str, *options: Any, **named: Any) -> None:
        self._ledger = ledger
        super().__init__(name, *options, **named)
        ledger.outlets.append(self)

    @property
    def closing(self) -> bool:
        """Whether it takes nothing more."""
        return self._closing

    def put(self, item: Any) -> None:
        """Queue an item."""
        if self._wants is None or self._wants(item):
            self._ledger.add(self.name, given=1)
        super().put(item)

    def _run(self) -> None:
        super()._run()
        self._ledger.add(self.name, sent=self.sent, failed=self.failed, dropped=self.dropped)


class Watched(Notify):
    """Counts how often the daemon looked after everything, and fed the watchdog."""

    def __init__(self) -> None:
        super().__init__({})
        self.ticks = self.fed = 0

    def status(self, text: str) -> None:
        """Take note of a tick."""
        self.ticks += 1

    def watchdog(self) -> None:
        """Take note that all was well."""
        self.fed += 1


class Soaked:
    """A daemon in a folder, which hears for a while. port: nobody listens there.

    between: called whenever all is as it was at first; audio waits meanwhile. rounds, losses: how
    many there are to be, and were.
    """

    def __init__(
        self, folder: Path, hours: float, port: int, between: Callable[[], object]
    ) -> None:
        self._folder, self._port, self._between = folder, port, between
        self.rounds = PHASES * max(1, round(hours * 3600 / ROUND_S / PHASES))
        self.losses = 0
        self.clock, self.ledger, self.notify = Clock(), Ledger(), Watched()
        scripts = {"kitchen": self._day(), "attic": attic()}
        self._jacks = {name: Jack(self.clock, script) for name, script in scripts.items()}
        self._began = self.clock.monotonic()
        self._config = folder / "kws.toml"
        self._configure(PHASES - 1)

    def run(self) -> None:
        """Hear all of it. Raises what the daemon dies of."""
        outlet, jacks = partial(Counted, self.ledger), self._jacks
        with ExitStack() as patches:
            self.clock.rule(patches)
            for name in "audience", "keeping":
                patches.enter_context(patch(f"kws.serve.{name}.Outlet", outlet))
            log = patches.enter_context((self._folder / "log").open("w", encoding="utf-8"))
            patches.enter_context(redirect_stderr(log))
            self._daemon = Daemon(self._config, lambda one: jacks[one.name].open(), self.notify)
            self._daemon.handle_signals()
            self._daemon.run()

    @property
    def hours(self) -> float:
        """How much was heard so far."""
        return (self.clock.monotonic() - self._began) / 3600

    @property
    def told(self) -> Counter[str]:
        """How many facts of each kind arrived in the file."""
        found: Counter[str] = Counter()
        for path in self._folder.glob("facts*"):
            lines = path.read_text(encoding="utf-8").splitlines()
            found.update(json.loads(line)["type"] for line in lines)
        return found

    @property
    def recordings(self) -> int:
        """How many are kept."""
        return len(list(self._folder.glob("heard/*/*.flac")))

    def logged(self, text: str) -> int:
        """Return how often the log says something."""
        return (self._folder / "log").read_text(encoding="utf-8").count(text)

    def _day(self) -> Iterator[Step]:
        """What the microphone hears and what happens, round after round."""
        demo, voices, quiet = recorded(RECORDING), _voices(), noise(10, 0.001)
        loud, zeros = noise(20, 0.03), np.zeros(20 * RATE, np.float32)
        for number in range(self.rounds):
            yield from 6 * [quiet]
            yield from self._loss(number)
            yield from [quiet, voices[number % len(voices)], loud, quiet]
            yield partial(self._reload, number)
            yield demo
            yield partial(self._daemon.playback, True)
            yield demo
            if number % 2:  # else it ends by itself
                yield partial(self._daemon.playback, False)
            yield from [zeros, *10 * [quiet]]
            if number % PHASES == PHASES - 1:
                yield self._between
        yield self._daemon.stop
        while True:
            yield quiet

    def _loss(self, number: int) -> list[Step]:
        """Each in turn of what can befall a microphone."""
        self.losses += 1
        gone = DeviceError("kitchen is gone: the sound system ended the recording")
        stalled = DeviceError("kitchen is gone: no audio for 3 s")
        away: list[Step] = [partial(setattr, self._jacks["kitchen"], "refuses", 6), gone]
        ways: list[list[Step]] = [[gone], [3.0, stalled], away, [None], [5.0]]
        return ways[number % len(ways)]

    def _reload(self, number: int) -> None:
        self._configure(number)
        os.kill(os.getpid(), signal.SIGHUP)

    def _configure(self, number: int) -> None:
        text = CONFIG + CONFIGS[number % PHASES]
        self._config.write_text(text.format(folder=self._folder, port=self._port), "utf-8")


def attic() -> Iterator[Step]:
    """What the second microphone hears."""
    demo, quiet = recorded(RECORDING), noise(10, 0.001)
    while True:
        yield from [*20 * [quiet], demo]


def _voices() -> list[Samples]:
    """Return what each of the tests' voices says: every word, a second apart."""
    said = []
    for folder in sorted(WORDS.glob("*/")):
        words = [recorded(path) for path in sorted(folder.glob("*.opus"))]
        said.append(np.concatenate([part for word in words for part in (word, noise(1, 0.001))]))
    return said
