"""kws: the bundled model, alexa alone armed, all else as it ships, 20 ms at a time.

The score is the smoothed one that is compared; 0 where a block brought no inference.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

BLOCK = 320


def spotter(_: str) -> Callable[[bytes], tuple[float, bool]]:
    """Return what hears a block of int16 bytes."""
    import numpy as np

    import kws

    one = kws.Spotter(keywords=["alexa"])
    model = one.models[0]
    column = model.labels.index("alexa")
    hops = max(1, round(model.card.decision.smoothing_s * model.card.sample_rate / model.card.hop))
    last, expected, heard = deque([0.0] * hops, hops), 0, 0

    def hear(block: bytes) -> tuple[float, bool]:
        nonlocal expected, heard
        samples = np.frombuffer(block, np.int16) * np.float32(1 / 32_768)
        score, fired = 0.0, False
        for event in one.process(kws.Block(samples, heard, 16_000)):
            if isinstance(event, kws.Scores):
                if event.start != expected:  # the gate withheld audio
                    last.extend([0.0] * hops)
                last.append(float(event.values[column]))
                score, expected = max(score, sum(last) / hops), event.end
            fired = fired or isinstance(event, kws.Detection)
        heard += BLOCK
        return score, fired

    return hear
