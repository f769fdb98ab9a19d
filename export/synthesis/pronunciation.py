# ruff: noqa: RUF001  phonetic symbols look like letters
"""How texts are pronounced: as espeak-ng says, else as they are spelled."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from kws.errors import DataError

Sounds = tuple[str, ...]
"""Phonemes, a symbol of the IPA each (tʃ and dʒ are one), without stress, length or pauses."""

ACCENTS = ("en-us", "en-gb")

_NO_SOUND = re.compile(r"\([a-z-]+\)|[^\w]|[_ːˈˌ\u0300-\u036f]")
"""Marks, separators, and the names of languages that espeak-ng takes a word from."""

_SPELLED = [
    ("tion", "ʃən"), ("igh", "aɪ"), ("tch", "C"), ("ch", "C"), ("sh", "ʃ"), ("th", "θ"),
    ("ph", "f"), ("wh", "w"), ("kn", "n"), ("wr", "ɹ"), ("ck", "k"), ("gh", ""), ("qu", "kw"),
    ("ng", "ŋ"), ("dg", "J"), ("ce", "sɛ"), ("ci", "sɪ"), ("cy", "si"), ("ee", "i"), ("ea", "i"),
    ("ey", "eɪ"), ("ay", "eɪ"), ("ai", "eɪ"), ("oo", "u"), ("ou", "aʊ"), ("ow", "oʊ"),
    ("oa", "oʊ"), ("ar", "ɑɹ"), ("or", "ɔɹ"), ("er", "ɚ"), ("ir", "ɚ"), ("ur", "ɚ"), ("x", "ks"),
    ("c", "k"), ("q", "k"), ("g", "ɡ"), ("j", "J"), ("y", "i"), ("r", "ɹ"), ("a", "æ"),
    ("e", "ɛ"), ("i", "ɪ"), ("o", "ɑ"), ("u", "ʌ"),
]  # fmt: skip
"""What letters mostly sound like, where they stand first in this list; others are themselves."""
_SPELLING = dict(_SPELLED)
_LETTERS = re.compile("|".join(letters for letters, _ in _SPELLED))
_SILENT = re.compile(r"(?<=\w\w)(?<![aeiou])e\b")
_DOUBLED = re.compile(r"([b-df-hj-np-tv-z])\1")


def pronounces() -> bool:
    """Say whether sounds are pronounced ones (espeak-ng is here), or guessed from spelling."""
    return shutil.which("espeak-ng") is not None


def words(text: str) -> list[str]:
    """Return the words of a text or label in small letters. Raises DataError: there is none."""
    found: list[str] = re.findall(r"[^\W_]+(?:'[^\W_]+)*", text.lower().replace("’", "'"))
    if not found:
        raise DataError(f"{text!r} holds no word: give the phrase as it is spoken")
    return found


def pronounced(texts: Sequence[str], accent: str = ACCENTS[0]) -> list[Sounds]:
    """Return what each text sounds like. Raises DataError: a text without words."""
    lines = [" ".join(words(text)) for text in texts]
    if not pronounces():
        return [_spelled(line) for line in lines]
    size = max(50, -(-len(lines) // (os.cpu_count() or 1)))
    pieces = [lines[start : start + size] for start in range(0, len(lines), size)]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        said = pool.map(lambda piece: _said(piece, accent), pieces)
        return [sounds for piece in said for sounds in piece]


def _said(lines: list[str], accent: str) -> list[Sounds]:
    """Return the sounds of each line; espeak-ng answers a line with a line, unless it is long."""
    answers = _printed(lines, accent, "--ipa", "--sep=_")
    if len(lines) == 1:
        return [_symbols(" ".join(answers))]
    if len(answers) != len(lines):
        return [_said([line], accent)[0] for line in lines]
    return [_symbols(answer) for answer in answers]


def _printed(lines: Sequence[str], accent: str, *options: str) -> list[str]:
    """Return the lines that espeak-ng prints of the sounds of some lines."""
    try:
        answer = subprocess.run(
            ["espeak-ng", "-q", *options, "-v", accent],
            input="".join(f"{line}\n" for line in lines),
            capture_output=True,
            encoding="utf-8",
            check=True,
            timeout=300,
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise DataError(f"espeak-ng could not pronounce {lines[0]!r}: {error}") from None
    return answer.splitlines()


def ipa(text: str, accent: str = ACCENTS[0]) -> str:
    """Return espeak-ng's pronunciation of a text, as it prints it. Raises DataError: it failed."""
    return " ".join(_printed([text], accent, "--ipa")).strip()


def spelled(word: str) -> str:
    """Return what the letters of a word mostly sound like in English, in symbols of the IPA."""
    return "".join(_spelled(word)).replace("C", "tʃ").replace("J", "dʒ")


def _symbols(ipa: str) -> Sounds:
    joined = ipa.replace("tʃ", "C").replace("dʒ", "J").replace("n̩", "ən")
    return tuple(_NO_SOUND.sub("", joined).replace("ᵻ", "ɪ").replace("ɐ", "ə"))


def _spelled(line: str) -> Sounds:
    plain = _DOUBLED.sub(r"\1", _SILENT.sub("", line.replace("'", "")))
    return tuple(_LETTERS.sub(lambda found: _SPELLING[found[0]], plain).replace(" ", ""))
