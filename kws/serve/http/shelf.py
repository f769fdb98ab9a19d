"""Shelf: the last words that were heard, and where their audio was kept."""

from __future__ import annotations

import threading
from collections import deque
from pathlib import Path

from kws.sinks import Heard

MOST = 200


class Shelf:
    """Bounded; the oldest go."""

    def __init__(self) -> None:
        self._words: deque[Heard] = deque(maxlen=MOST)
        self._adding = threading.Lock()

    def put(self, word: Heard) -> None:
        """Add a word. From any thread."""
        with self._adding:
            self._words.appendleft(word)

    @property
    def words(self) -> list[Heard]:
        """The newest first. From any thread."""
        with self._adding:
            return list(self._words)

    def path(self, recording_id: str) -> Path | None:
        """Return where a recording lies; None: no detection gave out such an id."""
        found = (word.recording for word in self.words if word.recording_id == recording_id)
        return next((Path(each) for each in found if each is not None), None)
