"""Smoothing: each model's scores averaged over its last hops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from kws import card
from kws.flow import Samples, Scores
from kws.jumps import JumpDetector


class Smoothing:
    """Adds to scores their mean over `smoothing_s`; zeros lie before the start and a jump.

    cards: of the models whose scores come in, by their index. rules: replace the cards' decision
    parameters.
    """

    latency = 0

    def __init__(
        self, cards: Sequence[card.Card], rules: Sequence[card.Decision] | None = None
    ) -> None:
        rules = rules or [one.decision for one in cards]
        self._last = [
            np.zeros((_hops(rule.smoothing_s, one), len(one.labels)), np.float32)
            for rule, one in zip(rules, cards, strict=True)
        ]
        self._jumps = JumpDetector(len(cards))

    def reset(self) -> None:
        """Forget everything heard so far."""
        self._jumps.reset()
        self._clear()

    def _clear(self) -> None:
        for last in self._last:
            last[:] = 0

    def process(self, hops: Sequence[Scores]) -> list[Scores]:
        """Return the scores of hops that end together, with their `smoothed`."""
        out = []
        for hop in hops:
            if self._jumps.jumped(hop):
                self._clear()
            out.append(replace(hop, smoothed=self._mean(self._last[hop.model], hop.values)))
        return out

    def _mean(self, last: Samples, values: Samples) -> Samples:
        if len(last) == 1:
            return values
        last[:-1] = last[1:]
        last[-1] = values
        mean: Samples = np.add.reduce(last) / np.float32(len(last))
        return mean


def _hops(seconds: float, one: card.Card) -> int:
    return max(1, round(seconds * one.sample_rate / one.hop))
