"""Levels in dBFS: 0 is the power of a square wave at full scale."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from kws.flow import Samples

LOWEST_DB = -120.0
FLOOR = 1e-10
"""Is added to each frame's power: digital silence is -100 dBFS."""


def power_db(power: float, lowest: float = LOWEST_DB) -> float:
    """Return a mean power, the mean of squared samples, in dBFS; `lowest` at least."""
    return max(lowest, 10 * math.log10(power)) if power > 0 else lowest


def rms_db(samples: Samples, lowest: float = LOWEST_DB) -> float:
    """Return the RMS level of float32 [n] in dBFS; `lowest` at least, also of no samples."""
    power = np.mean(np.square(samples, dtype=np.float64)) if len(samples) else 0.0
    return power_db(float(power), lowest)


def frames_db(samples: Samples, frame: int) -> NDArray[np.float64]:
    """Return the RMS level of each `frame` samples of float32 [n] in dBFS, -100 at least.

    What is left at the end, less than a frame, is left out.
    """
    frames = samples[: len(samples) // frame * frame].reshape(-1, frame)
    levels: NDArray[np.float64] = np.mean(np.square(frames, dtype=np.float64), axis=1)
    return 10 * np.log10(levels + FLOOR)
