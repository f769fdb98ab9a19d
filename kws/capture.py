"""Capture: what is said after a word, without a hole or an overlap."""

from __future__ import annotations

import numpy as np

from kws.errors import AudioError, ConfigError
from kws.flow import Block, Detection, Samples
from kws.gate import Gate

VOICE_DB = 15.0
"""Without a gate that tells voice: what is within this of the word's level counts as voice."""


class Capture:
    """Audio from a word's end on, filled by every push.

    Joined to `Detection.audio` it is the source, sample by sample.

    start: absolute sample of the first one, at `rate`. done: all that was asked for is here,
    or a jump ended it.
    """

    def __init__(
        self, gate: Gate, word: Detection, seconds: float, until_silence: float | None
    ) -> None:
        if seconds <= 0 or (until_silence is not None and until_silence <= 0):
            raise ConfigError("a capture lasts for more than 0 seconds")
        if word.end < gate.since:
            raise AudioError(
                f"the audio after {word.keyword!r} at {word.end_s:.2f} s is gone; "
                "capture at once, or push shorter blocks"
            )
        self.start, self.rate = word.end, word.rate
        self.done = False
        self._gate = gate
        self._last = word.end + round(seconds * word.rate)
        self._silence = None if until_silence is None else round(until_silence * word.rate)
        self._floor = 10 ** ((word.level_db - VOICE_DB) / 10)
        self._frame = gate.detector.frame
        self._spoke: int | None = None  # end of the last voiced frame after the word
        self._parts: list[Samples] = []
        self._taken = 0
        self._end = word.end
        self.fill()

    def fill(self) -> None:
        """Take what the gate has heard by now."""
        while not self.done and self._end < self._gate.heard:
            if self._end < self._gate.since:
                self.close()
                return
            end = min(self._end + self._frame, self._gate.heard, self._last)
            part = self._gate.ring.view(self._end, end).copy()
            self._parts.append(part)
            if self._is_voiced(part, self._end, end):
                self._spoke = end
            self._end = end
            self.done = end == self._last or self._is_quiet()

    def limit(self, end: int) -> None:
        """End it at this sample at the latest."""
        self._last = min(self._last, end)
        self.done = self.done or self._end >= self._last

    def close(self) -> None:
        """End it: nothing is added from here on."""
        self.done = True

    def blocks(self) -> list[Block]:
        """Return the blocks that came since the last call; never the same one twice."""
        start = self.start + sum(len(part) for part in self._parts[: self._taken])
        out = []
        for part in self._parts[self._taken :]:
            out.append(Block(part, start, self.rate))
            start += len(part)
        self._taken = len(self._parts)
        return out

    @property
    def audio(self) -> Samples:
        """All that was captured so far, float32 [n]."""
        return np.concatenate([np.zeros(0, np.float32), *self._parts])

    def _is_quiet(self) -> bool:
        if self._silence is None or self._spoke is None:
            return False
        return self._end - self._spoke >= self._silence

    def _is_voiced(self, part: Samples, start: int, end: int) -> bool:
        if self._gate.detector.tells_voice:
            return bool(self._gate.voiced(start, end))
        return float(part.dot(part)) > self._floor * len(part)
