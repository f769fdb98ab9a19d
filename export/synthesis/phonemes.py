# ruff: noqa: RUF001  phonetic symbols look like letters
"""English words as Misaki's phonemes: from its dictionaries, else as espeak-ng or letters say."""

from __future__ import annotations

import json
import re
from functools import cached_property
from pathlib import Path

from export.packages import Packed, fetch
from export.synthesis.pronunciation import ACCENTS, ipa, pronounces, spelled, words
from kws.errors import DataError

DICTIONARIES = Packed(
    "misaki-dictionaries",
    ("misaki==0.9.4",),
    "misaki/data/",
    "c006d65c6d349842c77ec3cb59e2be5b193c4d3914f941e3fc23149f74bbba91",
    "Apache-2.0",
)
OWN = {"jarvis": "ʤˈɑɹvɪs", "alexa": "əlˈɛksə", "on": "ˈɔn", "computer": "kəmpjˈuTəɹ"}
"""Words that the dictionaries lack, or give in a weak form. T is the American tap."""

_FROM_IPA = [
    ("aɪ", "I"), ("aʊ", "W"), ("eɪ", "A"), ("oʊ", "O"), ("əʊ", "O"), ("ɔɪ", "Y"), ("tʃ", "ʧ"),
    ("dʒ", "ʤ"), ("ɜːɹ", "ɜɹ"), ("ɜː", "ɜɹ"), ("ɚɹ", "əɹ"), ("ɚ", "əɹ"),
    ("ɪə", "iə"), ("əl", "ᵊl"), ("ɐ", "ə"),
    ("ɾ", "T"), ("ʔ", "t"), ("x", "k"), ("ç", "k"), ("r", "ɹ"), ("g", "ɡ"), ("e", "ɛ"), ("o", "ɔ"),
    ("ː", ""), ("_", ""),
]  # fmt: skip
"""espeak-ng's symbols and Misaki's, those that differ (after hexgrad/misaki, espeak.py)."""
_IPA = re.compile("|".join(symbol for symbol, _ in _FROM_IPA))
_UNUSED = re.compile(r"\([a-z-]+\)|[\u0300-\u036f]")
_OPEN_VOWELS = [
    ("tion", "ʃən"), ("ch", "ʧ"), ("sh", "ʃ"), ("th", "θ"), ("ph", "f"), ("qu", "kw"), ("ck", "k"),
    ("ai", "I"), ("ay", "I"), ("ei", "A"), ("ey", "A"), ("au", "W"), ("ou", "u"), ("oo", "u"),
    ("ee", "i"), ("ie", "i"), ("a", "ɑ"), ("e", "ɛ"), ("i", "i"), ("o", "O"), ("u", "u"),
    ("y", "i"), ("c", "k"), ("j", "ʤ"), ("x", "ks"), ("q", "k"), ("r", "ɹ"), ("g", "ɡ"),
]  # fmt: skip
"""Letters as most languages but English read them: names are often from one of those."""
_OPEN = re.compile("|".join(letters for letters, _ in _OPEN_VOWELS))
_HURRIED = re.compile("(?<!ˈ)[ɑOɛ]")
"""Vowels without stress, of which the first is swallowed in a hurry."""
_VOWEL = re.compile("[iɪɛæəɜʌɑɒɔʊuIWAOYᵊ]")


class Phonemes:
    """Pronunciations of about 180,000 English words (hexgrad/misaki, Apache-2.0).

    folder: where the dictionaries lie, or are downloaded to. Raises DataError.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = fetch(DICTIONARIES, folder)

    @cached_property
    def _entries(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for name in ("us_silver.json", "us_gold.json"):  # the second is checked by people: it wins
            for word, entry in json.loads((self._folder / name).read_bytes()).items():
                said = entry.get("DEFAULT") if isinstance(entry, dict) else entry
                if said:
                    found[word.lower()] = said.replace("ɾ", "T")
        return found | OWN

    def __contains__(self, text: str) -> bool:
        return all(word in self._entries for word in text.lower().split())

    def of(self, text: str) -> str:
        """Return a text's phonemes. Raises DataError: a word that no dictionary has."""
        words = text.lower().split()
        missing = [word for word in words if word not in self._entries]
        if missing:
            raise DataError(f"no pronunciation of {', '.join(missing)}: spell it otherwise")
        return " ".join(self._entries[word] for word in words)

    def variants(self, text: str) -> list[str]:
        """Return how a text may be pronounced, the likeliest first; any text has at least one.

        Words of the dictionaries are said as they stand there, and weakly. Others are read as
        espeak-ng does, if it is here, as a name with open vowels, clearly and in a hurry, and by
        English spelling: nobody knows which is right. Raises DataError: the text holds no word.
        """
        found = [
            _weak(self._entries[word]) if word in self._entries else guesses(word)
            for word in words(text)
        ]
        count = max(map(len, found))
        joined = (" ".join(each[n % len(each)] for each in found) for n in range(count))
        return list(dict.fromkeys(joined))


def guesses(word: str) -> list[str]:
    """Return pronunciations of a word that no dictionary has, in Misaki's symbols."""
    letters = re.sub(r"[^a-z]", "", word)
    read = [from_ipa(ipa(word, ACCENTS[0]))] if pronounces() else []
    if letters:
        doubled = re.sub(r"([b-z])\1", r"\1", letters)
        open_vowels = _stressed(_OPEN.sub(lambda m: dict(_OPEN_VOWELS)[m[0]], doubled))
        hurried = _HURRIED.sub("ə", open_vowels, count=1)
        read += [open_vowels, hurried, _other_stress(hurried)]
        read.append(_stressed(from_ipa(spelled(letters))))
    read = [each for each in read if _VOWEL.search(each)]
    if not read:
        raise DataError(f"no pronunciation of {word}: spell it otherwise, or install espeak-ng")
    return list(dict.fromkeys(read))


def _weak(sounds: str) -> list[str]:
    """Return a word as it is said, and as it is said without care, where that differs."""
    weak = re.sub("^ə", "ɐ", sounds)
    if "ˈ" not in sounds:
        weak = weak.replace("ɔɹ", "əɹ")
    return list(dict.fromkeys([sounds, weak]))


def _other_stress(sounds: str) -> str:
    """Return sounds with the stressed vowel that others read from the same letter."""
    return re.sub("ˈ([ɑuO])", lambda m: "ˈ" + {"ɑ": "æ", "u": "O", "O": "ɑ"}[m[1]], sounds)


def from_ipa(sounds: str) -> str:
    """Return espeak-ng's symbols as Misaki's."""
    table = dict(_FROM_IPA)
    return _IPA.sub(lambda found: table[found[0]], _UNUSED.sub("", sounds))


def _stressed(sounds: str) -> str:
    """Return sounds with the last vowel but one stressed; of one or two vowels, the first."""
    vowels = [found.start() for found in _VOWEL.finditer(sounds)]
    if not vowels:
        return sounds
    at = vowels[max(0, len(vowels) - 2)]
    return f"{sounds[:at]}ˈ{sounds[at:]}"
