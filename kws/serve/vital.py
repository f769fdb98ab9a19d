"""Vital signs of one microphone: what is alive, what hears well, and why not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from kws.serve.config import Health as Limits
from kws.serve.tally import Tally

UNUSABLE_S = 2.0
"""Samples that can't be used are complained of until so long after the last of them."""
FRESH_S = 5.0
"""A frame, or with the gate open a score, is expected so often at least."""
PATIENCE_S = 600.0
"""So long a microphone may be opened again and again before a fresh process tries."""
STUCK_S = 60.0
"""Without a sign of life for so long, somebody has died."""


@dataclass
class Vital:
    """Written by the thread that hears, read by the one that watches. Seconds of one clock.

    frame_at, scored_at: when a frame came, and a hop was scored, last. sign_at: when the thread
    last did anything. away_since: since when it is being opened again; None: it is open. loud_at:
    when it was last louder than `quiet_db`. opened_at: when the gate last was open; neither counts
    the time when it was away. unusable_at: when it last gave samples that are NaN or infinite.
    zeros: it gives digital silence. tally: what all of its
    audio came to.
    """

    limits: Limits
    frame_at: float
    scored_at: float = 0.0
    loud_at: float = 0.0
    opened_at: float = 0.0
    unusable_at: float | None = None
    sign_at: float = field(init=False)
    away_since: float | None = field(init=False)
    reason: str = ""
    gate_open: bool = False
    level_db: float = -120.0
    zeros: bool = False
    tally: Tally = field(default_factory=Tally)

    def __post_init__(self) -> None:
        self.away_since = self.frame_at
        self.scored_at = self.loud_at = self.opened_at = self.sign_at = self.frame_at

    def heard(
        self,
        now: float,
        *,
        level_db: float,
        gate_open: bool,
        scored: bool,
        unusable: bool = False,
    ) -> None:
        """Take note of a block that went through; unusable: not all of it did."""
        if unusable:
            self.unusable_at = now
        if self.away_since is not None:
            self._skip(now - self.away_since)
            self.away_since = None
        self.frame_at, self.sign_at, self.level_db = now, now, level_db
        if gate_open and not self.gate_open:
            self.scored_at = now  # the first score comes a hop later
        self.gate_open = gate_open
        if scored:
            self.scored_at = now
        if gate_open:
            self.opened_at = now
        if level_db >= self.limits.quiet_db:
            self.loud_at = now

    def away(self, now: float, reason: str) -> None:
        """Take note that the microphone is being opened again."""
        self.away_since, self.reason, self.gate_open = now, reason, False

    def sign(self, now: float) -> None:
        """Take note that the thread that hears still does something: it looks for it."""
        self.sign_at = now

    def woke(self, now: float) -> None:
        """Take note that all of this process stood still: nobody could give a sign of life."""
        self._skip(now - self.sign_at)
        self.frame_at = self.scored_at = self.sign_at = now

    def _skip(self, seconds: float) -> None:
        self.loud_at += seconds
        self.opened_at += seconds

    def alive(self, now: float) -> bool:
        """Whether audio comes and is scored, or is being looked for."""
        if self.away_since is not None:
            return now - self.away_since < PATIENCE_S
        fresh = now - self.frame_at < FRESH_S
        return fresh and (not self.gate_open or now - self.scored_at < FRESH_S)

    def dead(self, now: float) -> bool:
        """Whether the thread that hears must be taken for dead."""
        return now - self.sign_at > STUCK_S

    def health(self, now: float) -> tuple[Literal["ok", "degraded", "deaf"], list[str]]:
        """Return how well it hears, and what is wrong, a line each."""
        if self.away_since is not None:
            return "deaf", [self.reason or "the microphone gave nothing yet"]
        if not self.alive(now):
            frame, score = now - self.frame_at, now - self.scored_at
            return "deaf", [f"no frame for {frame:.0f} s, no score for {score:.0f} s"]
        found = self._complaints(now)
        return ("degraded" if found else "ok"), found

    def status(self, now: float) -> str:
        """Return one line: how old the last frame is, the level, the gate."""
        if self.away_since is not None:
            return f"away for {now - self.away_since:.0f} s"
        gate = "open" if self.gate_open else "closed"
        age = 1000 * (now - self.frame_at)
        return f"frame {age:.0f} ms ago, {self.level_db:.0f} dBFS, gate {gate}"

    def _complaints(self, now: float) -> list[str]:
        found, limits = [], self.limits
        if self.unusable_at is not None and now - self.unusable_at < UNUSABLE_S:
            found.append("samples that are no numbers: a broken driver, or cable")
        if self.zeros:
            found.append("digital silence: muted, or broken")
        elif now - self.loud_at > 60 * limits.quiet_min:
            found.append(f"under {limits.quiet_db:g} dBFS for {(now - self.loud_at) / 60:.0f} min")
        if now - self.opened_at > 3600 * limits.unopened_h:
            found.append(f"the gate has not opened for {(now - self.opened_at) / 3600:.0f} h")
        return found
