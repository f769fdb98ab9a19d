"""Tally: what one microphone's audio has come to, over all of its spotters."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field

from kws.flow import Stats, VerifierStats

BOUNDS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""How long a hop took: upper bounds; what took longer is counted last."""


@dataclass
class Tally:
    """Written by the thread that hears. Seconds of audio; hops: by how long each took.

    heard_at, inferred_at: when a block came, and a hop was scored, last; None: never. verifier:
    what it has done; verifier_s: how long the blocks took in which it was called.
    """

    audio_s: float = 0.0
    open_s: float = 0.0
    lost_s: float = 0.0
    inferences: int = 0
    took_s: float = 0.0
    hops: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_S) + 1))
    heard_at: float | None = None
    inferred_at: float | None = None
    verifier: VerifierStats | None = None
    verifier_s: float = 0.0

    def heard(self, before: Stats, after: Stats, took_s: float, now: float) -> None:
        """Take note of what a block, which took so long, changed in a spotter's figures."""
        self.heard_at = now
        self.audio_s += after.audio_s - before.audio_s
        self.open_s += after.open_s - before.open_s
        self.lost_s += after.lost_s - before.lost_s
        if scored := after.inferences - before.inferences:
            self.inferences += scored
            self.took_s += took_s
            self.hops[bisect_left(BOUNDS_S, took_s / scored)] += scored
            self.inferred_at = now
        was, now_done = before.verifier, after.verifier
        if was is not None and now_done is not None:
            self.verifier = self.verifier or VerifierStats()
            if was is not now_done:  # the same object where nothing happened
                self.verifier += now_done - was
                self.verifier_s += took_s if now_done.calls > was.calls else 0.0
