# ruff: noqa: RUF001  phonetic symbols look like letters
"""English words as Misaki's phonemes, looked up in its dictionaries."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path

from export.packages import Packed, fetch
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
