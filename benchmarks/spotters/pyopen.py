"""pyopen-wakeword: its alexa, the threshold of its command (0.5), 2,048 bytes as that feeds.

A report is followed by two seconds without one, as in wyoming-openwakeword, its client.
"""

from __future__ import annotations

from collections.abc import Callable

BLOCK = 1024
THRESHOLD = 0.5
REFRACTORY_S = 2.0


def spotter(_: str) -> Callable[[bytes], tuple[float, bool]]:
    """Return what hears a block of int16 bytes."""
    import pyopen_wakeword as pyopen  # type: ignore[import-not-found]

    features = pyopen.OpenWakeWordFeatures.from_builtin()
    model = pyopen.OpenWakeWord.from_builtin(pyopen.Model.ALEXA)
    heard, quiet = 0, 0

    def hear(block: bytes) -> tuple[float, bool]:
        nonlocal heard, quiet
        heard += BLOCK
        score = 0.0
        for embedding in features.process_streaming(block):
            for probability in model.process_streaming(embedding):
                score = max(score, probability)
        fired = score > THRESHOLD and heard >= quiet
        if fired:
            quiet = heard + round(REFRACTORY_S * 16_000)
        return score, fired

    return hear
