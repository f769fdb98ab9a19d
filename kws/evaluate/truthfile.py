"""Truth files: which words a recording holds, and where; JSON beside the audio."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from kws.errors import DataError
from kws.evaluate.match import Word
from kws.origin import Strict

VERSION = 1


class Said(Strict, frozen=True):
    """A word that was said. clear: False where its bounds are uncertain: it has no delay."""

    label: str
    start_s: float
    end_s: float
    clear: bool = True
    clip: str = ""


class Truth(Strict, frozen=True):
    """Words of a recording that lasts `seconds`. recipe, seed: how it was simulated, if it was."""

    version: int
    seconds: float
    words: list[Said]
    recipe: str | None = None
    seed: int | None = None

    def of(self, labels: Sequence[str]) -> list[Word]:
        """Return the words that have one of these labels, in order."""
        return [
            Word(said.label, said.start_s, said.end_s, said.clear)
            for said in self.words
            if said.label in labels
        ]


def truth(words: Sequence[Word], seconds: float, **recipe: object) -> Truth:
    """Return the truth of a recording. recipe: `recipe`, `seed`."""
    said = [
        Said(word.label, round(word.start_s, 4), round(word.end_s, 4), word.clear) for word in words
    ]
    return msgspec.structs.replace(Truth(VERSION, round(seconds, 4), said), **recipe)


def write_truth(path: str | os.PathLike[str], what: Truth) -> None:
    """Write a truth file."""
    text = msgspec.json.format(msgspec.json.encode(what), indent=1)
    Path(path).write_bytes(text + b"\n")


def read_truth(path: str | os.PathLike[str]) -> Truth:
    """Read and check a truth file.

    Raises DataError: not there, not JSON, another version, words that end before they begin,
    that are out of order or lie outside the recording.
    """
    try:
        found = msgspec.json.decode(Path(path).read_bytes(), type=Truth)
    except OSError as error:
        raise DataError(f"{path}: can't be read ({error.strerror})") from None
    except msgspec.DecodeError as error:
        raise DataError(
            f"{path}: is no truth file: {error}; kws eval --simulate makes one"
        ) from None
    if found.version != VERSION:
        raise DataError(f"{path}: has version {found.version}, this kws reads {VERSION}")
    last = 0.0
    for number, word in enumerate(found.words):
        where = f"{path}: word {number} ({word.label}, {word.start_s} to {word.end_s} s)"
        if not last <= word.start_s < word.end_s:
            raise DataError(f"{where} ends before it begins, or before the word before it began")
        if word.end_s > found.seconds + 0.1:
            raise DataError(f"{where} lies outside the recording's {found.seconds} s")
        last = word.start_s
    return found
