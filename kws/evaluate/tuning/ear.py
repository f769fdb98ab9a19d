"""Ear: a spotter whose every score is kept, so that its thresholds can be chosen afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from kws.decide import Decision
from kws.evaluate import peaks
from kws.evaluate.again import Again, Hops
from kws.evaluate.match import Word, match
from kws.evaluate.replay import Heard
from kws.flow import Block, Event, Samples, Scores
from kws.spotter import Spotter
from kws.thresholds import Settings
from kws.verification import VerifierConfig


@dataclass(frozen=True, eq=False)
class Stretch:
    """What was scored in a stretch of audio.

    names: the armed keywords. ends_s: where the hops end, float64 [hops]. score: as the decision
    compares it, float32 [hops, names]. hops: to be decided on again. where: the
    recording's name, if it is one; begin_s: from where on its times are told; seconds: of audio.
    """

    names: Sequence[str]
    ends_s: NDArray[np.float64]
    score: Samples
    hops: Hops
    where: str = ""
    begin_s: float = 0.0
    seconds: float = 0.0

    def of(self, name: str) -> Samples:
        """Return one keyword's score, float32 [hops]."""
        return self.score[:, self.names.index(name)]

    def alarms(self, name: str) -> NDArray[np.float64]:
        """Return the separate peaks of a keyword that was not said, the highest first."""
        return peaks.alarm_peaks(self.of(name), self.ends_s)


@dataclass(frozen=True, eq=False)
class Utterance:
    """A word that was said, and what was scored while it could be matched."""

    word: Word
    stretch: Stretch

    @property
    def peak(self) -> float:
        """How high its score rose."""
        name = self.word.label
        found = peaks.word_peaks(self.stretch.of(name), self.stretch.ends_s, [self.word], name)
        return float(found[0])


class Ear:
    """The live chain, whose scores are kept until they are taken.

    spotter: with these settings, and this verifier. lowest: thresholds under which none will be
    tried.
    """

    def __init__(
        self,
        spotter: Spotter,
        settings: Settings,
        lowest: Mapping[str, float] | None = None,
        verifier: VerifierConfig | None = None,
    ) -> None:
        cards = [model.card for model in spotter.models]
        self.rate, self.roles = cards[0].sample_rate, dict(settings.roles)
        self.names = list(self.roles)
        self._spotter, self._lowest = spotter, lowest or dict.fromkeys(self.names, 0.0)
        # Nothing passes 1: this one only notes what the spotter's own compares.
        never = dict.fromkeys(self.names, 1.0)
        self._decision = Decision(cards, settings.roles, never, rules=settings.rules)
        self._again = Again(cards, settings.rules, settings.roles, verifier)
        self._rows: list[tuple[list[Scores], list[float]]] = []

    @property
    def level_db(self) -> float:
        """RMS level of the last block, in dBFS."""
        return self._spotter.level_db

    @property
    def gate_open(self) -> bool:
        """Whether the gate lets audio through."""
        return self._spotter.gate_open

    def reset(self) -> None:
        """Forget everything heard so far."""
        self._spotter.reset()
        self._decision.reset()
        self._rows.clear()

    def process(self, block: Block) -> list[Event]:
        """Hear a block; return everything that became known."""
        return self._keep(self._spotter.process(block))

    def finish(self) -> list[Event]:
        """Hear the silence that a recording ends with."""
        return self._keep(self._spotter.finish())

    def _keep(self, events: list[Event]) -> list[Event]:
        scores = [event for event in events if isinstance(event, Scores)]
        for _, together in groupby(scores, attrgetter("end")):
            hops = list(together)
            self._decision.process(hops)
            compared = self._decision.scores
            self._rows.append((hops, [compared[name] for name in self.names]))
        return events

    def take(self, *, where: str = "", begin_s: float = 0.0, seconds: float = 0.0) -> Stretch:
        """Return what was scored since this was last called."""
        rows, self._rows = self._rows, []
        hops = [together for together, _ in rows]
        ends = [together[0].end for together in hops]
        score = np.array([row for _, row in rows], np.float32).reshape(-1, len(self.names))
        heard = Heard([], hops, ends, self.rate, seconds)
        prepared = self._again.prepare(heard, self._lowest)
        ends_s = np.array(ends, np.float64) / self.rate
        return Stretch(self.names, ends_s, score, prepared, where, begin_s, seconds)

    def fired(self, stretch: Stretch, levels: Mapping[str, float]) -> list[str]:
        """Return the keywords that fire in a stretch at these thresholds."""
        return [event.keyword for event in self._again.fired(stretch.hops, levels)]

    def missed(self, said: Utterance, levels: Mapping[str, float]) -> bool:
        """Tell whether a word does not fire at these thresholds, be it that another one does."""
        return bool(match(self._again.fired(said.stretch.hops, levels), [said.word]).missed)
