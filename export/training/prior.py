"""Prior: how often background is expected, brought from the strips' share to the clips'.

Strips are background for most of their hops, words said to a machine are not. Two numbers, added
to the logits of `_unknown_` and `_silence_`, are fitted on calibration clips (Saerens, Latinne,
Decaestecker, "Adjusting the outputs of a classifier to new a priori probabilities", 2002).
"""

from __future__ import annotations

from collections import defaultdict
from itertools import product

import numpy as np
from numpy.typing import NDArray

import kws
from export.training import recordings
from export.training.calibrate import float_audio
from export.training.recordings import RATE
from export.training.vocabulary import BACKGROUND
from kws.classifiers import clip_hops
from kws.evaluate.protocols import v2_12
from kws.flow import Samples

SHIFTS = np.arange(-1, 1.01, 0.25)
"""What is tried for each of the two. Clips alone would ask for more; but scores that are pressed
against 1 make a mean over hops forget all but its lowest, and streams then miss more words."""


def fit(model: kws.Model, split: str, tried: NDArray[np.float64] = SHIFTS) -> dict[str, float]:
    """Return what to add to each background label's logit, so that clips are likeliest.

    tried: the values among which each is sought.
    """
    clips = _clips(split)
    stream = model.card.kind == "stream"
    scores = np.stack(
        [clip_hops(model, clip) if stream else model.scores(clip)[None] for _, clip in clips]
    ).astype(np.float64)
    true = np.array([model.labels.index(label) for label, _ in clips])
    columns = [model.labels.index(name) for name in BACKGROUND]
    shifts = max(
        product(tried.tolist(), repeat=len(columns)),
        key=lambda each: likelihood(scores, true, columns, each),
    )
    return dict(zip(BACKGROUND, shifts, strict=True))


def likelihood(
    scores: NDArray[np.float64],
    true: NDArray[np.int64],
    columns: list[int],
    shifts: tuple[float, ...],
) -> float:
    """Return the mean log-probability of clips' labels with some logits shifted.

    scores: [clips, hops, labels] probabilities; true: [clips] label indices.
    """
    weights = np.ones(scores.shape[2])
    weights[columns] = np.exp(shifts)
    shifted = scores * weights
    mean = (shifted / shifted.sum(2, keepdims=True)).mean(1)
    return float(np.log(mean[np.arange(len(true)), true] + 1e-9).mean())


def _clips(split: str) -> list[tuple[str, Samples]]:
    words: dict[str, list[Samples]] = defaultdict(list)
    rows = recordings.table("speech_commands", split)
    for row, pcm in zip(rows, recordings.load(rows), strict=True):
        words[row.label].append(float_audio(pcm))
    noise = [row for row in recordings.table("noise", split) if row.label == "noise"]
    return v2_12(words, [float_audio(pcm) for pcm in recordings.load(noise)], rate=RATE)
