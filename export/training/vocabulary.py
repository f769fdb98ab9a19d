"""Which words the bundled model knows, and which words in a transcript are no negatives."""

from __future__ import annotations

import re
from dataclasses import dataclass

COMMANDS = ["yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go"]
WAKE_WORDS = ["computer", "jarvis", "alexa"]
KEYWORDS = [*COMMANDS, *WAKE_WORDS]
BACKGROUND = ["_unknown_", "_silence_"]


@dataclass(frozen=True)
class Vocabulary:
    """Which words a network tells apart; its last two outputs are `_unknown_` and `_silence_`."""

    keywords: tuple[str, ...]

    @property
    def labels(self) -> list[str]:
        """All outputs, in order."""
        return [*self.keywords, *BACKGROUND]

    @property
    def unknown(self) -> int:
        """The output for words that are none of ours."""
        return len(self.keywords)

    @property
    def silence(self) -> int:
        """The output for no words at all."""
        return len(self.keywords) + 1

    def index(self, label: str) -> int:
        """Return a label's output; of a word that is none of ours, `_unknown_`'s."""
        return self.labels.index(label) if label in self.labels else self.unknown


BUNDLED = Vocabulary(tuple(KEYWORDS))
LABELS, UNKNOWN, SILENCE = BUNDLED.labels, BUNDLED.unknown, BUNDLED.silence

HELD_OUT = {"athena", "dracarys", "hadouken", "trick_or_treat"}
"""A stranger's own words: training from a few recordings is proven on them, so the bundled
model never hears them."""

SPOKEN_AS = {"hey_jarvis": "jarvis", "hey_computer": "computer"}
"""Recordings under another label that hold one of our words."""

SOUND_ALIKES = {
    "yes": ["yess"],
    "no": ["know", "knows", "noes", "nos", "noh"],
    "up": ["ups"],
    "down": ["downs"],
    "left": ["lefts"],
    "right": ["write", "writes", "rights", "wright", "rite", "rites", "wrights"],
    "on": ["ons"],
    "off": ["offs"],
    "stop": ["stops", "stopped", "stopping", "stopper"],
    "go": ["goes", "going", "gos", "goh"],
    "computer": ["computers"],
    "jarvis": ["jarviss"],
    "alexa": ["alexas"],
}
"""Homophones and inflections that begin with the word: neither negatives nor misses."""

_OURS = {*KEYWORDS, *(word for words in SOUND_ALIKES.values() for word in words)}


def holds_keyword(text: str) -> bool:
    """Say whether a transcript holds one of our words, a homophone or an inflection of it.

    Apostrophes and hyphens part words ("right-hand", "computer's"), as speakers do.
    """
    return keywords_in(text) > 0


def keywords_in(text: str) -> int:
    """Return how many there are."""
    return sum(word in _OURS for word in re.findall(r"[a-z]+", text.lower()))


def says_held_out(text: str) -> bool:
    """Say whether a label or a transcript holds one of the held-out words or phrases."""
    said = "_".join(["", *re.findall(r"[a-z]+", text.lower()), ""])
    return any(f"_{phrase}_" in said for phrase in HELD_OUT)


def in_held_out(text: str) -> bool:
    """Say whether a text holds any word that a held-out phrase is made of."""
    parts = {word for phrase in HELD_OUT for word in phrase.split("_")}
    return not parts.isdisjoint(re.findall(r"[a-z]+", text.lower()))
