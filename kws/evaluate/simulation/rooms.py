"""Rooms: impulse responses, from the direct sound on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kws.errors import DataError
from kws.evaluate.corpus.reading import read, recordings_of
from kws.flow import Samples

ONSET_DB = 20.0
"""The direct sound is the first sample this close to the loudest (ISO 3382-1, 5.3.3)."""
ARCHIVE_RATE = 16_000
"""Hz of the responses in an .npz file, which can't tell."""


Response = NDArray[np.float64]


def read_rooms(path: Path, rate: int) -> list[Response]:
    """Return room impulse responses at `rate` Hz, float64 [n], from the direct sound on.

    Each has unit energy. They are sorted by name.

    path: a folder of recordings (the first channel of each), or one .npz file or a folder of
    them, an array a room. Of arrays named `train/...` and `validation/...` only the latter count:
    a model may know the others.
    Raises DataError: there is nothing there, or a response is empty. AudioError: unreadable.
    """
    found = [_direct(response, name) for name, response in _responses(path, rate)]
    if not found:
        raise DataError(f"{path}: no room impulse responses in it")
    return found


def _responses(path: Path, rate: int) -> Iterator[tuple[str, Samples]]:
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; give room impulse responses")
    archives = (
        [path] if path.suffix == ".npz" else sorted(path.glob("*.npz"), key=lambda file: file.name)
    )
    if not archives:
        for file in recordings_of(path):
            yield str(file), read(file, rate, channel=1)
    for archive in archives:
        yield from _archived(archive, rate)


def _archived(path: Path, rate: int) -> Iterator[tuple[str, Samples]]:
    import soxr

    try:
        with np.load(path) as archive:
            names = sorted(archive.files)
            unheard = [name for name in names if name.startswith("validation/")]
            for name in unheard or names:
                response = archive[name].astype(np.float32)
                if rate != ARCHIVE_RATE:
                    response = soxr.resample(response, ARCHIVE_RATE, rate)
                yield f"{path}: {name}", response
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: is no file of numpy arrays ({error})") from None


def _direct(response: Samples, name: str) -> Response:
    exact = response.astype(np.float64)
    loudest = float(np.abs(exact).max(initial=0))
    if not loudest:
        raise DataError(f"{name}: holds no impulse; take it away")
    onset = int(np.argmax(np.abs(exact) >= loudest * 10 ** (-ONSET_DB / 20)))
    unit: Response = exact[onset:] / np.sqrt(np.sum(exact[onset:] ** 2))
    return unit
