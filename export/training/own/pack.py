"""The pack of negatives: features of other people's speech, noise and words, that ships with kws.

Features are projected to their principal components and kept as int8. Own words are learnt and
calibrated against it, so that they need no speech of the user's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.training.own.encoder import Features
from kws.errors import ModelError
from kws.files import atomic_write
from kws.session import BUNDLED

PACK = BUNDLED.with_name("negatives.npz")
Codes = NDArray[np.int8]
"""[n, steps, components]."""


@dataclass(frozen=True)
class Pack:
    """Negatives, and the projection in which they are kept.

    mean [width], matrix [width, components] (orthonormal columns), step: features become
    `(features - mean) @ matrix / step`, rounded. learning: windows of the training split.
    calibration: windows drawn at random from `hours` of the calibration split's speech.
    encoder: which encoder gave the features.
    """

    mean: NDArray[np.float32]
    matrix: NDArray[np.float32]
    step: float
    learning: Codes
    calibration: Codes
    hours: float
    encoder: str

    @property
    def components(self) -> int:
        """How many components are kept."""
        return int(self.matrix.shape[1])

    def codes(self, features: Features) -> Codes:
        """Return features [n, steps, width] as they are kept."""
        projected = (features - self.mean) @ self.matrix / np.float32(self.step)
        found: Codes = np.rint(projected).clip(-127, 127).astype(np.int8)
        return found

    def values(self, codes: Codes) -> NDArray[np.float32]:
        """Return what a head hears of kept features, float32 [n, steps, components]."""
        found: NDArray[np.float32] = codes.astype(np.float32) * np.float32(self.step)
        return found

    def save(self, path: Path) -> None:
        """Write the pack."""
        with atomic_write(path) as partial, partial.open("wb") as file:
            np.savez_compressed(
                file,
                mean=self.mean,
                matrix=self.matrix.astype(np.float16),
                step=np.float32(self.step),
                # Components side by side compress better than windows do.
                learning=np.moveaxis(self.learning, 0, 2),
                calibration=np.moveaxis(self.calibration, 0, 2),
                hours=np.float64(self.hours),
                encoder=np.array(self.encoder),
            )


def load(encoder: str, path: Path = PACK) -> Pack:
    """Return the pack. Raises ModelError: it is not there, or belongs to another encoder."""
    try:
        with np.load(path, allow_pickle=False) as found:
            pack = Pack(
                found["mean"],
                found["matrix"].astype(np.float32),
                float(found["step"]),
                np.ascontiguousarray(np.moveaxis(found["learning"], 2, 0)),
                np.ascontiguousarray(np.moveaxis(found["calibration"], 2, 0)),
                float(found["hours"]),
                str(found["encoder"]),
            )
    except (OSError, KeyError, ValueError) as error:
        reason = " ".join(str(error).split())[:100]
        raise ModelError(f"{path}: can't be read ({reason}); reinstall kws") from None
    if pack.encoder != encoder:
        raise ModelError(f"{path}: belongs to another version's encoder; reinstall kws")
    return pack
