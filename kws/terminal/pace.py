"""Pace: how often this machine can run a model."""

from __future__ import annotations

import math
import sys
import time
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from kws.errors import ModelError

if TYPE_CHECKING:
    from kws.session import Model
    from kws.verification import VerifierConfig

SHARE = 0.25
"""Of one core: what a window model's calls may cost while listening."""
CALLS = 5
_CLOCK = time.perf_counter if sys.platform == "win32" else time.thread_time
"""Seconds of processor time, so that other processes on a busy machine make no call look slow. A
model runs on the thread that calls it. Windows counts a thread's time in steps of 16 ms."""


def call_seconds(model: Model) -> float:
    """Return what one call costs on this machine: the cheapest of a few, in seconds."""
    card = model.card
    audio = np.zeros((1, card.hop if card.kind == "stream" else card.window), np.float32)
    costs = []
    for _ in range(CALLS):
        begun = _CLOCK()
        model.run(audio)
        costs.append(_CLOCK() - begun)
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
    _say(
        f"{model.path}: a call takes {1000 * cost:.0f} ms, so it is made every "
        f"{1000 * hop / rate:.0f} ms instead of every {1000 * card.hop / rate:.0f}"
    )
    paced = copy(model)
    paced.card = msgspec.structs.replace(card, hop=hop)
    return paced


def fit_verifier(verifier: VerifierConfig | None) -> VerifierConfig | None:
    """Return the verifier, called no more often than this machine affords; None: not at all.

    Its calls cost at most a quarter of a core over some seconds, and of several for one word each
    is done before the next. What that changes, or that it can't be, is said on stderr; so is
    that nothing was calibrated for this pair.
    """
    if verifier is None:
        return None
    path, timing = verifier.model.path, verifier.timing
    try:
        cost = call_seconds(verifier.model)
    except Exception as error:  # noqa: BLE001 - onnxruntime's errors have no base of their own
        reason = " ".join(str(error).removeprefix(f"{path}: ").split())[:200]
        _say(f"{path}: can't verify, its calls fail: {reason}; the first stage decides alone")
        return None
    every = timing.every_s * max(1, math.ceil(cost / timing.every_s))
    longest = timing.hold_s / max(1, timing.calls - 1)
    if max(every, cost) > longest:
        _say(
            f"{path}: too slow to verify on this machine: a call takes {1000 * cost:.0f} ms, at "
            f"most {1000 * longest:.0f} ms would do; the first stage decides alone"
        )
        return None
    if not verifier.calibrated:
        _say(f"{path}: not calibrated for this model; `kws tune` finds thresholds for the two")
    most = min(timing.calls_per_s, SHARE / cost)
    if most < timing.calls_per_s or every > timing.every_s:
        _say(
            f"{path}: a call takes {1000 * cost:.0f} ms, so it is made every "
            f"{1000 * every:.0f} ms and {most:.1f} times a second at most, instead of every "
            f"{1000 * timing.every_s:.0f} and {timing.calls_per_s:g} times"
        )
    fitted = msgspec.structs.replace(timing, every_s=every, calls_per_s=most)
    return replace(verifier, timing=fitted)


def _say(line: str) -> None:
    print(f"kws: {line}", file=sys.stderr)
