"""Shortcuts: the forms of a spotter that fit in one line."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from kws.flow import Detection
from kws.spotter import Spotter


def listen(**options: Any) -> Iterator[Detection]:
    """Hear a microphone and yield detections; takes what `Spotter` takes."""
    return iter(Spotter(**options))


def spot(path: str | os.PathLike[str], **options: Any) -> list[Detection]:
    """Return the detections in an audio file; takes what `Spotter` takes."""
    from kws.sources.file import AudioFile

    events = Spotter(**options).listen(AudioFile(path))
    return [event for event in events if isinstance(event, Detection)]
