"""Gaps: how much audio was lost where something stood still."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

LATE_S = 2.0
"""Seconds that audio comes too late only where something stood still."""
SETTLED_S, LONGEST_S = 0.5, 5.0
"""What was kept meanwhile has come when for so long nothing more was made up for; at the latest
after so many seconds."""
LOST_S = 0.1
"""Audio that is behind by less than this is late, not lost."""
RELEASE_S = 2.0
"""Seconds of what was held back that are released at once: whoever takes them needs a moment."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """What a callback brought: raw bytes, `length` moments of them.

    wall_time: seconds since the epoch of the first. missing: samples that were lost before it.
    """

    data: bytes
    length: int
    wall_time: float
    missing: int = 0


class GapMeter:
    """Tells late audio from lost audio.

    When this process is stopped, or the computer sleeps, the sound system keeps some of the audio,
    all of it, or nothing, and does not say which. What it has kept comes in one burst. So what
    comes late is held back for a moment, until it shows how far behind the clock it stays: so much
    is lost, and where the burst ends is the hole.

    rate: Hz.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._called: float | None = None  # when the last audio came
        self._wall_end = 0.0  # the wall time at its end
        self._held: list[Arrived] = []
        self._ready: deque[Arrived] = deque()

    def process(self, arrived: Arrived, now: float, *, overflow: bool) -> list[Arrived]:
        """Take what a callback brought, at `now` in seconds; return what is to be heard now.

        overflow: the sound system says that it lost some audio before this.
        """
        before, self._called = self._called, now
        late = 0.0 if before is None else now - before - arrived.length / self._rate
        if self._held:
            self._hold(arrived, now, overflow=overflow)
        elif before is not None and late > LATE_S:
            self._began, self._delivered, self._since = before, 0, now
            self._lowest_s, self._lowest_at, self._hole = late, now, 0
            self._overflow = False
            self._hold(arrived, now, overflow=overflow)
        else:
            self._wall_end = arrived.wall_time + arrived.length / self._rate
            missing = max(1, round(late * self._rate)) if overflow else 0
            self._ready.append(replace(arrived, missing=missing))
        return self._released()

    def _hold(self, arrived: Arrived, now: float, *, overflow: bool) -> None:
        self._held.append(arrived)
        self._delivered += arrived.length
        behind = now - self._began - self._delivered / self._rate
        if self._lowest_s - behind > arrived.length / self._rate / 2:
            self._lowest_s, self._lowest_at = behind, now
            self._hole = self._hole if self._overflow else len(self._held)
        if overflow:
            self._overflow, self._hole = True, len(self._held) - 1
        if now - self._lowest_at >= SETTLED_S or now - self._since >= LONGEST_S:
            self._settle()

    def _settle(self) -> None:
        """Release what was held back, with the hole where it is."""
        lost = self._overflow or self._lowest_s > LOST_S
        hole = self._hole if lost else len(self._held)
        for number, arrived in enumerate(self._held):
            kept = arrived
            if number < hole:  # it was recorded long before it came
                kept = replace(arrived, wall_time=self._wall_end)
            elif number == hole:
                kept = replace(arrived, missing=max(1, round(self._lowest_s * self._rate)))
            self._wall_end = kept.wall_time + kept.length / self._rate
            self._ready.append(kept)
        self._held = []

    def _released(self) -> list[Arrived]:
        out: list[Arrived] = []
        while self._ready and sum(each.length for each in out) < RELEASE_S * self._rate:
            out.append(self._ready.popleft())
        return out
