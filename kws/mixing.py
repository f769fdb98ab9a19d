"""Mixing: several channels into one, without two that cancel each other out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kws.flow import Samples

FRAME_S = 0.1
"""Seconds over which powers are compared: a cancelled word is lost no longer than that."""
CANCELLED = 0.1
"""The mean of n independent channels has 1/n of their power. Under this share of that, they
cancel each other out."""
AUDIBLE = 1e-6
"""Mean square (-60 dBFS) from which a frame says something about the channels."""
_HALF = np.float32(0.5)


@dataclass(frozen=True, slots=True)
class Mixing:
    """What mixing remembers of a stream; a new stream, also after lost audio, begins without.

    length: samples of the frame at hand. powers: the sum of squares in it, by channel; mean: that
    of the mean of all. only: the channel that is taken alone, from 0; None: the mean is taken.
    """

    length: int = 0
    powers: tuple[float, ...] = ()
    mean: float = 0.0
    only: int | None = None

    def after(self, piece: Samples, mean: Samples, frame: int) -> Mixing:
        """Return what is remembered after a piece of a frame [n, channels] and its mean [n]."""
        columns = (piece[:, number] for number in range(piece.shape[1]))
        powers = tuple(
            float(column.dot(column)) + before
            for column, before in zip(columns, self.powers or [0.0] * piece.shape[1], strict=True)
        )
        total = self.mean + float(mean.dot(mean))
        length = self.length + len(piece)
        if length < frame:
            return Mixing(length, powers, total)
        expected = sum(powers) / len(powers) ** 2
        if total >= CANCELLED * expected or sum(powers) < AUDIBLE * length * len(powers):
            return Mixing()
        return Mixing(powers=powers, only=powers.index(max(powers)))


def mix(samples: Samples, rate: int, before: Mixing) -> tuple[Samples, Mixing]:
    """Return [n, channels] as the mean [n] of all channels, and what to remember.

    Where their mean is next to nothing, one of them is wired the wrong way round: from then on the
    loudest is taken alone.
    """
    if len(before.powers) != samples.shape[1]:
        before = Mixing()
    if before.only is not None:
        return np.ascontiguousarray(samples[:, before.only]), before
    frame, at, now, parts = max(1, round(FRAME_S * rate)), 0, before, []
    while at < len(samples) and now.only is None:
        piece = samples[at : at + frame - now.length]
        parts.append(_mean(piece))
        now = now.after(piece, parts[-1], frame)
        at += len(piece)
    if at < len(samples):
        parts.append(samples[at:, now.only])
    return parts[0] if len(parts) == 1 else np.concatenate(parts), now


def mixed(samples: Samples) -> Samples:
    """Return a whole recording [n, channels] as one channel [n]; the same, decided in advance."""
    mean = _mean(samples)
    only = Mixing().after(samples, mean, len(samples)).only
    return mean if only is None else np.ascontiguousarray(samples[:, only])


def _mean(samples: Samples) -> Samples:
    if samples.shape[1] == 2:
        two: Samples = (samples[:, 0] + samples[:, 1]) * _HALF  # far faster than mean()
        return two
    mean: Samples = samples.mean(axis=1, dtype=np.float32)
    return mean
