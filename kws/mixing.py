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
"""Mean square (-60 dBFS), without a constant offset, from which a frame says something about the
channels."""
_HALF = np.float32(0.5)


@dataclass(frozen=True, slots=True)
class Mixing:
    """What mixing remembers of a stream; a new stream, also after lost audio, begins without.

    length: samples of the frame at hand. sums, squares: the sums of its samples and of their
    squares, by channel; those of the mean of all channels come last. only: the channel that is
    taken alone, from 0; None: the mean is taken.
    """

    length: int = 0
    sums: tuple[float, ...] = ()
    squares: tuple[float, ...] = ()
    only: int | None = None

    def after(self, piece: Samples, mean: Samples, frame: int) -> Mixing:
        """Return what is remembered after a piece of a frame [n, channels] and its mean [n]."""
        # In float64: a small change beside a large constant offset would drown in rounding errors.
        columns = [piece[:, number].astype(np.float64) for number in range(piece.shape[1])]
        columns.append(mean.astype(np.float64))
        zeros = [0.0] * len(columns)
        sums = [float(each.sum()) for each in columns]
        squares = [float(each.dot(each)) for each in columns]
        sums = [a + b for a, b in zip(sums, self.sums or zeros, strict=True)]
        squares = [a + b for a, b in zip(squares, self.squares or zeros, strict=True)]
        length = self.length + len(piece)
        if length < frame:
            return Mixing(length, tuple(sums), tuple(squares))
        # Without each channel's constant offset, which nobody hears: two opposite ones are no sign
        # of a wire that is the wrong way round.
        *powers, total = (a - b * b / max(1, length) for a, b in zip(squares, sums, strict=True))
        expected = sum(powers) / len(powers) ** 2
        if total >= CANCELLED * expected or sum(powers) < AUDIBLE * length * len(powers):
            return Mixing()
        return Mixing(sums=tuple(sums), only=powers.index(max(powers)))


def mix(samples: Samples, rate: int, before: Mixing) -> tuple[Samples, Mixing]:
    """Return [n, channels] as the mean [n] of all channels, and what to remember.

    Where their mean is next to nothing, one of them is wired the wrong way round: from then on the
    loudest is taken alone.
    """
    if len(before.sums) != samples.shape[1] + 1:
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
