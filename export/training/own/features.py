"""Features to learn from: windows of words and what is not a word, through the encoder once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.training.own.encoder import Encoder
from export.training.own.pack import Codes, Pack
from export.training.own.windows import Mixer, halves
from export.training.recordings import Pcm
from export.training.strips import Word
from kws.errors import DataError
from kws.files import atomic_write
from kws.flow import Samples

BLOCK = 256
"""Windows whose features are kept in one file."""
UNFINISHED_SHARE, HALVES_SHARE = 0.25, 0.35
"""Of what is not a word: windows in its midst, and of its first or last part alone."""


@dataclass(frozen=True)
class Planned:
    """A window to be mixed. label: the word's, or that of everything else.

    source: the number of the recording or rendering that it is made of, for the cross-validation;
    -1: it belongs to none.
    """

    make: Callable[[np.random.Generator], Samples]
    label: int
    source: int


@dataclass(frozen=True)
class Sources:
    """What a word's windows are made of, with the place of each in all sources."""

    recorded: list[tuple[int, Word]]
    rendered: list[tuple[int, Word]]

    def draw(self, number: int, rng: np.random.Generator) -> tuple[int, Word]:
        """Return a recording or, in turn, a rendering: recordings count as much as renderings."""
        groups = [group for group in (self.recorded, self.rendered) if group]
        group = groups[number % len(groups)]
        return group[int(rng.integers(len(group)))]


def plan(
    words: Sequence[Sources],
    near: Sequence[Sequence[Word]],
    mixer: Mixer,
    *,
    positives: int,
    negatives: int,
    seed: int,
) -> list[Planned]:
    """Return the windows of words, of their parts, and of their near-words.

    near: of each word, what is easily taken for it.
    """
    rng = np.random.default_rng([seed, 11])
    planned: list[Planned] = []
    other = len(words)
    for label, sources in enumerate(words):
        for number in range(positives):
            source, word = sources.draw(number, rng)
            planned.append(Planned(_Make(mixer.word, word), label, source))
        unfinished = round(UNFINISHED_SHARE * negatives)
        cut = round(HALVES_SHARE * negatives)
        for number in range(unfinished):
            source, word = sources.draw(number, rng)
            planned.append(Planned(_Make(mixer.unfinished, word), other, source))
        for number in range(cut):
            source, word = sources.draw(number, rng)
            planned.append(Planned(_Make(mixer.word, halves(word, rng)), other, source))
        for _ in range(negatives - unfinished - cut if near[label] else 0):
            word = near[label][int(rng.integers(len(near[label])))]
            planned.append(Planned(_Make(mixer.word, word), other, -1))
    return planned


def plan_background(
    pieces: Sequence[Pcm], mixer: Mixer, count: int, label: int, seed: int
) -> list[Planned]:
    """Return windows of recordings without the words."""
    rng = np.random.default_rng([seed, 12])
    chosen = [pieces[int(rng.integers(len(pieces)))] for _ in range(count if pieces else 0)]
    return [Planned(_Make(mixer.background, piece), label, -1) for piece in chosen]


@dataclass(frozen=True)
class _Make:
    mix: Callable[..., Samples]
    of: Word | Pcm

    def __call__(self, rng: np.random.Generator) -> Samples:
        return self.mix(self.of, rng)


def computed(
    planned: Sequence[Planned],
    encoder: Encoder,
    pack: Pack,
    *,
    folder: Path,
    key: str,
    seed: int,
    progress: Callable[[int, int], None],
) -> Codes:
    """Return the features of windows as the pack keeps them; what was computed before is read.

    key: tells this list of windows from any other. progress: hears how many of how many are done.
    """
    blocks = []
    for start in range(0, len(planned), BLOCK):
        part = planned[start : start + BLOCK]
        name = hashlib.sha256(f"{key} {seed} {start} {len(part)}".encode()).hexdigest()[:16]
        path = folder / f"features-{name}.npy"
        if not path.is_file():
            audio = (
                each.make(np.random.default_rng([seed, 13, start + number]))
                for number, each in enumerate(part)
            )
            _keep(pack.codes(encoder.features(audio)), path)
        blocks.append(_read(path))
        progress(start + len(part), len(planned))
    shape = (0, pack.learning.shape[1], pack.components)
    return np.concatenate([np.zeros(shape, np.int8), *blocks])


def of_stream(windows: Sequence[Samples], encoder: Encoder, pack: Pack) -> NDArray[np.float32]:
    """Return what a head hears of windows that are measured with: not rounded."""
    centred = encoder.features(windows) - pack.mean
    return (centred @ pack.matrix).astype(np.float32)


def _keep(codes: Codes, path: Path) -> None:
    try:
        with atomic_write(path) as partial, partial.open("wb") as file:
            np.save(file, codes)
    except OSError as error:
        raise DataError(
            f"{path}: can't be written ({error.strerror}); make room and run the same again: it "
            "goes on"
        ) from None


def _read(path: Path) -> Codes:
    try:
        found: Codes = np.load(path, allow_pickle=False)
    except (OSError, ValueError):
        raise DataError(f"{path}: can't be read; remove it") from None
    return found
