"""Prompts: a person is asked to say words, then to leave the room running."""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kws.errors import DataError
from kws.evaluate.match import TOLERANCE_S, Word
from kws.evaluate.tuning.ear import Ear, Stretch, Utterance
from kws.evaluate.tuning.prompted import PAUSE_S, SETTLE_S, next_block, wait_for_word
from kws.evaluate.tuning.recorded import STRETCH_S
from kws.evaluate.tuning.spoken import FULL_SCALE, Spoken, find, trouble
from kws.flow import AudioLost, DigitalSilence, Samples
from kws.resample import Channel, Resampler
from kws.terminal.lines import sentence

if TYPE_CHECKING:
    from kws.sources import Source

TRIES = 3
"""So often one prompt is repeated; then its keyword is given up."""


def rounds(names: Sequence[str], times: int, draw: random.Random) -> list[str]:
    """Return every name so many times: in shuffled rounds, none twice in a row if it can be."""
    order: list[str] = []
    for _ in range(times):
        turn = draw.sample(names, len(names))
        if order and len(turn) > 1 and turn[0] == order[-1]:
            turn.append(turn.pop(0))
        order += turn
    return order


class Prompts:
    """A conversation at a microphone; what is said goes to stderr.

    ear: what hears. channel: what of the microphone it listens to. name: the microphone's.
    """

    def __init__(self, ear: Ear, source: Source, channel: Channel, name: str) -> None:
        self._ear, self._source, self._blocks, self._name = ear, source, iter(source), name
        self._mono = Resampler(ear.rate, channel=channel)
        self._now = 0.0
        self._heard = 0.0  # what was lost, or nothing but zeros, was not heard
        self._clipped = 0
        self._zeros = False

    def words(self, names: Sequence[str], times: int, draw: random.Random) -> list[Utterance]:
        """Ask for each keyword so many times; return what was said.

        Raises DataError: nothing was said at all. DeviceError: the microphone was lost.
        """
        try:
            self._begin()
            _say("Say each word when it is asked for, as you would say it in everyday life.")
            return self._every(names, times, draw)
        except KeyboardInterrupt:
            _say("\nended early: nothing was written")
            raise

    def _every(self, names: Sequence[str], times: int, draw: random.Random) -> list[Utterance]:
        said: list[Utterance] = []
        given_up: set[str] = set()
        order = rounds(names, times, draw)
        for number, name in enumerate(order, 1):
            if name in given_up:
                continue
            self._wait(draw.uniform(*PAUSE_S))
            found = self._patiently(name, f"{number} of {len(order)}")
            if found is not None:
                said.append(found)
                continue
            given_up.add(name)
            _say(f"  {name} is given up after {TRIES} tries")
            if given_up == set(names):
                break
        if not said:
            raise DataError("nothing was said, so nothing was written; see `kws doctor`")
        return said

    def _patiently(self, name: str, where: str) -> Utterance | None:
        """Ask until something was said, but not for ever."""
        for again in range(TRIES):
            _say(f"say: {name}   ({where}{', again' if again else ''})")
            found, wrong = self._ask(name)
            if found is not None:
                return found
            _say(f"  {wrong}")
        return None

    def _ask(self, name: str) -> tuple[Utterance | None, str]:
        """Hear one word; return it, or what was wrong."""
        self._ear.take()  # what was before the prompt is no part of it
        self._clipped, begun = 0, self._now
        audio: Samples = np.zeros(0, np.float32)
        word: Spoken | None = None

        def hear() -> float:
            nonlocal audio
            before = self._now
            audio = np.concatenate([audio, self._next()])
            return self._now - before

        def ended(passed: float) -> bool | None:
            nonlocal word
            word = find(audio, self._ear.rate)
            return None if word is None else passed >= word.end_s + TOLERANCE_S

        wait_for_word(hear, ended)
        stretch = self._ear.take()
        wrong = trouble(audio, self._ear.rate, word, clipped=self._clipped)
        if word is None or wrong is not None:
            return None, self._device_gives_zeros(wrong or "")
        _say(f"  {_described(word, scored=bool(len(stretch.ends_s)))}")
        where = Word(name, begun + word.start_s, begun + word.end_s)
        return Utterance(where, stretch), ""

    def _device_gives_zeros(self, wrong: str) -> str:
        return "nothing but zeros: is the microphone muted?" if self._zeros else wrong

    def room(self, seconds: float) -> list[Stretch]:
        """Hear the room for so long, or until Ctrl-C; return what was scored.

        Raises DeviceError: the microphone was lost.
        """
        self._begin()
        _say(
            f"Now the room, for {seconds / 60:g} minutes: do what you do here on other days, but "
            "don't say the words. Ctrl-C ends it early."
        )
        found: list[Stretch] = []
        begun = shown = since = self._now
        self._heard = 0.0
        try:
            while (passed := self._now - begun) < seconds:
                self._next()
                if self._now - since >= STRETCH_S:
                    found.append(self._stretch(begun))
                    since = self._now
                if self._now >= shown:
                    shown += self._countdown(seconds - passed)
        except KeyboardInterrupt:
            _say(f"\nended after {(self._now - begun) / 60:.1f} minutes")
        else:
            _say("")
        found.append(self._stretch(begun))
        return found

    def _stretch(self, begun: float) -> Stretch:
        seconds, self._heard = self._heard, 0.0
        return self._ear.take(begin_s=begun, seconds=seconds)

    def _countdown(self, left: float) -> float:
        """Show how long it still takes; return after how many seconds to do so again."""
        clock = f"{int(left) // 60}:{int(left) % 60:02} left"
        if not sys.stderr.isatty():
            _say(clock)
            return STRETCH_S
        gate = "open  " if self._ear.gate_open else "closed"
        line = f"\r{clock}   {self._ear.level_db:4.0f} dBFS   gate {gate} "
        print(line, end="", file=sys.stderr, flush=True)
        return 1.0

    def _begin(self) -> None:
        self._ear.reset()
        first = not self._now
        self._wait(SETTLE_S)
        if first:
            _say(f"listening to {self._name}")

    def _wait(self, seconds: float) -> None:
        end = self._now + seconds
        while self._now < end:
            self._next()

    def _next(self) -> Samples:
        """Hear a block; return it as float32 [n], mono at the model's rate."""
        block = next_block(self._blocks)
        for event in [*self._source.poll_events(), *self._ear.process(block)]:
            if isinstance(event, DigitalSilence):
                self._zeros = event.silent
            if isinstance(event, DigitalSilence | AudioLost):
                _say(f"  {sentence(event)}")
        self._clipped += int((np.abs(block.samples) >= FULL_SCALE).sum())
        self._now = block.end / block.rate
        if not self._zeros:
            self._heard += len(block.samples) / block.rate
        return np.concatenate([_NOTHING, *(one.samples for one in self._mono.process(block))])


_NOTHING = np.zeros(0, np.float32)


def _described(word: Spoken, *, scored: bool) -> str:
    length = f"heard, {word.end_s - word.start_s:.2f} s long, {word.level_db:.0f} dBFS"
    return length if scored else f"{length}; but the gate took it for noise and stayed closed"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
