"""Gathering: what a person gave, and what must stand in for what is missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.synthesis import engines, sounding_like
from export.training.own import material, parts, substitutes
from export.training.own.material import LEAST, Recording, plain
from export.training.vocabulary import KEYWORDS
from kws.errors import ConfigError, DataError
from kws.evaluate.simulation.rooms import read_rooms

RATE = 16_000
LEAST_PIECES = 4
"""So many pieces of speech have one to be kept aside."""
MOST_WORDS = 5
"""A phrase of more words takes longer than the encoder hears at once."""
ENOUGH = 10
"""From so many recordings of a word on, voices do not join them unless that is asked for."""
Say = Callable[[str], None]
Parts = tuple[list[Recording], list[Recording], list[Recording]]
"""Background to learn from, to find thresholds on, and kept aside."""
NOTHING: Parts = ([], [], [])


@dataclass(frozen=True)
class Options:
    """How own words are learnt.

    wake: which of them are wake words; the others are commands. speech, noise, rooms: folders
    without the words. phrases: words by their text alone, or to join recordings of them.
    pronunciations: phonemes (Misaki's symbols) by phrase. synthesise: whether voices say the
    recorded words, too; None: where there are neural voices and few recordings. threads: None is
    all. false_alarms: an hour, all words together, that thresholds are found for.
    """

    wake: Sequence[str] = ()
    speech: Path | None = None
    noise: Path | None = None
    rooms: Path | None = None
    phrases: Sequence[str] = ()
    pronunciations: Mapping[str, str] = field(default_factory=dict)
    synthesise: bool | None = None
    threads: int | None = None
    seed: int = 1
    false_alarms: float = 1.0


@dataclass(frozen=True)
class Given:
    """All that was read. texts: of the words that voices say, by label.

    pronunciations: phonemes by label. speech: NOTHING where none was given; noise: the parts are
    empty where it is computed, computed: that noise. warnings: a line each.
    """

    recorded: dict[str, list[Recording]]
    others: list[Recording]
    texts: dict[str, str]
    pronunciations: dict[str, list[str]]
    speech: Parts
    noise: Parts
    computed: list[Recording]
    rooms: list[NDArray[np.float32]]
    warnings: list[str] = field(default_factory=list)

    @property
    def labels(self) -> list[str]:
        """The words, recorded or only written."""
        return list(dict.fromkeys([*self.recorded, *self.texts]))

    def fingerprint(self) -> str:
        """Return a hash of all that was read."""
        background = [*self.speech, *self.noise, self.computed]
        groups = [*self.recorded.values(), self.others, *background]
        return material.fingerprint(groups, self.rooms)


def gather(data: Path | None, options: Options, say: Say) -> Given:
    """Read what was given. Raises DataError, ConfigError: it can't be learnt from."""
    words = material.Words() if data is None else material.read_words(data, say)
    texts = _texts(words, options)
    if not words.of and not texts:
        raise DataError(f"{data or 'no folder'}: no words; give <word>/*.wav, or --phrase")
    labels = list(dict.fromkeys([*words.of, *texts]))
    _check_wake(options.wake, labels)
    _check_known(labels, texts)
    for label, found in words.of.items():
        if len(found) < LEAST and label not in texts:
            raise DataError(
                f"{data}/{label}: {len(found)} recordings; {LEAST} are the least (kws record "
                f"{label!r} -n 20), or let voices join them: --synthesise"
            )
    warnings: list[str] = []
    noise = [*words.noise]
    if options.noise is not None:
        noise += material.read_background(options.noise, say)
    return Given(
        words.of,
        words.others,
        texts,
        _pronunciations(options, texts),
        NOTHING if options.speech is None else _speech(options.speech, options.seed, say),
        parts.in_parts(noise, options.seed) if noise else NOTHING,
        [] if noise else substitutes.noise(options.seed),
        _rooms(options),
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
    """Return what voices say, by label; a phrase that has a folder has its label."""
    known = {plain(label): label for label in words.of}
    texts = {}
    for phrase in options.phrases:
        if not plain(phrase):
            raise ConfigError(f"--phrase {phrase!r}: holds no word")
        if len(plain(phrase).split("_")) > MOST_WORDS:
            raise ConfigError(
                f"--phrase {phrase!r}: is a sentence; a word or a phrase of two or three can be "
                f"learnt, of {MOST_WORDS} at most"
            )
        texts[known.get(plain(phrase), plain(phrase))] = phrase.strip()
    few = [label for label, found in words.of.items() if len(found) < ENOUGH]
    joined = list(words.of) if options.synthesise else few
    if options.synthesise or (options.synthesise is None and joined and _neural()):
        texts = {label: plain(label).replace("_", " ") for label in joined} | texts
    return texts


def _neural() -> bool:
    return any(engine.neural and not engine.missing() for engine in engines.engines())


def _pronunciations(options: Options, texts: Mapping[str, str]) -> dict[str, list[str]]:
    labels = {plain(text): label for label, text in texts.items()}
    for phrase in options.pronunciations:
        if plain(phrase) not in labels:
            raise ConfigError(f"--say {phrase}=...: no such phrase; give --phrase {phrase!r}, too")
    return {labels[plain(phrase)]: [said] for phrase, said in options.pronunciations.items()}


def _check_wake(wake: Sequence[str], labels: Sequence[str]) -> None:
    known = {plain(label) for label in labels}
    for name in wake:
        if plain(name) not in known:
            raise ConfigError(f"--wake {name}: no such word; there are {', '.join(labels)}")


def _check_known(labels: Sequence[str], texts: Mapping[str, str]) -> None:
    """Raise ConfigError where a word is one of the bundled model's, or sounds like one."""
    for label in labels:
        text = texts.get(label, plain(label).replace("_", " "))
        if plain(label) in KEYWORDS:
            raise ConfigError(
                f"{label}: the bundled model knows this word already (kws listen --keywords "
                f"{plain(label)}); choose another"
            )
        if known := sounding_like(text, KEYWORDS):
            raise ConfigError(
                f"{label}: sounds like {known[0]}, which the bundled model knows; choose another "
                f"word, or say kws listen --keywords {known[0]}"
            )


def _rooms(options: Options) -> list[NDArray[np.float32]]:
    if options.rooms is None:
        return substitutes.rooms(options.seed)
    return [room.astype(np.float32) for room in read_rooms(options.rooms, RATE)]
