"""`python -m export.training.negatives`: recordings in, the pack of negatives for own words out.

Windows of the training split's speech, words and noise, mixed as own words are, and windows drawn
at random from the calibration split's speech go through the packaged verifier's encoder; some of
the first, chosen to differ, and all of the second become the pack. It takes two minutes; run it
again whenever the encoder has changed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.training import recordings
from export.training.own.encoder import WINDOW, Encoder, Features
from export.training.own.pack import PACK, Pack
from export.training.own.windows import Mixer
from export.training.recordings import RATE, Clip, Pcm
from export.training.strips import find_word
from kws.errors import KwsError
from kws.flow import Samples

COMPONENTS = 48
STEP = 1.0
"""Of the rounding: about the standard deviation of the last component."""
POOL, LEARNING, CALIBRATION = 6000, 2600, 3600
"""Windows that are heard, that are kept of them, and of calibration."""
SPEECH, WORDS = 0.6, 0.3
"""Their shares of the windows; the rest is noise."""
CLIPS = {"speech": 1200, "words": 1500, "noise": 150}
"""Recordings that are decoded."""
ROUNDS = 4
"""Of k-means."""
SEED = 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the pack."""
    parser = argparse.ArgumentParser(prog="python -m export.training.negatives")
    parser.add_argument("--out", type=Path, default=PACK)
    args = parser.parse_args(arguments)
    try:
        pack = make()
        pack.save(args.out)
    except KwsError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    size = args.out.stat().st_size / 1e6
    print(f"{args.out}: {len(pack.learning)} + {len(pack.calibration)} windows, {size:.2f} MB")
    return 0


def make() -> Pack:
    """Return the pack. Raises DataError: the recordings are not there."""
    encoder = Encoder()
    heard = encoder.features(_training_windows())
    chosen = _different(heard, LEARNING)
    windows, hours = _calibration_windows()
    mean, matrix = components(heard, COMPONENTS)
    empty = np.zeros((0, *heard.shape[1:2], COMPONENTS), np.int8)
    pack = Pack(mean, matrix, STEP, empty, empty, hours, encoder.id)
    learning, calibration = pack.codes(heard[chosen]), pack.codes(encoder.features(windows))
    return Pack(mean, matrix, STEP, learning, calibration, hours, encoder.id)


def components(features: Features, count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the mean of features and their first principal components, [width, count]."""
    flat = features.reshape(-1, features.shape[-1])
    mean = flat.mean(0, dtype=np.float64)
    centred = flat - mean.astype(np.float32)
    _, vectors = np.linalg.eigh(centred.T @ centred / len(flat))
    kept = np.ascontiguousarray(vectors[:, ::-1][:, :count]).astype(np.float16)
    return mean.astype(np.float32), kept.astype(np.float32)


def _training_windows() -> Iterator[Samples]:
    """Yield windows without an own word: running speech, single words, noise."""
    rng = np.random.default_rng(SEED)
    said = [c for kind in ("speech_commands", "wake") for c in recordings.table(kind, "train")]
    speech = _decoded(recordings.keyword_free("train"), CLIPS["speech"], rng)
    noise = [a for a in _decoded(recordings.table("noise", "train"), CLIPS["noise"], rng) if len(a)]
    words = [find_word(audio, "") for audio in _decoded(said, CLIPS["words"], rng)]
    stream = np.concatenate(speech)
    mixer = Mixer(noise, speech, recordings.rooms("train"))
    for _ in range(POOL):
        kind = rng.random()
        if kind < SPEECH:
            yield mixer.background(stream, rng)
        elif kind < SPEECH + WORDS:
            yield mixer.word(words[int(rng.integers(len(words)))], rng)
        else:
            yield mixer.background(noise[int(rng.integers(len(noise)))], rng)


def _decoded(clips: Sequence[Clip], count: int, rng: np.random.Generator) -> list[Pcm]:
    places = rng.choice(len(clips), min(count, len(clips)), replace=False)
    return recordings.load_some([clips[place] for place in places])


def _calibration_windows() -> tuple[list[Samples], float]:
    """Return windows at random places of the calibration split's speech, and its hours."""
    audio = np.concatenate(recordings.load(recordings.keyword_free("calibration")))
    ends = np.random.default_rng(SEED).integers(WINDOW, len(audio) + 1, size=CALIBRATION)
    scale = np.float32(1 / 32768)
    windows = [audio[end - WINDOW : end].astype(np.float32) * scale for end in np.sort(ends)]
    return windows, len(audio) / RATE / 3600


def _different(features: Features, count: int) -> NDArray[np.intp]:
    """Return places of windows that differ: the nearest to each centre of k-means."""
    rng = np.random.default_rng(SEED)
    points = features.reshape(len(features), 4, -1, features.shape[-1]).mean(2)
    points = points.reshape(len(features), -1)
    mean, matrix = components(points[:, None], 48)
    points = (points - mean) @ matrix
    centres = points[rng.choice(len(points), count, replace=False)]
    for _ in range(ROUNDS):
        nearest = _distances(points, centres).argmin(1)
        for place in np.unique(nearest):
            centres[place] = points[nearest == place].mean(0)
    return np.unique(_distances(centres, points).argmin(1))


def _distances(some: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = (others**2).sum(1)[None] - 2 * some @ others.T
    return found


if __name__ == "__main__":
    sys.exit(main())
