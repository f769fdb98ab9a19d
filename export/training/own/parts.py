"""Parts: of background, to learn from, to find thresholds on, and to keep aside."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from export.training.own.material import Recording

PARTS = (0.6, 0.25, 0.15)
"""Shares of the background: to learn, for thresholds, kept aside."""


def in_parts(
    pieces: Sequence[Recording], seed: int
) -> tuple[list[Recording], list[Recording], list[Recording]]:
    """Part background: to learn, for thresholds, kept aside; by speaker where there are enough.

    Few long recordings are each parted in time.
    """
    groups: dict[str, list[Recording]] = defaultdict(list)
    for piece in pieces:
        groups[piece.speaker].append(piece)
    if len(groups) < 8:
        ordered = [piece for name in sorted(groups) for piece in groups[name]]
        bounds = [_share(place, groups, piece) for place, piece in enumerate(ordered)]
    else:
        names = sorted(groups)
        order = np.random.default_rng(seed).permutation(len(names))
        ordered = [piece for place in order for piece in groups[names[place]]]
        ends = np.cumsum([piece.seconds for piece in ordered])
        bounds = [float(end / ends[-1]) for end in ends]
    first, second = PARTS[0], PARTS[0] + PARTS[1]
    parts: tuple[list[Recording], list[Recording], list[Recording]] = ([], [], [])
    for piece, share in zip(ordered, bounds, strict=True):
        parts[0 if share <= first else 1 if share <= second else 2].append(piece)
    if len(pieces) > 1 and not (parts[0] and parts[1]):  # one of a few is nearly all
        return list(pieces[::2]), list(pieces[1::4]), list(pieces[3::4])
    return parts


def _share(place: int, groups: dict[str, list[Recording]], piece: Recording) -> float:
    """Return how far into its file, 0..1, a piece ends."""
    own = groups[piece.speaker]
    at = next(number for number, each in enumerate(own) if each is piece)
    return (at + 1) / len(own) if len(own) > 2 else (place % 3 + 1) / 3
