"""Pace: how often this machine can run a model."""

from __future__ import annotations

import math
import sys
import time
from copy import copy
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from kws.errors import ModelError

if TYPE_CHECKING:
    from kws.session import Model

SHARE = 0.25
"""Of one core: what a window model's calls may cost while listening."""
CALLS = 5


def call_seconds(model: Model) -> float:
    """Return what one call costs on this machine: the fastest of a few, in seconds."""
    card = model.card
    audio = np.zeros((1, card.hop if card.kind == "stream" else card.window), np.float32)
    costs = []
    for _ in range(CALLS):
        begun = time.perf_counter()
        model.run(audio)
        costs.append(time.perf_counter() - begun)
    return min(costs)


def at_bearable_pace(model: Model) -> Model:
    """Return the model with a hop at which a window model costs at most a quarter of a core.

    It is the card's hop, or the least multiple of it; then stderr says so. A stream model's
    stays as it is.

    Raises ModelError: even half a window is too often.
    """
    card = model.card
    if card.kind == "stream":
        return model
    cost, rate = call_seconds(model), card.sample_rate
    hop = card.hop * max(1, math.ceil(cost * rate / (SHARE * card.hop)))
    if hop == card.hop:
        return model
    if hop > card.window / 2:
        raise ModelError(
            f"{model.path}: too slow for this machine: a call takes {1000 * cost:.0f} ms, at most "
            f"{1000 * SHARE * card.window / 2 / rate:.0f} ms would do; take a smaller model"
        )
    print(
        f"kws: {model.path}: a call takes {1000 * cost:.0f} ms, so it is made every "
        f"{1000 * hop / rate:.0f} ms instead of every {1000 * card.hop / rate:.0f}",
        file=sys.stderr,
    )
    paced = copy(model)
    paced.card = msgspec.structs.replace(card, hop=hop)
    return paced
