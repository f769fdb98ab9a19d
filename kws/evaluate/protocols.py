"""Protocols: which clips an accuracy is measured on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

import numpy as np

from kws.errors import DataError
from kws.flow import Samples

COMMANDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
UNKNOWN, SILENCE = "_unknown_", "_silence_"
QUIETEST_DB, LOUDEST_DB = -60.0, -25.0
_TRIES = 10_000
"""Seconds of noise in a row that may be digital silence before the noise is given up."""

Clip = TypeVar("Clip")
"""Whatever stands for a clip: its samples, or where they lie."""


class Noise(Protocol):
    """A recording of noise: an array, or one that reads a stretch when it is asked for."""

    def __len__(self) -> int:
        """Its length in samples."""

    def __getitem__(self, stretch: slice, /) -> Samples:
        """A stretch of it, float32 [n]."""


def v2_12(
    words: Mapping[str, Sequence[Clip]],
    noise: Sequence[Noise],
    *,
    rate: int,
    seed: int = 1,
) -> list[tuple[str, Clip | Samples]]:
    """Return clips with their labels, V2-12 style: ten words, unknown and silence.

    After Warden, "Speech Commands" (2018). Unknown and silence have as many clips as the mean
    word; unknown is drawn in rounds over its words, silence is a second of `noise` at -60 to
    -25 dBFS, float32 [rate]. `words`: clips by word; `rate`: of `noise`, in Hz.
    Raises DataError: the noise is digital silence.
    """
    rng = np.random.default_rng(seed)
    chosen: list[tuple[str, Clip | Samples]] = [
        (word, clip) for word in COMMANDS for clip in words.get(word, [])
    ]
    count = round(len(chosen) / len(COMMANDS))
    others = {w: list(rng.permutation(len(c))) for w, c in words.items() if w not in COMMANDS}
    drawn: list[tuple[str, Clip | Samples]] = []
    while len(drawn) < count and any(others.values()):
        for word, left in others.items():
            if left and len(drawn) < count:
                drawn.append((UNKNOWN, words[word][left.pop()]))
    return chosen + drawn + [(SILENCE, _silence(noise, rate, rng)) for _ in range(count)]


def _silence(noise: Sequence[Noise], rate: int, rng: np.random.Generator) -> Samples:
    """Cut a second from a noise recording and set its level."""
    for _ in range(_TRIES):
        audio = noise[int(rng.integers(len(noise)))]
        start = int(rng.integers(max(1, len(audio) - rate)))
        second = np.resize(audio[start : start + rate], rate).astype(np.float32)
        level = float(np.sqrt(np.mean(second**2)))
        if level > 0:
            wanted = 10 ** (rng.uniform(QUIETEST_DB, LOUDEST_DB) / 20)
            silence: Samples = second * np.float32(wanted / level)
            return silence
    raise DataError("the noise is digital silence throughout; give recordings of noise")
