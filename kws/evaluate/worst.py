"""Worst: what was missed by the most, and what fired the surest where nothing was said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from kws.evaluate import peaks
from kws.evaluate.match import Word
from kws.evaluate.recording import Recording
from kws.evaluate.results import Wrong
from kws.sensitivity import logit


def worst_missed(
    audio: str,
    missed: Sequence[Word],
    levels: Mapping[str, float],
    scores: Mapping[str, tuple[NDArray[np.float32], NDArray[np.float64]]],
) -> list[Wrong]:
    """Return missed words, the one that stayed furthest under its threshold first.

    audio: the recording's name. levels: thresholds. scores: by keyword, the smoothed score
    [hops] and where the hops end, in seconds.
    """
    found = [
        Wrong(
            word.label,
            audio,
            round(word.start_s, 3),
            round(word.end_s, 3),
            round(float(peaks.word_peaks(*scores[word.label], [word], word.label)[0]), 4),
            round(levels[word.label], 4),
        )
        for word in missed
    ]
    return sorted(found, key=lambda wrong: (_over(wrong), wrong.start_s))


def worst_alarms(negatives: Sequence[Recording]) -> list[Wrong]:
    """Return events of nothing that was said, the one furthest over its threshold first."""
    found = [
        Wrong(
            event.keyword,
            recording.name,
            round(event.start_s, 3),
            round(event.end_s, 3),
            round(float(event.score), 4),
            round(event.threshold, 4),
        )
        for recording in negatives
        for event in recording.detections
    ]
    return sorted(found, key=lambda wrong: (-_over(wrong), wrong.audio, wrong.start_s))


def _over(wrong: Wrong) -> float:
    """Return how far a score stands over its threshold, in log-odds."""
    return logit(wrong.score) - logit(wrong.threshold)
