"""Samples: what a program pushes, checked and as float32."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from kws.errors import AudioError
from kws.flow import Samples, check_format

FEW = 16
"""A block as short as this may well have more channels than samples."""
_FROM_INT16 = np.float32(1 / 32_768)


def as_samples(given: Any) -> Samples:
    """Return float32 or int16, [n] or [n, channels], as float32 in [-1, 1].

    Raises AudioError: it is no array, of another type, or lies the other way round, [channels, n].
    """
    if not isinstance(given, np.ndarray):
        hint = "np.frombuffer(..., np.int16)" if _is_bytes(given) else "np.asarray(..., np.float32)"
        raise AudioError(f"samples are a {type(given).__name__}, not an array; push {hint}")
    if given.ndim == 2 and given.shape[1] > max(FEW, given.shape[0]):
        raise AudioError(
            f"audio of shape {given.shape} has more channels than samples; "
            "give [n, channels], as .T makes it"
        )
    if given.dtype == np.int16:
        samples: Samples = given * _FROM_INT16
        return samples
    if given.dtype != np.float32:
        raise AudioError(f"samples of type {given.dtype}; give float32 in [-1, 1], or int16")
    return given


def as_index(given: Any, what: str, lowest: int = 0, highest: int = 1 << 62) -> int:
    """Return a whole number; 16000.0 is one too. Raises AudioError: it is none, or out of range."""
    whole = _whole(given)
    if whole is None or not lowest <= whole <= highest:
        raise AudioError(f"{what} {given!r} is not a whole number from {lowest} to {highest}")
    return whole


def as_rate(given: Any) -> int:
    """Return a sample rate in Hz. Raises AudioError: it can't be one."""
    whole = _whole(given)
    if whole is None:
        raise AudioError(f"sample_rate {given!r} is not a whole number")
    check_format(whole, where="sample_rate")
    return whole


def _whole(given: Any) -> int | None:
    """Return a whole number; 16000.0 is one too. None: it is none."""
    try:
        whole = int(given) if isinstance(given, float | np.floating) else operator.index(given)
    except (TypeError, ValueError, OverflowError):
        return None
    return whole if whole == given and not isinstance(given, bool) else None


def _is_bytes(given: Any) -> bool:
    return isinstance(given, bytes | bytearray | memoryview)
