"""What the microphones of a soak hear, and what happens around them, round after round."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

import kws
from benchmarks.scripted import RATE, Step, noise, recorded
from kws.errors import DeviceError
from kws.flow import Samples
from kws.sources.demo import RECORDING

WORDS = Path(__file__).parent.parent / "tests" / "words"
ROUND_S = 900.0
"""Length of a round: the microphone is lost once, the config changes once. Most of it is quiet, as
a home is: words take most of the run's time."""
PHASES = 4
"""Configs that take turns, a round each."""
FLAPS, FLAP_WORD = 8, "stop"
"""How often the microphone comes and goes in a period, and the word that is said each time."""
GONE = DeviceError("kitchen is gone: the sound system ended the recording")
STALLED = DeviceError("kitchen is gone: no audio for 3 s")


@dataclass(frozen=True)
class Actions:
    """The faults that a day can cause. refuse: the next `n` attempts find no microphone.

    between: called between rounds, when no fault is active; audio waits until it returns.
    """

    reload: Callable[[int], None]
    playback: Callable[[bool], None]
    refuse: Callable[[int], None]
    fill_disk: Callable[[], None]
    free_disk: Callable[[], None]
    between: Callable[[], object]
    stop: Callable[[], None]


class Day:
    """A scripted day: `rounds` rounds that last about `hours` together.

    losses: how often the microphone was taken away; flaps: how often besides, seconds after it had
    come back. expected: words that a spotter hears in the same audio where nothing happens.
    """

    def __init__(self, hours: float, actions: Actions) -> None:
        self.rounds = PHASES * max(1, round(hours * 3600 / ROUND_S / PHASES))
        self.losses = self.flaps = self.expected = 0
        self._actions = actions
        self._demo, self._voices, self._word = recorded(RECORDING), _voices(), _word()
        self._demo_words = _heard(self._demo)
        self._voices_words = [len(_heard(voice)) for voice in self._voices]

    def kitchen(self) -> Iterator[Step]:
        """Yield what the first microphone hears, and what happens."""
        quiet, loud, do = noise(10, 0.001), noise(20, 0.03), self._actions
        for number in range(self.rounds):
            yield from 6 * [quiet]
            yield from self._loss(number)
            if number % PHASES == 1:
                yield do.fill_disk
            voice = number % len(self._voices)
            self.expected += self._voices_words[voice] + 2 * len(self._demo_words)
            yield from [quiet, self._voices[voice], loud, quiet]
            yield partial(do.reload, number)
            yield self._demo
            yield partial(do.playback, True)
            yield self._demo
            # Meanwhile wake words rest.
            self.expected -= sum(each.role == "wake" for each in self._demo_words)
            if number % 2:  # else it ends by itself
                yield partial(do.playback, False)
            yield from [np.zeros(20 * RATE, np.float32), *70 * [quiet]]
            yield from self._flapping() if number % PHASES == 2 else []
            yield do.free_disk
            if number % PHASES == PHASES - 1:
                yield do.between
        yield do.stop
        while True:
            yield quiet

    def _loss(self, number: int) -> list[Step]:
        """Return each in turn of what can befall a microphone."""
        self.losses += 1
        away: list[Step] = [partial(self._actions.refuse, 6), GONE]
        ways: list[list[Step]] = [[GONE], [3.0, STALLED], away, [None], [5.0]]
        return ways[number % len(ways)]

    def _flapping(self) -> Iterator[Step]:
        """Yield a microphone that comes back for a word, and is gone again."""
        for _ in range(FLAPS):
            self.flaps, self.expected = self.flaps + 1, self.expected + 1
            yield self._word
            yield GONE


def attic() -> Iterator[Step]:
    """Yield what the second microphone hears."""
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


def _word() -> Samples:
    """Return a word with a second of noise on each side, by the first voice that is understood."""
    pause = noise(1, 0.001)
    for path in sorted(WORDS.glob(f"*/{FLAP_WORD}.opus")):
        audio = np.concatenate([pause, recorded(path), pause])
        if [each.keyword for each in _heard(audio)] == [FLAP_WORD]:
            return audio
    raise SystemExit(f"no voice of {WORDS} says {FLAP_WORD!r} so that it is understood")


def _heard(audio: Samples) -> list[kws.Detection]:
    """Return the words that the bundled models hear, with quiet noise around."""
    pause = noise(2, 0.001)
    return kws.Spotter().push(np.concatenate([pause, audio, pause]))
