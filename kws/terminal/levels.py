"""Levels: a short recording from a device, and how loud it is."""

from __future__ import annotations

import math
from contextlib import closing

import numpy as np

from kws.flow import Samples
from kws.levels import power_db
from kws.sources.devices import Input
from kws.sources.microphone import Microphone


def record(device: Input | str | None, seconds: float) -> Samples:
    """Return `seconds` of what a device hears, float32 [n, channels], all of its channels.

    Raises what Microphone raises.
    """
    with closing(Microphone(device, channel="mean")) as microphone:
        blocks: list[Samples] = []
        for block in microphone:
            blocks.append(block.samples)
            if block.end >= seconds * block.rate:
                break
    return np.concatenate(blocks)


def level_db(samples: Samples) -> list[float]:
    """Return each channel's RMS level in dBFS; minus infinity for nothing but zeros."""
    powers = np.square(samples, dtype=np.float64).mean(axis=0)
    return [power_db(power, -math.inf) for power in powers]
