"""ScoreFile: every hop's scores on disk, so that thresholds can be swept without a second run."""

from __future__ import annotations

import csv
import io
from array import array
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kws.errors import ConfigError
from kws.flow import Samples, Scores

MARKS = ("audio", "model", "start", "end", "rate")


class ScoreFile:
    """One row a hop: which recording and model, first and end sample, rate, each label's score.

    path: `.csv`, written as it comes, or `.npz`, written at the end: `audio`, the names, and
    `marks` int64 [hops, 5]: which of the names, model, start, end, rate; `scores` float32
    [hops, labels]; `labels`. labels: each model's; a label that a row's model does not have is
    empty, NaN in `.npz`. What the gate withheld has no row.

    Raises ConfigError: another suffix, or it can't be written.
    """

    def __init__(self, path: str | Path, labels: Sequence[Sequence[str]]) -> None:
        self._labels = list(dict.fromkeys(label for model in labels for label in model))
        self._places = [[self._labels.index(label) for label in model] for model in labels]
        self._names: list[str] = []
        self._marks, self._values = array("q"), array("f")
        suffix = Path(path).suffix
        if suffix not in {".csv", ".npz"}:
            raise ConfigError(f"--scores {path}: the name must end in .csv or .npz")
        try:
            self._file = open(path, "wb")  # noqa: SIM115 - close() closes it
        except OSError as error:
            raise ConfigError(f"--scores {path}: can't be written ({error.strerror})") from None
        self._text = None
        if suffix == ".csv":
            self._text = io.TextIOWrapper(self._file, "utf-8", "backslashreplace", newline="")
            self._row = csv.writer(self._text).writerow
            self._row([*MARKS, *self._labels])

    def add(self, audio: str, scores: Scores) -> None:
        """Append one hop."""
        values = np.full(len(self._labels), np.nan, np.float32)
        values[self._places[scores.model]] = scores.values
        place = (scores.model, scores.start, scores.end, scores.rate)
        if self._text is not None:
            shown = ["" if np.isnan(value) else f"{value:.7g}" for value in values]
            self._row([audio, *place, *shown])
            return
        if not self._names or self._names[-1] != audio:
            self._names.append(audio)
        self._marks.extend((len(self._names) - 1, *place))
        self._values.extend(values.tolist())

    def close(self) -> None:
        """Write what is not yet written."""
        if self._text is not None:
            self._text.close()
            return
        with self._file:
            np.savez_compressed(
                self._file,
                audio=np.array(self._names, dtype=np.str_),
                marks=_matrix(self._marks, np.int64, len(MARKS)),
                scores=_matrix(self._values, np.float32, len(self._labels)),
                labels=np.array(self._labels),
            )


def _matrix(values: array[int] | array[float], dtype: type, columns: int) -> Samples:
    return np.array(values, dtype).reshape(-1, columns)
