"""openwakeword with ONNX files, 1,280 samples and threshold 0.5 as its documentation says.

The option is a list, joined by commas: a file for the scores, or nothing; mel front end, embedding,
heads. The score is the highest of all heads; the file gets float32 [blocks, heads].
"""

from __future__ import annotations

from collections.abc import Callable

BLOCK = 1280
THRESHOLD = 0.5


def spotter(option: str) -> Callable[[bytes], tuple[float, bool]]:
    """Return what hears a block of int16 bytes."""
    import numpy as np
    from openwakeword.model import Model  # type: ignore[import-not-found]

    scores, mel, embedding, *heads = option.split(",")
    model = Model(
        wakeword_models=heads,
        inference_framework="onnx",
        melspec_model_path=mel,
        embedding_model_path=embedding,
    )

    def hear(block: bytes) -> tuple[float, bool]:
        found = np.array([*model.predict(np.frombuffer(block, np.int16)).values()], np.float32)
        if scores:
            with open(scores, "ab") as file:
                found.tofile(file)
        score = float(found.max())
        return score, score > THRESHOLD

    return hear
