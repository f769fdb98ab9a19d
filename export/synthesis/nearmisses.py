"""What sounds much like a phrase, and is not it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from functools import cache
from itertools import chain, permutations, zip_longest
from pathlib import Path

import numpy as np

from export.synthesis.likeness import Distances, distances, mass, syllables
from export.synthesis.pronunciation import ACCENTS, Sounds, pronounced, pronounces, words

LIST = Path(__file__).with_name("words.txt")

SAME = 0.3
"""Nearer than this is the phrase itself, in another mouth: no sound is truly another."""
SAME_APART = 0.6
"""The same for another number of words: nobody hears where one ends."""
FAR = 0.55
"""Farther than this share of the phrase is no near-miss."""
LONG = 2
"""A phrase of so many syllables is heard in longer words too: computer in supercomputer is the
word, no in snow is not."""

_ENDINGS = ["s", "es", "'s", "d", "ed", "ing", "in", "er", "ers"]
"""Inflections: they begin with the word, and whoever says them has said it."""
_ALIKE_PAIRS = 3
"""In how many pairs of words one word may come: others are wanted too."""


def near_misses(text: str, most: int, without: Collection[str] = ()) -> list[str]:
    """Return at most `most` words and phrases that sound much like `text` and are not it.

    By turns: its parts, one word replaced, words and pairs that sound like all of it, another
    order. Likeness is espeak-ng's pronunciation, or without it the spelling (`pronounces()` tells).
    What one can't tell from the phrase, or from one of the phrases `without`, is left out:
    homophones in American or British English, inflections, longer words that hold it.
    Raises DataError: a text holds no word.
    """
    phrase = words(text)
    lists = [_parts(phrase), *_replaced(phrase), *_alike(phrase), _reordered(phrase)]
    turns = chain.from_iterable(zip_longest(*lists))
    candidates = [name for name in dict.fromkeys(turns) if name]
    found: list[str] = []
    size = max(20, 2 * most)
    for start in range(0, len(candidates), size):
        piece = candidates[start : start + size]
        for other in [text, *without]:
            told = holding(piece, other)
            piece = [name for name, same in zip(piece, told, strict=True) if not same]
        found += piece
        if len(found) >= most:
            break
    return found[:most]


def holding(candidates: Sequence[str], text: str) -> list[bool]:
    """Say of each candidate whether who says it says `text`, in one of the accents."""
    if not candidates:
        return []
    phrase = words(text)
    inflected = _inflections(phrase)
    same = [" ".join(words(name)) in inflected for name in candidates]
    apart = [len(words(name)) != len(phrase) for name in candidates]
    for accent in ACCENTS if pronounces() else ACCENTS[:1]:  # spelling has no accent
        target, *others = pronounced([" ".join(phrase), *candidates], accent)
        near = distances(others, target)[:, -1] < np.where(apart, SAME_APART, SAME)
        whole = "".join(target)
        held = [syllables(target) >= LONG and whole in "".join(them) for them in others]
        same = [any(ways) for ways in zip(same, near, held, strict=True)]
    return same


def sounding_like(text: str, others: Sequence[str]) -> list[str]:
    """Return which of other words sound the same as a text, in one of the accents.

    Raises DataError: a text holds no word.
    """
    found: dict[str, None] = {}
    for accent in ACCENTS if pronounces() else ACCENTS[:1]:
        target, *sounds_of = pronounced([text, *others], accent)
        near = distances(sounds_of, target)[:, -1] < SAME
        found |= dict.fromkeys(other for other, same in zip(others, near, strict=True) if same)
    return list(found)


def _inflections(phrase: list[str]) -> set[str]:
    """Return the phrase and its homophones, with every ending: stop, stopped; no, know, knows."""
    name = " ".join(phrase)
    stems = {name}
    if len(phrase) == 1:
        near = distances(sounds(), pronounced([name])[0])[:, -1]
        stems |= {vocabulary()[row] for row in np.flatnonzero(near < SAME)}
    stems |= {stem + stem[-1] for stem in stems} | {stem.removesuffix("e") for stem in stems}
    return {name, *(stem + ending for stem in stems for ending in _ENDINGS)}


def _parts(phrase: list[str]) -> list[str]:
    """Return every run of its words but all of them, the longest first."""
    count = len(phrase)
    return [
        " ".join(phrase[start : start + length])
        for length in range(count - 1, 0, -1)
        for start in range(count - length + 1)
    ]


def _reordered(phrase: list[str]) -> list[str]:
    if len(phrase) > 4:  # 120 orders and more: nobody says them
        return [" ".join(reversed(phrase))]
    return [" ".join(order) for order in permutations(phrase)][1:]


def _replaced(phrase: list[str]) -> Iterator[list[str]]:
    """Yield, for each place of a longer phrase, it with another word there, the nearest first."""
    if len(phrase) == 1:
        return
    for place, target in enumerate(pronounced(phrase)):
        others = _nearest(distances(sounds(), target)[:, -1], 100, FAR * mass(target) + 0.5)
        yield [" ".join([*phrase[:place], other, *phrase[place + 1 :]]) for other, _ in others]


def _alike(phrase: list[str]) -> tuple[list[str], list[str]]:
    """Return words, and pairs of words, that sound like all of it, the nearest first."""
    target = pronounced([" ".join(phrase)])[0]
    limit = FAR * mass(target)
    begin = distances(sounds(), target)
    end = distances([row[::-1] for row in sounds()], target[::-1])
    pairs = [
        (near + far, head, tail)
        for split in range(2, len(target) - 1)
        for head, near in _nearest(begin[:, split], 12, limit)
        for tail, far in _nearest(end[:, len(target) - split], 12, limit)
        if near + far <= limit
    ]
    kept: dict[str, None] = {}
    uses: Counter[str] = Counter()
    for _, head, tail in sorted(pairs):
        if max(uses[head], uses[tail]) < _ALIKE_PAIRS and f"{head} {tail}" not in kept:
            uses.update((head, tail))
            kept[f"{head} {tail}"] = None
    return [name for name, _ in _nearest(begin[:, -1], 300, limit)], list(kept)


def _nearest(apart: Distances, most: int, limit: float) -> list[tuple[str, float]]:
    order = np.argsort(apart, kind="stable")[:most]
    return [(vocabulary()[row], float(apart[row])) for row in order if apart[row] <= limit]


@cache
def vocabulary() -> tuple[str, ...]:
    """Return English words that people say, in the order of the alphabet."""
    lines = LIST.read_text(encoding="utf-8").splitlines()
    return tuple(word for line in lines if not line.startswith("#") for word in line.split())


@cache
def sounds() -> tuple[Sounds, ...]:
    """Return what the vocabulary sounds like: some seconds, once."""
    return tuple(pronounced(vocabulary()))
