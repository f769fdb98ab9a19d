"""Recording: one that was heard, with its tracks and what the live chain made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kws.evaluate.replay import Heard
from kws.evaluate.tracks import Track
from kws.flow import Detection


@dataclass(frozen=True)
class Recording:
    """A recording as it was heard. tracks: with nothing withheld, one for each model."""

    name: str
    tracks: Sequence[Track]
    heard: Heard

    @property
    def hours(self) -> float:
        """How long it lasts."""
        return self.heard.seconds / 3600

    @property
    def detections(self) -> list[Detection]:
        """What fired, at the thresholds that it was heard with."""
        return [event for event in self.heard.events if isinstance(event, Detection)]
