"""Words: where in each recording and rendering the word lies, and which of them can be used."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from export.training.own.encoder import WINDOW
from export.training.own.gather import Given, Say
from export.training.own.material import LEAST, Recording
from export.training.own.renderings import Said
from export.training.recordings import RATE, Pcm
from export.training.strips import Word
from kws.errors import DataError
from kws.evaluate.truth import word_bounds

LONGEST_S = WINDOW / RATE - 0.1
"""A longer word does not fit into the encoder's window."""
SILENT_DB = -60.0


@dataclass(frozen=True)
class Located:
    """One word's recordings and renderings, each with the number of its source; and near-words.

    label: its place among the words.
    """

    label: int
    recorded: list[tuple[int, Word]]
    rendered: list[tuple[int, Word]]
    near: list[Word]

    @property
    def words(self) -> list[Word]:
        """All of them."""
        return [word for _, word in [*self.recorded, *self.rendered]]

    @property
    def length_s(self) -> float:
        """The median length."""
        return float(np.median([word.last - word.first for word in self.words])) / RATE


def locate(given: Given, said: Said, say: Say) -> dict[str, Located]:
    """Return every word located, by label. Raises DataError: too few recordings hold one word."""
    found, number = {}, 0
    for label, name in enumerate(given.labels):
        usable = [
            word
            for recording in given.recorded.get(name, [])
            if (word := _checked(recording, label, say)) is not None
        ]
        if name in given.recorded and len(usable) < LEAST and name not in said.words:
            raise DataError(
                f"{name}: {len(usable)} of {len(given.recorded[name])} recordings hold one clear "
                f"word; {LEAST} are the least (kws record {name!r} -n 20)"
            )
        rendered = [_word(audio, label) for audio in said.words.get(name, [])]
        near = [_word(audio, label) for audio in said.near.get(name, [])]
        recorded = list(enumerate(usable, number))
        number += len(usable)
        found[name] = Located(label, recorded, list(enumerate(rendered, number)), near)
        number += len(rendered)
        if found[name].length_s > LONGEST_S:
            raise DataError(
                f"{name}: lasts {found[name].length_s:.1f} s, {LONGEST_S:.1f} s can be heard at a "
                "time; take a shorter word"
            )
    return found


def _checked(recording: Recording, label: int, say: Say) -> Word | None:
    """Return a recording's word; None, and a line of it, where it holds none."""
    audio = recording.audio.astype(np.float64) / 32768
    level = 20 * np.log10(np.sqrt(np.mean(audio**2)) + 1e-9)
    if level < SILENT_DB:
        say(f"{recording.name}: is silent ({level:.0f} dBFS); left out")
        return None
    word = _word(recording.audio, label)
    seconds = (word.last - word.first) / RATE
    if seconds > LONGEST_S:
        say(f"{recording.name}: sounds for {seconds:.1f} s: talk, music or noise; left out")
        return None
    return word


def _word(audio: Pcm, label: int) -> Word:
    """Return a word located; all of the audio where it has no clear floor."""
    bounds = word_bounds(audio.astype(np.float32) / np.float32(32768), RATE) or (0, len(audio))
    return Word(audio, *bounds, label)
