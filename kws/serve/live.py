"""Live: what a microphone hears at this moment, for who looks on."""

from __future__ import annotations

from kws.event_json import Glance
from kws.flow import Block
from kws.serve.feed import Feed
from kws.spotter import Spotter

EVERY_S = 0.1
"""So often it is told, in seconds of audio."""


class Tap:
    """Tells glances at one microphone while somebody follows; else it does nothing.

    All is called on the thread that hears, which never waits for who follows.
    """

    def __init__(self, name: str, feed: Feed) -> None:
        self._name, self._feed = name, feed
        self._due_s = 0.0
        self._begin()

    @property
    def followed(self) -> bool:
        """Whether somebody follows."""
        return bool(self._feed.followers)

    def _begin(self) -> None:
        self._level_db = -120.0
        self._at: list[float] = []
        self._scores: dict[str, list[float]] = {}

    def heard(self, spotter: Spotter, block: Block, *, scored: bool) -> None:
        """Look at what a spotter makes of a block that it has just heard."""
        if not self.followed:
            return
        now_s = block.end / block.rate
        self._level_db = max(self._level_db, spotter.level_db)
        if scored:
            self._look(spotter.scores, now_s)
        if not self._due_s - EVERY_S <= now_s < self._due_s:
            self._tell(now_s, spotter.gate_open)

    def _look(self, scores: dict[str, float], now_s: float) -> None:
        if scores.keys() != self._scores.keys():  # others are armed now
            self._at, self._scores = [], {name: [] for name in scores}
        self._at.append(round(now_s, 3))
        for name, score in scores.items():
            self._scores[name].append(round(score, 5))

    def _tell(self, now_s: float, gate_open: bool) -> None:
        level_db = round(self._level_db, 1)
        self._feed.tell(
            Glance(
                microphone=self._name,
                time_s=round(now_s, 3),
                level_db=level_db,
                gate_open=gate_open,
                at=self._at,
                scores=self._scores,
            )
        )
        late = now_s - self._due_s
        self._due_s = (self._due_s if 0 <= late < EVERY_S else now_s) + EVERY_S
        self._begin()
