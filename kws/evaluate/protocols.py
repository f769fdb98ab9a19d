"""Protocols: which clips an accuracy is measured on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from kws.flow import Samples

COMMANDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
UNKNOWN, SILENCE = "_unknown_", "_silence_"
QUIETEST_DB, LOUDEST_DB = -60.0, -25.0


def v2_12(
    words: Mapping[str, Sequence[Samples]],
    noise: Sequence[Samples],
    *,
    rate: int,
    seed: int = 1,
) -> list[tuple[str, Samples]]:
    """Return clips with their labels, V2-12 style: ten words, unknown and silence.

    After Warden, "Speech Commands" (2018). Unknown and silence have as many clips as the mean
    word; unknown is drawn in rounds over its words, silence is a second of `noise` at -60 to
    -25 dBFS. `words`: clips by word, float32 [n] at `rate` Hz.
    """
    rng = np.random.default_rng(seed)
    chosen = [(word, clip) for word in COMMANDS for clip in words.get(word, [])]
    count = round(len(chosen) / len(COMMANDS))
    others = {w: list(rng.permutation(len(c))) for w, c in words.items() if w not in COMMANDS}
    drawn: list[tuple[str, Samples]] = []
    while len(drawn) < count and any(others.values()):
        for word, left in others.items():
            if left and len(drawn) < count:
                drawn.append((UNKNOWN, words[word][left.pop()]))
    return chosen + drawn + [(SILENCE, _silence(noise, rate, rng)) for _ in range(count)]


def _silence(noise: Sequence[Samples], rate: int, rng: np.random.Generator) -> Samples:
    """Cut a second from a noise recording and set its level."""
    while True:
        audio = noise[int(rng.integers(len(noise)))]
        start = rng.integers(max(1, len(audio) - rate))
        second = np.resize(audio[start : start + rate], rate).astype(np.float32)
        level = float(np.sqrt(np.mean(second**2)))
        if level > 0:
            wanted = 10 ** (rng.uniform(QUIETEST_DB, LOUDEST_DB) / 20)
            silence: Samples = second * np.float32(wanted / level)
            return silence
