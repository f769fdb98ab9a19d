"""Options of a fine-tuning, and what makes two runs the same."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from kws.errors import ConfigError

ENOUGH_STEPS = 400
"""Steps after which a head and its encoder have usually settled."""
EPOCHS = (5, 50)
"""The fewest and the most that are chosen where none is asked for."""
RUNS_ALIKE = ("threads",)
"""What may change between a run and its resumption."""


@dataclass(frozen=True)
class Options:
    """What the user may set.

    epochs: None is by the number of recordings. batch: windows a step. rate: the encoder's learning
    rate; a fresh head learns faster. patience: epochs without a better validation before it stops.
    window_s: what the network hears at a time; None is by the labels, else by the recordings.
    audio_column, label_column, speaker_column: of a Hugging Face dataset; None is to be found.
    threads: of the CPU; None is torch's choice.
    Raises ConfigError: a number makes no sense.
    """

    epochs: int | None = None
    batch: int = 16
    rate: float = 5e-5
    patience: int = 4
    window_s: float | None = None
    audio_column: str | None = None
    label_column: str | None = None
    speaker_column: str | None = None
    seed: int = 1
    threads: int | None = None

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            wrong = isinstance(value, (int, float)) and not value > 0 and name != "seed"
            if wrong:
                raise ConfigError(f"{name.replace('_', '-')} {value}: must be more than 0")

    def epochs_for(self, recordings: int) -> int:
        """Return how many epochs there are with so many training recordings."""
        if self.epochs is not None:
            return self.epochs
        wanted = -(-ENOUGH_STEPS // self.steps(recordings))
        return min(EPOCHS[1], max(EPOCHS[0], wanted))

    def steps(self, recordings: int) -> int:
        """Return how many steps an epoch has."""
        return max(1, -(-recordings // self.batch))

    def fingerprint(self) -> dict[str, Any]:
        """Return what decides on the result."""
        return {key: value for key, value in asdict(self).items() if key not in RUNS_ALIKE}
