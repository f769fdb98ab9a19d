"""Fragments: pieces of words and of running speech, which are other words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from export.training.recordings import RATE, Pcm
from export.training.strips import Word

FRAME = RATE // 100


def halves(words: Sequence[Word], unknown: int, rng: np.random.Generator) -> list[Word]:
    """Return what is left of words where only their first or last half is said: other words."""
    made = []
    for word in words:
        length = word.last - word.first
        early = word.first + round(rng.uniform(0.35, 0.5) * length)
        late = word.first + round(rng.uniform(0.5, 0.65) * length)
        begun, ended = _faded(word.audio[:early]), _faded(word.audio[late:])
        made += [
            Word(begun, word.first, len(begun), unknown),
            Word(ended, 0, max(1, word.last - late), unknown),
        ]
    return [word for word in made if len(word.audio) > RATE // 20]


def fragments(
    speech: Sequence[Pcm], count: int, unknown: int, rng: np.random.Generator
) -> list[Word]:
    """Return single words, more or less: pieces of speech cut where it is quietest."""
    made: list[Word] = []
    usable = [audio for audio in speech if len(audio) > RATE]
    while usable and len(made) < count:
        audio = usable[rng.integers(len(usable))]
        levels = np.square(
            audio[: len(audio) // FRAME * FRAME].reshape(-1, FRAME).astype(np.float32)
        ).mean(1)
        first = _quietest(levels, int(rng.integers(0, len(levels) - 60)))
        last = _quietest(levels, first + int(rng.integers(25, 110)))
        cut = _faded(audio[first * FRAME : last * FRAME])
        if len(cut) > RATE // 6:
            made.append(Word(cut, 0, len(cut), unknown))
    return made


def _quietest(levels: NDArray[np.float32], at: int) -> int:
    """Return the quietest frame within 80 ms of one."""
    first = min(max(0, at - 8), len(levels) - 1)
    return first + int(levels[first : at + 9].argmin())


def _faded(audio: Pcm) -> Pcm:
    faded = audio.astype(np.float32)
    length = min(160, len(audio))
    ramp = np.linspace(0, 1, length, dtype=np.float32)
    faded[:length] *= ramp
    faded[len(faded) - length :] *= ramp[::-1]
    return faded.astype(np.int16)
