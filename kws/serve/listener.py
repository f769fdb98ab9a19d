"""Listener: one microphone's thread: its audio through a spotter, and what happened out."""

from __future__ import annotations

import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from kws.block_sizes import BlockSizes
from kws.event_json import detection_event
from kws.flow import AudioLost, Block, Detection, DigitalSilence, Event, VerifierFailed
from kws.serve import logs
from kws.serve.keeping import Keeper
from kws.serve.live import Tap
from kws.serve.supervised import Supervised
from kws.serve.vital import Vital
from kws.sinks import Fact, Heard, Lost, Returned
from kws.sources.microphone import STALLED_S
from kws.spotter import Spotter

RECENT_S = 7.0
"""What a new spotter hears first: a wake word counts for seconds."""
CALM_S = 3.0
"""So long a new spotter waits at most for the word to end that is being said."""
FLUSH_S = 0.3
"""At the end recordings may take so long to be written."""


class Clock(Protocol):
    """The module `time`, or what a test gives in its place."""

    def monotonic(self) -> float:
        """Return seconds that only go forward."""

    def time(self) -> float:
        """Return seconds since the epoch."""


@dataclass(frozen=True)
class Hearing:
    """What a microphone's audio goes through.

    keeper: keeps audio around firings; None: it is not kept.
    """

    spotter: Spotter
    keeper: Keeper | None

    def close(self, timeout: float) -> None:
        """Let go of it."""
        if self.keeper is not None:
            self.keeper.close(timeout)


class Listener:
    """Hears one microphone until told to stop.

    vital: its signs of life, for who watches. told: takes facts, from this thread. tap: lets others
    look on. failure: what the thread died of.
    """

    def __init__(
        self,
        name: str,
        vital: Vital,
        told: Callable[[Fact], None],
        tap: Tap | None = None,
        clock: Clock = time,
    ) -> None:
        self.name, self.vital, self._tap, self._clock = name, vital, tap, clock
        self.failure: BaseException | None = None
        self._told = told
        self._actions: deque[Callable[[], None]] = deque()
        self._recent: deque[Block] = deque()
        self._next: Hearing | None = None
        self._next_end_s = 0.0  # when it has waited for long enough, in seconds of audio
        self._came_back = False

    def start(self, source: Supervised, hearing: Hearing) -> None:
        """Begin to hear a source, whose losses `lost` and `returned` are told."""
        self._source, self._hearing = source, hearing
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        self._thread.start()

    def replace(self, hearing: Hearing) -> None:
        """Go on with another spotter as soon as no word is being said. From any thread.

        No audio is lost, and what is said around that moment is told once.
        """
        self._actions.append(lambda: self._prepare(hearing))

    def do(self, action: Callable[[Spotter], None]) -> None:
        """Let the spotter, the next one if there is one, do something. From any thread."""
        self._actions.append(lambda: action((self._next or self._hearing).spotter))

    def block_sizes(self, rate: int) -> BlockSizes:
        """Return the sizes of blocks at `rate` Hz that fit the spotter that hears now."""
        return self._hearing.spotter.consumer.block_sizes(rate)

    @property
    def idle(self) -> bool:
        """Whether a block may wait for the next one: nobody follows live, no word is being said."""
        watched = self._tap is not None and self._tap.followed
        return self._hearing.spotter.consumer.idle and not watched

    def close(self) -> None:
        """Stop, from any thread."""
        self._source.close()

    def join(self, timeout: float) -> None:
        """Wait for the thread to end."""
        self._thread.join(timeout)

    @property
    def running(self) -> bool:
        """Whether the thread has not ended."""
        return self._thread.is_alive()

    def sign(self) -> None:
        """Take note that the microphone is being looked after."""
        self.vital.sign(self._clock.monotonic())

    def lost(self, reason: str) -> None:
        """Take note that the microphone is away."""
        self.vital.away(self._clock.monotonic(), reason)
        self._told(Lost(wall_time=self._clock.time(), microphone=self.name, reason=reason))

    def returned(self, away_s: float) -> None:
        """Take note that the microphone is back."""
        self._came_back = True
        self._told(
            Returned(wall_time=self._clock.time(), microphone=self.name, away_s=round(away_s, 1))
        )

    def _run(self) -> None:
        try:
            for block in self._source:
                self._hear(block)
        except BaseException as error:  # noqa: BLE001 - the daemon ends, and says why
            self.failure = error
        finally:
            self._hearing.close(FLUSH_S)
            if self._next is not None:
                self._next.close(0.0)

    def _hear(self, block: Block) -> None:
        while self._actions:
            self._actions.popleft()()
        spotter, keeper = self._hearing.spotter, self._hearing.keeper
        before, began = spotter.stats, self._clock.monotonic()
        found = spotter.process(block)
        after, ended = spotter.stats, self._clock.monotonic()
        self.vital.tally.heard(before, after, ended - began, ended)
        heard_s = after.audio_s - before.audio_s
        unusable = heard_s < (block.end - block.start - 0.5) / block.rate
        for event in [*self._source.poll_events(), *found]:
            self._take(event)
        if keeper is not None:
            keeper.collect()
        if self._tap is not None:
            self._tap.heard(spotter, block, scored=after.inferences > before.inferences)
        self._came_back = False
        self._remember(block)
        if self._next is not None:
            self._follow(self._next, block)
        self.vital.heard(
            self._clock.monotonic(),
            level_db=spotter.level_db,
            gate_open=spotter.gate_open and heard_s > 0,
            unusable=unusable,
            scored=after.inferences > before.inferences,
        )

    def _take(self, event: Event) -> None:
        if isinstance(event, Detection):
            self._told(self._heard(event))
        elif isinstance(event, VerifierFailed):
            logs.say("warning", f"{self.name}: the first stage decides alone: {event.reason}")
        elif isinstance(event, DigitalSilence):
            self.vital.zeros = event.silent
        elif isinstance(event, AudioLost) and not self._came_back:
            away = event.end_s - event.start_s
            if away > STALLED_S:
                self.lost(f"no audio for {away:.1f} s: the computer slept, or this process stood")
                self.returned(away)

    def _heard(self, event: Detection) -> Heard:
        recording = recording_id = None
        if (keeper := self._hearing.keeper) is not None:
            recording = keeper.begin(self._hearing.spotter, event, self.name)
            recording_id = secrets.token_urlsafe(12)  # no request names a file
        return detection_event(
            event,
            wall_time=self._clock.time(),
            microphone=self.name,
            recording=recording,
            recording_id=recording_id,
        )

    def _remember(self, block: Block) -> None:
        self._recent.append(block)
        while _end_s(block) - _end_s(self._recent[0]) > RECENT_S:
            self._recent.popleft()

    def _prepare(self, hearing: Hearing) -> None:
        """Let the new spotter hear the last seconds; what it finds in them was told before."""
        if self._next is not None:
            self._next.close(0.0)
        for number, block in enumerate(self._recent):
            sizes = hearing.spotter.consumer.block_sizes(block.rate)
            hearing.spotter.process(block if number else sizes.align(block))
        heard_s = _end_s(self._recent[-1]) if self._recent else 0.0
        self._next, self._next_end_s = hearing, heard_s + CALM_S

    def _follow(self, following: Hearing, block: Block) -> None:
        """Let the new spotter hear what the old one tells, and take over when both are calm.

        One of them may find a word a hop sooner than the other.
        """
        following.spotter.process(block)
        calm = _calm(following.spotter) and _calm(self._hearing.spotter)
        if calm or _end_s(block) >= self._next_end_s:
            self._hearing.close(0.0)
            self._hearing, self._next = following, None


def _end_s(block: Block) -> float:
    return block.end / block.rate


def _calm(spotter: Spotter) -> bool:
    """Whether no score stands so high that a word is being said."""
    levels = spotter.thresholds
    return all(score < levels[name] / 2 for name, score in spotter.scores.items())
