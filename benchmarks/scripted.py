"""Microphones that play a script, on a clock that runs as fast as they are heard.

The clock stands in for the time that the daemon lives by: it stands still while a listener is at
work, and leaps on to the daemon's next tick when all of them wait.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any, TypeAlias
from unittest.mock import patch

import numpy as np
import soundfile

from kws.errors import DeviceError, KwsError
from kws.flow import Block, Event, Samples
from kws.sources.backlog import Piece
from kws.sources.microphone import Zeros

RATE = 16_000
BLOCK_S = 0.04
LOOK_S = 0.1
"""Whoever ends without a word is noticed so soon."""

Step: TypeAlias = Samples | float | KwsError | Callable[[], object] | None
"""Audio, seconds in which none comes, an error, something to be done, the end of one life."""


def recorded(path: Path) -> Samples:
    """Return the audio of a file: float32 [n]."""
    audio: Samples = soundfile.read(path, dtype="float32")[0]
    return audio


def noise(seconds: float, level: float) -> Samples:
    """Return white noise, whose RMS is `level` of full scale."""
    samples = np.random.default_rng(1).standard_normal(round(seconds * RATE), np.float32)
    audio: Samples = samples * np.float32(level)
    return audio


class Clock:
    """Time by hand, in place of the module `time` too; `advance` in the main thread."""

    def __init__(self) -> None:
        self._now, self._began = 1_000.0, time.time()
        self._listeners: list[threading.Thread] = []
        self._asleep: set[threading.Thread] = set()
        self._changed = threading.Condition()

    def monotonic(self) -> float:
        """Return the seconds since some moment."""
        return self._now

    def time(self) -> float:
        """Return the seconds since the epoch."""
        return self._began + self._now

    def sleep(self, seconds: float, ended: Callable[[], bool]) -> None:
        """Wait for the time to go by, or until `wake` finds that something has ended."""
        thread, until = threading.current_thread(), self._now + seconds
        with self._changed:
            while self._now < until and not ended():
                self._asleep.add(thread)
                self._changed.notify_all()
                self._changed.wait()
            self._asleep.discard(thread)

    def wake(self) -> None:
        """Let those who sleep look whether they still have to."""
        with self._changed:
            self._changed.notify_all()

    def advance(self, seconds: float) -> None:
        """Let time go by, and listeners do what they have to until all of them sleep again."""
        with self._changed:
            self._now += seconds
            self._asleep.clear()
            self._changed.notify_all()
            while self._awake():
                self._changed.wait(LOOK_S)

    def thread(self, **options: Any) -> threading.Thread:
        """Return a thread that the clock waits for."""
        self._listeners.append(threading.Thread(**options))
        return self._listeners[-1]

    def _awake(self) -> bool:
        self._listeners = [one for one in self._listeners if one.is_alive()]
        return not self._asleep.issuperset(self._listeners)

    def rule(self, patches: ExitStack) -> None:
        """Make the daemon live by this clock, and by no sound system."""
        events = SimpleNamespace(Event=partial(Ended, self), Thread=threading.Thread)
        inputs = SimpleNamespace(refresh=lambda: None, devices=list)
        for name, instead in {
            **{f"{module}.time": self for module in ("daemon", "ears")},
            "daemon.SimpleQueue": partial(Asked, self),
            "supervised.elapsed_s": self.monotonic,
            "supervised.threading": events,
            "listener.threading": SimpleNamespace(Thread=self.thread),
            "ports.inputs": inputs,
            "ports._listed": list,
        }.items():
            patches.enter_context(patch(f"kws.serve.{name}", instead))


class Ended(threading.Event):
    """An event that is waited for by a clock."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, for so long at most."""
        self._clock.sleep(float("inf") if timeout is None else timeout, self.is_set)
        return self.is_set()

    def set(self) -> None:
        """Let nobody wait any longer."""
        super().set()
        self._clock.wake()


class Asked(SimpleQueue[Any]):
    """A queue whose waiting is what lets the clock go on."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Return what is there, after the time if there is nothing. Raises Empty."""
        if self.empty():
            self._clock.advance(timeout or 0.0)
        return super().get(block=False)


class Jack:
    """Where a microphone is plugged in; each one that is opened goes on in the script.

    refuses: so many times nothing is found there. delivered: samples that were taken so far.
    """

    def __init__(self, clock: Clock, script: Iterator[Step]) -> None:
        self._clock, self._script = clock, script
        self.refuses = self.delivered = 0

    def open(self) -> Microphone:
        """Open what is there. Raises DeviceError: nothing is."""
        if self.refuses:
            self.refuses -= 1
            raise DeviceError("there is no microphone: connect one, or start the sound server")
        return Microphone(self._clock, self._script, self._deliver)

    def _deliver(self, samples: int) -> None:
        self.delivered += samples


class Microphone:
    """One life of a microphone."""

    live = True

    def __init__(
        self, clock: Clock, script: Iterator[Step], delivered: Callable[[int], object]
    ) -> None:
        self.rate = RATE
        self._clock, self._script, self._delivered = clock, script, delivered
        self._closed, self._end = Ended(clock), 0
        self._zeros, self._events = Zeros(RATE), list[Event]()

    def __iter__(self) -> Iterator[Block]:
        """Deliver the script until its life ends, or it is closed. Raises what the script says."""
        self._began = self._clock.monotonic()
        while not self._closed.is_set():
            step = next(self._script)
            if step is None:
                return
            if isinstance(step, KwsError):
                raise step
            if isinstance(step, float):
                self._end += round(step * RATE)
                self._wait()
            elif callable(step):
                step()
            else:
                yield from self._heard(step)

    def poll_events(self) -> list[Event]:
        """When digital silence began and ended, since it was last asked."""
        events, self._events = self._events, []
        return events

    def close(self) -> None:
        """End it, from any thread."""
        self._closed.set()

    def _heard(self, audio: Samples) -> Iterator[Block]:
        size = round(BLOCK_S * RATE)
        for at in range(0, len(audio), size):
            # A copy, as each callback brings new bytes: who keeps blocks then shows in memory.
            samples, start = audio[at : at + size].copy().reshape(-1, 1), self._end
            self._end += len(samples)
            self._wait()
            if self._closed.is_set():
                return
            wall = self._clock.time() - len(samples) / RATE
            piece = Piece(b"", start, len(samples), wall)
            self._events += self._zeros.process(piece, sound=bool(samples.any()))
            self._delivered(len(samples))
            yield Block(samples, start, RATE, wall)

    def _wait(self) -> None:
        """Wait until all of it can have been heard."""
        left = self._began + self._end / RATE - self._clock.monotonic()
        if left > 0:
            self._closed.wait(left)
