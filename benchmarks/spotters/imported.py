"""kws with an imported model: the option names its file and, after a comma, a gate; 80 ms a time.

The score is the highest of all labels; 0 where a block brought no inference.
"""

from __future__ import annotations

from collections.abc import Callable

BLOCK = 1280


def spotter(option: str) -> Callable[[bytes], tuple[float, bool]]:
    """Return what hears a block of int16 bytes."""
    import numpy as np

    import kws

    file, _, gate = option.partition(",")
    one, heard = kws.Spotter(file, gate=gate or None), 0

    def hear(block: bytes) -> tuple[float, bool]:
        nonlocal heard
        samples = np.frombuffer(block, np.int16) * np.float32(1 / 32_768)
        score, fired = 0.0, False
        for event in one.process(kws.Block(samples, heard, 16_000)):
            if isinstance(event, kws.Scores):
                score = max(score, float(event.values.max()))
            fired = fired or isinstance(event, kws.Detection)
        heard += BLOCK
        return score, fired

    return hear
