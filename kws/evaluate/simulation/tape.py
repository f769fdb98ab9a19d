"""Tape: recordings one after another, over and over, as one long stretch of audio."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from kws.errors import AudioError
from kws.evaluate.corpus.reading import stream
from kws.flow import Samples

FADE_S = 0.01
"""Each recording begins and ends with a ramp so long: where two meet, nothing clicks."""


class Tape:
    """Recordings in the seed's order, read as far as they are needed.

    rate: Hz. told: called with one line where a recording can't be read; it is passed over.
    """

    def __init__(
        self,
        files: Sequence[Path],
        rate: int,
        *,
        seed: int,
        told: Callable[[str], None] | None = None,
    ) -> None:
        order = np.random.default_rng(seed).permutation(len(files))
        self._files = [files[place] for place in order]
        self._rate, self._told = rate, told or (lambda _: None)
        self._pieces = self._without_end()
        self._left = np.zeros(0, np.float32)

    def take(self, count: int) -> Samples:
        """Return the next samples: float32 [count].

        Raises AudioError: none of the recordings can be read.
        """
        parts, have = [self._left], len(self._left)
        while have < count:
            parts.append(next(self._pieces))
            have += len(parts[-1])
        whole = np.concatenate(parts)
        self._left = whole[count:]
        return whole[:count]

    def _without_end(self) -> Iterator[Samples]:
        unreadable = set[Path]()
        while len(unreadable) < len(self._files):
            for file in self._files:
                if file in unreadable:
                    continue
                try:
                    yield from self._faded(file)
                except AudioError as error:
                    unreadable.add(file)
                    self._told(f"{error}; left out")
        raise AudioError(f"{self._files[0].parent}: none of the recordings can be read")

    def _faded(self, file: Path) -> Iterator[Samples]:
        """Yield a recording, its edges faded."""
        before: Samples | None = None
        for audio in stream(file, self._rate):
            if before is None:
                before = self._ramped(audio)
            else:
                yield before
                before = audio
        if before is not None:
            yield self._ramped(before[::-1])[::-1]

    def _ramped(self, audio: Samples) -> Samples:
        ramp = np.linspace(0, 1, round(FADE_S * self._rate), dtype=np.float32)[: len(audio)]
        audio = audio.copy()
        audio[: len(ramp)] *= ramp
        return audio
