"""Measuring own words: thresholds, what is missed of what was kept aside, and false alarms."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.training.own import calibration, head, outcome
from export.training.own.calibration import Tail
from export.training.own.encoder import Encoder
from export.training.own.features import of_stream
from export.training.own.gather import Given, Options, Parts
from export.training.own.outcome import Background, Result, WordOutcome
from export.training.own.pack import Pack
from export.training.own.recipe import Recipe
from export.training.own.renderings import Said
from export.training.own.windows import sliding
from export.training.own.words import Located
from export.training.recordings import RATE, Pcm
from export.training.verifier.network import Head
from kws.card import Card
from kws.evaluate import peaks, results
from kws.flow import Samples

HOP = 2560
"""Samples between two looks at a window."""
HOPS_PER_HOUR = 3600 * RATE / HOP
BEFORE_S, AFTER_S = 0.5, 0.56
"""Of quiet around a recording that is measured."""
FLOOR = 1e-4
MOST_S = 400.0
"""Of the user's own speech, as much at most is heard for thresholds, and aside."""
RENDERED = 24
"""Renderings at most that are measured where there are no recordings."""

Learner = Callable[[frozenset[int], int], Head]
"""Learns a head without some sources, with a seed."""


@dataclass
class Measuring:
    """Measures heads. What is measured goes through the encoder once."""

    given: Given
    words: dict[str, Located]
    encoder: Encoder
    pack: Pack
    recipe: Recipe
    options: Options

    @cached_property
    def _calibration(self) -> NDArray[np.float32]:
        """What heads hear where nobody says a word: the pack's windows, then the user's."""
        own = self._stream(self._background(1))
        return np.concatenate([self.pack.values(self.pack.calibration), own])

    @cached_property
    def _aside(self) -> NDArray[np.float32]:
        return self._stream(self._background(2))

    def _background(self, part: int) -> list[Pcm]:
        return [piece.audio for piece in [*self.given.speech[part], *self.given.noise[part]]]

    def _stream(self, pieces: Sequence[Pcm]) -> NDArray[np.float32]:
        if not pieces:
            return np.zeros((0, *self.pack.calibration.shape[1:]), np.float32)
        whole = np.concatenate(pieces)[: round(MOST_S * RATE)]
        audio = whole.astype(np.float32) * np.float32(1 / 32768)
        return of_stream(sliding(audio, HOP), self.encoder, self.pack)

    @cached_property
    def _said(self) -> dict[str, dict[int, NDArray[np.float32]]]:
        """What heads hear of each utterance that is measured, by word and source."""
        found: dict[str, dict[int, NDArray[np.float32]]] = {}
        for name, located in self.words.items():
            measured = located.recorded or located.rendered[:RENDERED]
            found[name] = {
                source: of_stream(sliding(quiet_around(word.audio), HOP), self.encoder, self.pack)
                for source, word in measured
            }
        return found

    def tails(self, learnt: Head) -> dict[str, Tail]:
        """Return how each word's scores fall off where nobody says it."""
        scores = head.scores(learnt, self._calibration)
        return {
            name: calibration.fit(scores[:, place], HOPS_PER_HOUR)
            for place, name in enumerate(self.words)
        }

    def calibrate(self, learnt: Head) -> dict[str, float]:
        """Return thresholds, and remember the scores that they were found on."""
        self._background_scores = head.scores(learnt, self._calibration)
        self.final_tails = self.tails(learnt)
        self._learnt = learnt
        return calibration.thresholds(self.final_tails, self.options.false_alarms)

    def passed(self, levels: Mapping[str, float]) -> int:
        """Return how many of the pack's calibration windows reach their word's threshold."""
        scores = self._background_scores[: len(self.pack.calibration)]
        names = list(self.words)
        return sum(int((scores[:, names.index(n)] >= x).sum()) for n, x in levels.items())

    def cross_validated(self, learn: Learner) -> dict[str, list[tuple[float, bool]]]:
        """Return each measured utterance's highest score, and whether it was missed.

        Each was scored by a head that learnt nothing from it, at that head's own thresholds.
        """
        found: dict[str, list[tuple[float, bool]]] = {name: [] for name in self.words}
        for fold in range(self.recipe.folds):
            aside = {
                source
                for said in self._said.values()
                for place, source in enumerate(said)
                if place % self.recipe.folds == fold
            }
            learnt = learn(frozenset(aside), self.options.seed + fold)
            levels = calibration.thresholds(self.tails(learnt), self.options.false_alarms)
            for place, (name, said) in enumerate(self._said.items()):
                for source in aside & said.keys():
                    score = float(head.scores(learnt, said[source])[:, place].max())
                    found[name].append((score, score < levels[name]))
        return found

    def result(
        self,
        card: Card,
        levels: dict[str, float],
        missed: dict[str, list[tuple[float, bool]]],
        *,
        out: Path,
        said: Said,
        begun: tuple[float, float],
    ) -> Result:
        """Return all figures. begun: the wall clock and the processor's time at the start."""
        aside = head.scores(self._learnt, self._aside)
        hours = len(aside) / HOPS_PER_HOUR
        ends = (np.arange(len(aside)) + 1) * HOP / RATE
        words, events = {}, 0
        for place, (name, located) in enumerate(self.words.items()):
            fired = int((peaks.alarm_peaks(aside[:, place], ends) >= levels[name]).sum())
            role = next(label.role for label in card.labels if label.name == name)
            words[name] = self._word(name, located, role, levels[name], missed[name], fired=fired)
            events += fired
        given = [
            sum(_hours(each, part) for each in (self.given.speech, self.given.noise))
            for part in (0, 1, 2)
        ]
        return outcome.judged(
            Result(
                model=str(out),
                words=words,
                background=Background(
                    len(self.pack.calibration), round(self.pack.hours, 2), *given
                ),
                false_alarms=results.rate(events, hours) if hours else None,
                wanted=self.options.false_alarms,
                seconds=round(time.monotonic() - begun[0], 1),
                cpu_seconds=round(time.process_time() - begun[1], 1),
                voices=said.engines,
                warnings=list(self.given.warnings),
            )
        )

    def _word(
        self,
        name: str,
        located: Located,
        role: str,
        level: float,
        missed: list[tuple[float, bool]],
        *,
        fired: int,
    ) -> WordOutcome:
        background = self._background_scores[:, list(self.words).index(name)]
        return WordOutcome(
            role=role,
            recordings=len(located.recorded),
            synthesised=len(located.rendered),
            length_s=round(located.length_s, 3),
            threshold=level,
            misses=results.share(sum(lost for _, lost in missed), len(missed)),
            by_machines=not located.recorded,
            passed=int((background[: len(self.pack.calibration)] >= level).sum()),
            false_alarms=fired,
            scores=_histogram([score for score, _ in missed]),
            background=_histogram(background),
        )


def quiet_around(audio: Pcm) -> Samples:
    """Return a recording with a quiet room before and after it."""
    samples = audio.astype(np.float32) / 32768
    before, after = np.zeros(round(BEFORE_S * RATE)), np.zeros(round(AFTER_S * RATE))
    whole = np.concatenate([before, samples, after])
    floor = np.random.default_rng(1).standard_normal(len(whole)) * FLOOR
    found: Samples = (whole + floor).astype(np.float32)
    return found


def _histogram(scores: Sequence[float] | NDArray[np.float32]) -> list[int]:
    counts, _ = np.histogram(np.asarray(scores), bins=10, range=(0, 1))
    return [int(count) for count in counts]


def _hours(parts: Parts, part: int) -> float:
    return round(sum(piece.seconds for piece in parts[part]) / 3600, 3)
