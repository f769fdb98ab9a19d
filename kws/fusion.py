"""Fusion: two models' scores of the same keywords joined, in log-odds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kws import card
from kws.flow import Samples

if TYPE_CHECKING:
    from kws.verification import VerifierConfig

SMALLEST = 1e-6
"""Scores are told from 0 and 1 no closer than this, about what float32 can."""
NEVER = -(1 << 62)
REFUSED = 0.25
"""Joined scores up to this mean that the verifier heard none of the candidates."""


class FusedKeywords:
    """The keywords of one first-stage model that the verifier judges. Arrays are [keywords]."""

    def __init__(self, config: VerifierConfig, one: card.Card, rules: card.Verification) -> None:
        labels = [label.name for label in one.labels]
        self.names = [label.name for label in one.keywords if label.name in config.candidates]
        self.columns = np.array([labels.index(name) for name in self.names], np.intp)
        judged = config.model.labels
        self.judged = np.array([judged.index(name) for name in self.names], np.intp)
        self._rules = rules
        self._levels = np.array([config.candidates[name] for name in self.names])
        self._own = np.array([config.own[name] for name in self.names])
        hops = round(config.timing.hold_s * one.sample_rate) // one.hop + 1
        self._recent = np.zeros((hops, len(self.names)), np.float32)
        self.seen = np.full(len(self.names), NEVER, np.int64)
        self._hold = round(config.timing.hold_s * one.sample_rate)
        self.configure({}, {})
        self.forget()

    def configure(self, roles: Mapping[str, str], thresholds: Mapping[str, float]) -> None:
        """Arm these, with these thresholds of the joined score."""
        self.armed = np.array([bool(roles.get(name)) for name in self.names], bool)
        levels = np.array([thresholds.get(name, 1.0) for name in self.names])
        self._shift = log_odds(levels) - log_odds(self._own)
        # The float32 numbers on either side of the threshold.
        near = levels.astype(np.float32)
        self._passes = np.where(near < levels, np.nextafter(near, np.float32(2)), near)
        self._fails = np.maximum(np.nextafter(self._passes, np.float32(-1)), 0)

    def forget(self) -> None:
        """Start anew."""
        self._recent[:] = 0
        self.seen[:] = NEVER
        self._at = 0
        self._now = np.zeros(len(self.names), np.float32)
        self._refused = np.full(len(self.names), -np.inf)

    def take(self, smoothed: Samples, end: int) -> bool:
        """Note a hop's scores; return whether a keyword is a candidate."""
        self._now = self._recent[self._at] = smoothed[self.columns]
        self._at = (self._at + 1) % len(self._recent)
        found = self.armed & (self._now >= self._levels)
        if not found.any():
            return False
        self.seen[found] = end
        return True

    @property
    def last(self) -> int:
        """End of the last hop in which an armed keyword was a candidate."""
        return int(self.seen[self.armed].max(initial=NEVER))

    def near(self, end: int) -> NDArray[np.bool_]:
        """Tell which armed keywords were candidates within `hold_s`."""
        near: NDArray[np.bool_] = self.armed & (end - self.seen <= self._hold)
        return near

    def refuse(self, opinion: NDArray[np.float64], end: int) -> bool:
        """Return whether no candidate's joined score is worth another call; note how high they are.

        opinion: the verifier's log-odds [its labels].
        """
        near = self.near(end)
        self._refused = np.where(near, log_odds(self._recent.max(axis=0)), -np.inf)
        return not (self.joined(opinion)[near] > REFUSED).any()

    def risen(self, end: int) -> bool:
        """Tell whether a candidate scores higher than when it was refused, by `rise` at least."""
        higher = log_odds(self._now) >= self._refused + self._rules.rise
        return bool((higher & self.near(end)).any())

    def joined(self, opinion: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the scores joined with the verifier's; opinion: its log-odds [its labels]."""
        rules = self._rules
        first = rules.first_weight * log_odds(self._recent.max(axis=0))
        second = rules.verifier_weight * opinion[self.judged]
        return probabilities(first + second + rules.bias)

    def alone(self) -> Samples:
        """Return the first stage's scores such that they pass where its own thresholds say so."""
        moved = probabilities(log_odds(self._now) + self._shift).astype(np.float32)
        passing = self._now >= self._own
        found: Samples = np.where(
            passing, np.maximum(moved, self._passes), np.minimum(moved, self._fails)
        )
        return found


def log_odds(shares: NDArray[np.float32] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the log-odds of probabilities, within about -13.8 and 13.8."""
    held = np.clip(shares.astype(np.float64), SMALLEST, 1 - SMALLEST)
    found: NDArray[np.float64] = np.log(held / (1 - held))
    return found


def probabilities(odds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the probabilities of log-odds."""
    found: NDArray[np.float64] = 1 / (1 + np.exp(-odds))
    return found
