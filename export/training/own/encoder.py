"""The encoder that own words share: the packaged verifier's, run by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from export.training.recordings import RATE
from kws.encoder import packaged
from kws.flow import Samples

WINDOW = 25_600
"""Samples that it hears at once."""
STEPS, WIDTH = 20, 384
BATCH = 16
Features = NDArray[np.float32]
"""[n, STEPS, WIDTH]."""


class Encoder:
    """Gives the features of windows. id: of its weights; heads and features belong to it.

    Raises ModelError: the verifier is not installed.
    """

    def __init__(self) -> None:
        self._encoder = packaged()
        self.id, self.sample_rate = self._encoder.id, RATE

    def features(self, windows: Iterable[Samples]) -> Features:
        """Return the features of windows, float32 [WINDOW] each."""
        found, waiting = [np.zeros((0, STEPS, WIDTH), np.float32)], []
        for window in windows:
            waiting.append(window)
            if len(waiting) == BATCH:
                found.append(self._run(waiting))
                waiting = []
        if waiting:
            found.append(self._run(waiting))
        return np.concatenate(found)

    def _run(self, windows: list[Samples]) -> Features:
        found: Features = self._encoder.features(np.stack(windows).astype(np.float32))
        return found
