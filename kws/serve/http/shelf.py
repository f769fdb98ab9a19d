"""Shelf: the last words that were heard, and where their audio was kept."""

from __future__ import annotations

import secrets
import threading
from collections import deque
from pathlib import Path

import msgspec

from kws.sinks import Heard

MOST = 200


class Shown(Heard, frozen=True, kw_only=True, tag="detection"):
    """A word that was heard. audio: what to ask for its recording; None: it is not kept."""

    audio: str | None = None


class Shelf:
    """Bounded; the oldest go."""

    def __init__(self) -> None:
        self._words: deque[Shown] = deque(maxlen=MOST)
        self._adding = threading.Lock()

    def put(self, word: Heard) -> Shown:
        """Add a word, and return it as it is shown. From any thread."""
        audio = None if word.recording is None else secrets.token_urlsafe(12)
        shown = Shown(**msgspec.structs.asdict(word), audio=audio)
        with self._adding:
            self._words.appendleft(shown)
        return shown

    @property
    def words(self) -> list[Shown]:
        """The newest first. From any thread."""
        with self._adding:
            return list(self._words)

    def path(self, audio: str) -> Path | None:
        """Return where a recording lies; None: nobody here gave out such a name."""
        found = (word.recording for word in self.words if word.audio == audio)
        return next((Path(each) for each in found if each is not None), None)
