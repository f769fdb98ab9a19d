"""Capture: what is said after a word, without a hole or an overlap."""

from __future__ import annotations

import numpy as np

from kws.errors import AudioError, ConfigError
from kws.flow import Block, Detection, Samples
from kws.gate import Gate

VOICE_DB = 15.0
"""Without a gate that tells voice: what is within this of the word's level counts as voice."""
TAIL_S = 0.5
"""Voice so soon after a word's end may be the rest of the word, the room's echo of it, and what
WebRTC's milder modes take for voice for a while after it ended."""
VOICED_S, LOUD_S = 0.1, 0.06
"""After that somebody speaks who is heard for so long, with a gate that tells voice and without:
the first takes even a frame of noise for 0.08 s of voice, and the shortest "up" for 0.16 s, which
stays loud for 0.08 s."""


class Capture:
    """Audio from a word's end on, filled by every push.

    Joined to `Detection.audio` it is the source, sample by sample.

    word: what it follows. start, end: absolute samples of what is here by now, at `rate`.
    done: nothing is added any more: all that was asked for is here, or a jump, a pause, a reset
    or the end of the source ended it. `Captured` tells of it, once.
    """

    def __init__(
        self,
        gate: Gate,
        word: Detection,
        seconds: float,
        until_silence: float | None,
        last: int | None = None,
    ) -> None:
        if seconds <= 0 or (until_silence is not None and until_silence <= 0):
            raise ConfigError("a capture lasts for more than 0 seconds")
        if not gate.since <= word.end <= gate.heard:  # ahead lies what a reset has forgotten
            raise AudioError(
                f"the audio after {word.keyword!r} at {word.end_s:.2f} s is gone; "
                "capture at once, or push shorter blocks"
            )
        self.word = word
        self.start, self.end, self.rate = word.end, word.end, word.rate
        self.done = False
        self._gate = gate
        self._last = word.end + round(seconds * word.rate)
        self._silence = None if until_silence is None else round(until_silence * word.rate)
        self._floor = 10 ** ((word.level_db - VOICE_DB) / 10)
        self._frame = gate.detector.frame
        self._tail = word.end + round(TAIL_S * word.rate)
        begun = VOICED_S if gate.detector.tells_voice else LOUD_S
        self._begun = round(begun * word.rate)
        self._since: int | None = None  # where the voice began that goes on, past the tail
        self._spoke: int | None = None  # end of the last voice of who began to speak
        self._parts: list[Samples] = []
        self._taken = 0
        if last is not None:
            self.limit(last)
        self.fill()

    def fill(self) -> None:
        """Take what the gate has heard by now."""
        while not self.done and self.end < self._gate.heard:
            if self.end < self._gate.since:
                self.close()
                return
            # Frames lie where the gate's do: how the audio was cut must not show in the end.
            whole = (self._gate.heard - self.end) % self._frame or self._frame
            start, end = self.end, min(self.end + whole, self._last)
            part = self._gate.ring.view(start, end).copy()
            self._parts.append(part)
            self.end = end
            self._listen(part, start, end)
            self.done = end == self._last or self._is_quiet()

    def limit(self, end: int) -> None:
        """End it at this sample at the latest."""
        self._last = min(self._last, end)
        self.done = self.done or self.end >= self._last

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

    @property
    def spoke(self) -> bool:
        """Whether somebody was heard after the word, by now."""
        return self._spoke is not None

    def _listen(self, part: Samples, start: int, end: int) -> None:
        if end <= self._tail or not self._is_voiced(part, start, end):
            self._since = None
            return
        if self._since is None:
            self._since = max(start, self._tail)
        if self._spoke is not None or end - self._since >= self._begun:
            self._spoke = end

    def _is_quiet(self) -> bool:
        if self._silence is None or self._spoke is None:
            return False
        return self.end - self._spoke >= self._silence

    def _is_voiced(self, part: Samples, start: int, end: int) -> bool:
        if self._gate.detector.tells_voice:
            return bool(self._gate.voiced(start, end))
        return float(part.dot(part)) > self._floor * len(part)
