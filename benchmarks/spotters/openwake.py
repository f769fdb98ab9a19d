"""openwakeword: its alexa, tflite, 1,280 samples and threshold 0.5 as its documentation says.

A report is followed by two seconds without one, as in wyoming-openwakeword, its client.
"""

from __future__ import annotations

from collections.abc import Callable

BLOCK = 1280
THRESHOLD = 0.5
REFRACTORY_S = 2.0


def spotter(_: str) -> Callable[[bytes], tuple[float, bool]]:
    """Return what hears a block of int16 bytes."""
    import numpy as np
    from openwakeword.model import Model  # type: ignore[import-not-found]

    model = Model(wakeword_models=["alexa"])
    heard, quiet = 0, 0

    def hear(block: bytes) -> tuple[float, bool]:
        nonlocal heard, quiet
        heard += BLOCK
        score = float(model.predict(np.frombuffer(block, np.int16))["alexa"])
        fired = score > THRESHOLD and heard >= quiet
        if fired:
            quiet = heard + round(REFRACTORY_S * 16_000)
        return score, fired

    return hear
