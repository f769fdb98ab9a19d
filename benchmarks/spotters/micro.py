"""pymicro-wakeword: its alexa, cutoff and window of its JSON, 2,048 bytes as its command feeds.

A report is followed by two seconds without one, as in linux-voice-assistant, its client.
"""

from __future__ import annotations

from collections.abc import Callable

BLOCK = 1024
REFRACTORY_S = 2.0


def spotter(_: str) -> Callable[[bytes], tuple[float, bool]]:
    """Return what hears a block of int16 bytes."""
    import pymicro_wakeword as micro  # type: ignore[import-not-found]

    features = micro.MicroWakeWordFeatures()
    model = micro.MicroWakeWord.from_builtin(micro.Model.ALEXA)
    heard, quiet = 0, 0

    def hear(block: bytes) -> tuple[float, bool]:
        nonlocal heard, quiet
        heard += BLOCK
        score = 0.0
        for frame in features.process_streaming(block):
            score = max(score, model.process_streaming_prob(frame) or 0.0)
        fired = score > model.probability_cutoff and heard >= quiet
        if fired:
            quiet = heard + round(REFRACTORY_S * 16_000)
        return score, fired

    return hear
