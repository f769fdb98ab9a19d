# ruff: noqa: RUF001  phonetic symbols look like letters
"""How far apart two pronunciations are: an edit distance that knows which sounds are alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from export.synthesis.pronunciation import Sounds

Distances = NDArray[np.float32]

VOWELS = {
    "i": (0.0, 0.0, 0), "ɪ": (0.6, 0.3, 0), "e": (1.0, 0.0, 0), "ɛ": (1.7, 0.1, 0),
    "æ": (2.5, 0.2, 0), "a": (3.0, 0.6, 0), "ə": (1.5, 1.0, 0), "ɜ": (1.5, 1.0, 0),
    "ɚ": (1.5, 1.0, 0), "ʌ": (2.0, 1.5, 0), "ɑ": (3.0, 1.8, 0), "ɒ": (3.0, 2.0, 1),
    "ɔ": (2.0, 2.0, 1), "o": (1.2, 2.0, 1), "ʊ": (0.6, 1.7, 1), "u": (0.0, 1.8, 1),
}  # fmt: skip
"""Height (closed 0 to open 3), backness (0 to 2), rounding."""

CONSONANTS = {
    "p": ("stop", 0, 0), "b": ("stop", 0, 1), "t": ("stop", 3, 0), "d": ("stop", 3, 1),
    "ɾ": ("stop", 3, 0.5), "k": ("stop", 6, 0), "ɡ": ("stop", 6, 1), "ʔ": ("stop", 7, 0),
    "C": ("affricate", 4, 0), "J": ("affricate", 4, 1), "f": ("fricative", 1, 0),
    "v": ("fricative", 1, 1), "θ": ("fricative", 2, 0), "ð": ("fricative", 2, 1),
    "s": ("fricative", 3, 0), "z": ("fricative", 3, 1), "ʃ": ("fricative", 4, 0),
    "ʒ": ("fricative", 4, 1), "x": ("fricative", 6, 0), "h": ("fricative", 7, 0),
    "m": ("nasal", 0, 1), "n": ("nasal", 3, 1), "ŋ": ("nasal", 6, 1), "l": ("liquid", 3, 1),
    "ɹ": ("liquid", 4, 1), "r": ("liquid", 3, 1), "j": ("glide", 5, 1), "w": ("glide", 1, 1),
}  # fmt: skip
"""Manner, place (lips 0 to throat 7), voice. C is tʃ, J is dʒ."""

_MANNERS = {
    frozenset({"stop", "affricate"}): 0.25,
    frozenset({"fricative", "affricate"}): 0.25,
    frozenset({"liquid", "glide"}): 0.25,
    frozenset({"nasal", "stop"}): 0.35,
}
_ALMOST = {
    **dict.fromkeys(map(frozenset, ("ɾt", "ɾd", "ɑɒ", "ɜɚ", "əʌ", "ɹr")), 0.1),
    **dict.fromkeys(map(frozenset, ("əɪ", "əɚ", "əɜ", "ɔɑ", "ɔɒ")), 0.2),
    **dict.fromkeys(map(frozenset, ("ji", "jɪ", "wu", "wʊ", "ɹɚ")), 0.4),
}
"""What accents, and people in a hurry, don't tell apart; and glides, which are short vowels."""
_APART = 0.35
"""The least between sounds that make two words of one."""

_WEAK = set("əɪʊhjɹʔ")
_LOST, _WEAK_LOST = 0.9, 0.45
"""What it costs to leave out a sound; some are swallowed all the time."""

SYMBOLS = ["", *VOWELS, *CONSONANTS, "?"]
"""Every sound by number: 0 pads, the last stands for any other."""


def mass(sounds: Sounds) -> float:
    """Return how far the sounds are from silence."""
    return float(sum(_LOSS[_numbers(sounds)]))


def syllables(sounds: Sounds) -> int:
    """Return how many vowels the sounds have, neighbours counted as one."""
    vowels = [sound in VOWELS for sound in sounds]
    return sum(now and not before for before, now in zip([False, *vowels], vowels, strict=False))


def distances(many: Sequence[Sounds], target: Sounds) -> Distances:
    """Return how far each is from every beginning of the target: float32 [many, sounds + 1].

    The last column is its distance from the whole of it.
    """
    longest = max((len(sounds) for sounds in many), default=0)
    numbers = np.zeros((len(many), longest), np.intp)
    for row, sounds in zip(numbers, many, strict=True):
        row[: len(sounds)] = _numbers(sounds)
    wanted = _numbers(target)
    silent = np.concatenate([[0], np.cumsum(_LOSS[wanted])]).astype(np.float32)
    last: Distances = np.tile(silent, (len(many), 1))
    for column in range(longest):
        sound = numbers[:, column]
        here = np.empty_like(last)
        here[:, 0] = last[:, 0] + _LOSS[sound]
        for place, other in enumerate(wanted):
            swapped = last[:, place] + _COST[sound, other]
            dropped = last[:, place + 1] + _LOSS[sound]
            here[:, place + 1] = np.minimum(
                np.minimum(swapped, dropped), here[:, place] + _LOSS[other]
            )
        last = np.where(sound[:, None] > 0, here, last)  # a text that has ended stays as it is
    return last


def _numbers(sounds: Sounds) -> NDArray[np.intp]:
    return np.array([_NUMBER.get(sound, len(SYMBOLS) - 1) for sound in sounds], np.intp)


def _cost(one: str, other: str) -> float:
    if one == other:
        return 0.0
    pair = frozenset({one, other})
    if pair in _ALMOST:
        return _ALMOST[pair]
    if one in VOWELS and other in VOWELS:
        (height, back, rounding), (height2, back2, rounding2) = VOWELS[one], VOWELS[other]
        apart = 0.25 * abs(height - height2) + 0.2 * abs(back - back2)
        apart += 0.15 * abs(rounding - rounding2) + 0.25 * ("ɚ" in pair)
        return min(1.0, max(_APART, apart))
    if one in CONSONANTS and other in CONSONANTS:
        (manner, place, voice), (manner2, place2, voice2) = CONSONANTS[one], CONSONANTS[other]
        apart = 0.35 * abs(voice - voice2)
        apart += min(0.5, 0.27 + 0.08 * abs(place - place2)) if place != place2 else 0
        apart += _MANNERS.get(frozenset({manner, manner2}), 0.4) if manner != manner2 else 0
        return min(1.0, max(_APART, apart))
    return 1.2


_NUMBER = {symbol: number for number, symbol in enumerate(SYMBOLS)}
_LOSS = np.array([0, *(_WEAK_LOST if s in _WEAK else _LOST for s in SYMBOLS[1:])], np.float32)
_COST = np.array([[_cost(one, other) for other in SYMBOLS] for one in SYMBOLS], np.float32)
