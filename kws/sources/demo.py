"""Demo: the bundled recording, at the pace at which a microphone would give it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from kws.flow import Block, Event
from kws.sources.file import AudioFile

BLOCK_S = 0.04
"""Seconds a block, as a microphone's."""

RECORDING = Path(__file__).parent.parent / "models" / "demo.flac"
"""Words said by a speech synthesiser."""


class Demo:
    """A recording that sleeps as long as it lasts.

    rate: Hz. Blocks are float32 [n, channels]. Raises AudioError as AudioFile does.
    """

    live = False

    def __init__(self, path: Path = RECORDING) -> None:
        self._file = AudioFile(path, block_s=BLOCK_S)
        self.rate = self._file.rate

    def __iter__(self) -> Iterator[Block]:
        """Deliver each block after the time that it takes to say it."""
        for block in self._file:
            time.sleep(len(block.samples) / block.rate)
            yield block

    def poll_events(self) -> list[Event]:
        """Nothing: only a device has something to tell."""
        return []

    def close(self) -> None:
        """End the iteration; from any thread."""
        self._file.close()
