"""Work to be shared out in tests: what workers must import stands in a module of its own."""

import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kws.errors import DataError
from kws.evaluate.workers.spread import spread


@dataclass(frozen=True)
class Number:
    """A unit; `folder` is where its work may leave traces."""

    value: int
    folder: str = ""

    @property
    def key(self) -> str:
        return f"number-{self.value}"


def squares(unit: Number) -> NDArray[np.float32]:
    """Return two numbers; leave word that this was done, and by whom."""
    if unit.folder:
        with open(Path(unit.folder) / f"{unit.value}.pids", "a") as file:
            file.write(f"{os.getpid()}\n")
    return np.array([unit.value, unit.value**2], np.float32)


def slow_squares(unit: Number) -> NDArray[np.float32]:
    """Return the same, after a while in which one can be killed."""
    time.sleep(0.1)
    return squares(unit)


def fails_at_three(unit: Number) -> NDArray[np.float32]:
    """Return the same but for 3."""
    if unit.value == 3:
        raise DataError("three is\nno number")
    return squares(unit)


def deadly_at_three(unit: Number) -> NDArray[np.float32]:
    """Return the same but for 3, which kills the process."""
    if unit.value == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return slow_squares(unit)


if __name__ == "__main__":
    units = [Number(value, sys.argv[1]) for value in range(200)]
    spread(units, slow_squares, workers=2, kept=Path(sys.argv[1]) / "kept")
