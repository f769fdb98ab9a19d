"""Gathering: what a person gave, and what must stand in for what is missing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.training.own import material, parts, substitutes
from export.training.own.material import LEAST, Recording, plain
from kws.errors import ConfigError, DataError
from kws.evaluate.simulation.rooms import read_rooms

RATE = 16_000
LEAST_PIECES = 4
"""So many pieces of speech have one to be kept aside."""
Say = Callable[[str], None]
Parts = tuple[list[Recording], list[Recording], list[Recording]]
"""Background to learn from, to find thresholds on, and kept aside."""


@dataclass(frozen=True)
class Options:
    """How own words are learnt.

    wake: which of them are wake words; the others are commands. speech, noise, rooms: folders
    without the words. phrases: words by their text alone. synthesise: recordings are joined by
    synthesised ones. epochs: None is the recipe's. threads: None is all. start: a model file to go
    on from, None is the bundled one. aside: recordings of each word that are kept aside, None is
    a quarter. false_alarms: an hour, all words together, that thresholds are found for.
    """

    wake: Sequence[str] = ()
    speech: Path | None = None
    noise: Path | None = None
    rooms: Path | None = None
    phrases: Sequence[str] = ()
    synthesise: bool = False
    epochs: int | None = None
    threads: int | None = None
    seed: int = 1
    start: Path | None = None
    aside: int | None = None
    false_alarms: float = 1.0


@dataclass(frozen=True)
class Given:
    """All that was read. texts: of the words that are to be synthesised, by label.

    speech: None where there is none and it must be synthesised. warnings: a line each.
    """

    learnt: dict[str, list[Recording]]
    apart: dict[str, list[Recording]]
    others: list[Recording]
    texts: dict[str, str]
    speech: Parts | None
    noise: Parts
    rooms: list[NDArray[np.float32]]
    warnings: list[str] = field(default_factory=list)

    @property
    def labels(self) -> list[str]:
        """The words, recorded or only written."""
        return list(dict.fromkeys([*self.learnt, *self.texts]))

    def fingerprint(self) -> str:
        """Return a hash of all that was read."""
        background = [*(self.speech or ([], [], [])), *self.noise]
        groups = [*self.learnt.values(), *self.apart.values(), self.others, *background]
        return material.fingerprint(groups, self.rooms)


def gather(data: Path | None, options: Options, say: Say) -> Given:
    """Read what was given. Raises DataError, ConfigError: it can't be learnt from."""
    words = material.Words() if data is None else material.read_words(data, say)
    texts = _texts(words, options)
    if not words.of and not texts:
        raise DataError(f"{data or 'no folder'}: no words; give <word>/*.wav, or --phrase")
    _check_wake(options.wake, [*words.of, *texts])
    for label, found in words.of.items():
        if len(found) < LEAST and label not in texts:
            raise DataError(
                f"{data}/{label}: {len(found)} recordings; {LEAST} are the least (kws record "
                f"{label} -n 20), or say --synthesise"
            )
    pairs = {
        label: parts.aside(found, options.aside, options.seed) for label, found in words.of.items()
    }
    warnings: list[str] = []
    speech = None
    if options.speech is None:
        warnings.append(
            "no --speech given: some is synthesised; false alarms will be many, and can't be told"
        )
    else:
        speech = _speech(options.speech, options.seed, say)
    return Given(
        {label: learnt for label, (learnt, _) in pairs.items()},
        {label: apart for label, (_, apart) in pairs.items()},
        words.others,
        texts,
        speech,
        parts.in_parts(_noise(words.noise, options, warnings, say), options.seed),
        _rooms(options, warnings),
        warnings,
    )


def _speech(folder: Path, seed: int, say: Say) -> Parts:
    pieces = material.read_background(folder, say)
    if len(pieces) < LEAST_PIECES:
        raise DataError(
            f"{folder}: {sum(piece.seconds for piece in pieces):.0f} s of speech; minutes are the "
            "least, hours are good"
        )
    return parts.in_parts(pieces, seed)


def _texts(words: material.Words, options: Options) -> dict[str, str]:
    """Return what is to be synthesised, by label; a phrase that has a folder has its label."""
    known = {plain(label): label for label in words.of}
    texts = {}
    for phrase in options.phrases:
        if not plain(phrase):
            raise ConfigError(f"--phrase {phrase!r}: holds no word")
        texts[known.get(plain(phrase), plain(phrase))] = phrase.strip()
    if options.synthesise:
        texts = {label: plain(label).replace("_", " ") for label in words.of} | texts
    return texts


def _check_wake(wake: Sequence[str], labels: Sequence[str]) -> None:
    known = {plain(label) for label in labels}
    for name in wake:
        if plain(name) not in known:
            raise ConfigError(f"--wake {name}: no such word; there are {', '.join(labels)}")


def _noise(
    found: list[Recording], options: Options, warnings: list[str], say: Say
) -> list[Recording]:
    if options.noise is not None:
        found = [*found, *material.read_background(options.noise, say)]
    if not found:
        warnings.append("no --noise given: computed noise stands in")
        return substitutes.noise(options.seed)
    return found


def _rooms(options: Options, warnings: list[str]) -> list[NDArray[np.float32]]:
    if options.rooms is None:
        warnings.append("no --rooms given: computed rooms stand in")
        return substitutes.rooms(options.seed)
    return [room.astype(np.float32) for room in read_rooms(options.rooms, RATE)]
