"""Archive: recordings in one file for the next run; reading it runs nothing that it holds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np

from export.training.recordings import Pcm
from kws.files import atomic_write

MAGIC = b"kws audio 1\n"
"""After it: the bytes of the head as ten digits, the head as JSON, the samples of all pieces."""
DIGITS = 10
SAMPLE = np.dtype("<i2")

Index = TypeVar("Index")


class _Head(msgspec.Struct):
    """lengths: of the pieces, in samples. index: what they are, as whoever wrote them says it."""

    lengths: list[int]
    index: msgspec.Raw


def write(path: Path, index: object, pieces: Sequence[Pcm]) -> None:
    """Write pieces and what they are, whole or not at all. Raises OSError."""
    lengths = [len(piece) for piece in pieces]
    head = msgspec.json.encode(_Head(lengths, msgspec.Raw(msgspec.json.encode(index))))
    with atomic_write(path) as partial, partial.open("wb") as file:
        file.write(MAGIC + b"%0*d" % (DIGITS, len(head)) + head)
        for piece in pieces:  # one by one: all together may be much
            file.write(piece.astype(SAMPLE).tobytes())


def read(path: Path, kind: type[Index]) -> tuple[Index, list[Pcm]] | None:
    """Return what was written: the index, of this kind, and the pieces, each int16 [n].

    None: there is no such file, or it is none of these. Raises OSError: it can't be read.
    """
    if not path.is_file():
        return None
    with path.open("rb") as file:
        begun, size = file.read(len(MAGIC) + DIGITS), path.stat().st_size
        if not begun.startswith(MAGIC) or not (digits := begun[len(MAGIC) :]).isdigit():
            return None
        if int(digits) > size:
            return None
        try:
            head = msgspec.json.decode(file.read(int(digits)), type=_Head)
            index = msgspec.json.decode(head.index, type=kind)
        except msgspec.DecodeError:
            return None
        left = (size - file.tell()) // SAMPLE.itemsize
        if min(head.lengths, default=0) < 0 or sum(head.lengths) != left:
            return None
        audio = np.fromfile(file, SAMPLE).astype(np.int16, copy=False)
    ends = np.cumsum([0, *head.lengths]).tolist()
    return index, [audio[begin:end] for begin, end in pairwise(ends)]
