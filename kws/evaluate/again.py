"""Again: the decision over hops that were heard once, at other thresholds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from kws import decide
from kws.card import Card
from kws.card import Decision as Rules
from kws.evaluate.match import Fired
from kws.evaluate.replay import Heard
from kws.flow import Scores
from kws.verification import VerifierConfig


class Again:
    """The live Decision, run over the same hops for one set of thresholds after another.

    Stretches in which no armed keyword stands at its re-arm level are passed over: they leave
    the decision as a reset does, once they last longer than whatever it remembers. Where a
    verifier could not be asked, scores stay as they were at the thresholds that were heard with.
    rules: each model's decision parameters; roles: of the armed keywords. verifier: that judged.
    """

    def __init__(
        self,
        cards: Sequence[Card],
        rules: Sequence[Rules],
        roles: Mapping[str, str],
        verifier: VerifierConfig | None = None,
    ) -> None:
        self._cards, self._rules, self._roles = cards, rules, roles
        self._verifier = verifier
        self._verified = set(verifier.candidates if verifier else ())
        self._rate = cards[0].sample_rate
        self._columns = [
            (label.name, model, column)
            for model, card in enumerate(cards)
            for column, label in enumerate(card.labels)
            if label.name in roles
        ]
        longest = max(rule.release_s + rule.refractory_s for rule in rules)
        self._memory = 2 * max(card.hop for card in cards) + round(longest * self._rate)

    def prepare(self, heard: Heard, lowest: Mapping[str, float]) -> Hops:
        """Return a recording's hops, ready to be decided on many times.

        lowest: the lowest thresholds that will be tried; hops that can't matter to them are
        forgotten, so that days of audio fit into memory.
        """
        high = np.zeros((len(heard.hops), len(self._columns)), np.float32)
        for row, together in enumerate(heard.hops):
            for scores in together:
                compared = scores.values if scores.smoothed is None else scores.smoothed
                for place, (name, model, column) in enumerate(self._columns):
                    if model == scores.model:
                        high[row, place] = compared[column]
                        if name not in self._verified:  # raw scores keep the others from arming
                            high[row, place] = max(scores.values[column], compared[column])
        ends = np.array([together[0].end for together in heard.hops], np.int64)
        every = Hops(heard.hops, heard.known, ends, high)
        kept = [row for first, last in self._loud(every, lowest) for row in range(first, last)]
        hops, known = [heard.hops[row] for row in kept], [heard.known[row] for row in kept]
        return Hops(hops, known, ends[kept], high[kept])

    def fired(self, hops: Hops, thresholds: Mapping[str, float]) -> list[Fired]:
        """Return the events at these thresholds: what, and when it was known."""
        decision = decide.Decision(
            self._cards,
            self._roles,
            thresholds,
            rules=self._rules,
            candidates=self._verifier.candidates if self._verifier else None,
        )
        found = []
        for first, last in self._loud(hops, thresholds):
            decision.reset()
            for row in range(first, last):
                found += [
                    Fired(event.keyword, hops.known[row] / self._rate)
                    for event in decision.process(hops.together[row])
                    if isinstance(event, decide.Fired)
                ]
        return found

    def _loud(self, hops: Hops, thresholds: Mapping[str, float]) -> Iterator[tuple[int, int]]:
        """Yield stretches of rows, whatever the decision remembers apart."""
        levels = np.array([thresholds[name] / 2 for name, _, _ in self._columns], np.float32)
        ends = hops.ends[(hops.high >= levels).any(1)]
        if not len(ends):
            return
        breaks = np.flatnonzero(np.diff(ends) > self._memory)
        firsts = [ends[0], *ends[breaks + 1]]
        lasts = [*ends[breaks], ends[-1]]
        for first, last in zip(firsts, lasts, strict=True):
            begin = np.searchsorted(hops.ends, first)
            end = np.searchsorted(hops.ends, last, side="right")
            yield int(begin), int(end)


class Hops:
    """The hops of one recording.

    together: scores that were decided on at once; known: the sample at which they were told;
    ends: [n] where they end; high: [n, keywords] the armed keywords' scores, the higher of raw
    and compared where both keep a keyword from arming.
    """

    def __init__(
        self,
        together: Sequence[Sequence[Scores]],
        known: Sequence[int],
        ends: NDArray[np.int64],
        high: NDArray[np.float32],
    ) -> None:
        self.together, self.known, self.ends, self.high = together, known, ends, high
