"""Streams: what was missed in a recording with truth, and what fired where nothing was said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from kws.errors import DataError
from kws.evaluate import peaks, results
from kws.evaluate.again import Again, Hops
from kws.evaluate.match import Fired, Matches, match
from kws.evaluate.recording import Recording
from kws.evaluate.search import moved, rates_in
from kws.evaluate.truthfile import Truth
from kws.evaluate.worst import worst_alarms, worst_missed
from kws.flow import Detection
from kws.session import Model
from kws.stride import strided
from kws.thresholds import Settings
from kws.verification import VerifierConfig

RATES = (0.1, 0.5, 1.0, 2.0)
"""False alarms per hour at which misses are told, as far as the hours allow."""
LOWEST, HIGHEST, FINE, COARSE = -2.0, 6.0, 0.1, 0.5
"""Steps in log-odds: the curve goes by coarse ones, a rate is met to a fine one."""
APART_S = 0.2
"""Truth and audio may differ so much in length."""


class Streams:
    """A recording with truth beside recordings without keywords, at any thresholds.

    stream: what was heard of the recording that `truth` is about; negatives: of the others;
    verifier: that judged them.
    Raises DataError: the truth is not this recording's; it holds no armed keyword.
    """

    def __init__(
        self,
        models: Sequence[Model],
        settings: Settings,
        stream: Recording,
        truth: Truth,
        negatives: Sequence[Recording],
        *,
        verifier: VerifierConfig | None = None,
    ) -> None:
        self.levels = dict(settings.levels)
        check(truth, stream.name, stream.heard.seconds, self.levels)
        self.words = truth.of(list(self.levels))
        self._models, self.stream, self.negatives = models, stream, negatives
        self.hours = sum(recording.hours for recording in negatives)
        cards = [model.card for model in models]
        self._again = Again(cards, settings.rules, settings.roles, verifier)
        self._verified = set(verifier.candidates if verifier else ())
        lowest = self._moved(LOWEST)
        self._said = self._again.prepare(stream.heard, lowest)
        self._unsaid = [self._again.prepare(each.heard, lowest) for each in negatives]
        self._counted: dict[float, int] = {}

    def _moved(self, step: float) -> dict[str, float]:
        return {name: moved(level, step) for name, level in self.levels.items()}

    def _alarms(self, hops: Sequence[Hops], levels: Mapping[str, float]) -> list[Fired]:
        return [event for each in hops for event in self._again.fired(each, levels)]

    def _count(self, step: float) -> int:
        """Return how many events the negatives give with every threshold moved."""
        if step not in self._counted:
            self._counted[step] = len(self._alarms(self._unsaid, self._moved(step)))
        return self._counted[step]

    def step_for(self, rate: float) -> float | None:
        """Return the smallest step whose false alarms stay within `rate` per hour, if any's do."""
        steps = np.round(np.arange(LOWEST, HIGHEST + FINE / 2, FINE), 6)
        low, high = 0, len(steps) - 1
        while low < high:
            middle = (low + high) // 2
            within = self._count(float(steps[middle])) <= rate * self.hours
            low, high = (low, middle) if within else (middle + 1, high)
        step = float(steps[low])
        return step if self._count(step) <= rate * self.hours else None

    def point(
        self, levels: Mapping[str, float], *, wanted: float | None = None, step: float = 0.0
    ) -> results.Point:
        """Return the figures at these thresholds."""
        found = match(self._again.fired(self._said, levels), self.words)
        alarms = Counter(event.keyword for event in self._alarms(self._unsaid, levels))
        counted = results.rate(alarms.total(), self.hours) if self.hours else None
        p50, p95 = _delays(found.delays)
        return results.Point(
            wanted=wanted,
            step=round(step, 3),
            misses=results.share(len(found.missed), len(self.words)),
            false_alarms=counted,
            duplicates=len(found.duplicates),
            elsewhere=len(found.false_alarms),
            delay_ms_p50=p50,
            delay_ms_p95=p95,
            keywords={
                name: self._keyword(name, level, found, alarms[name])
                for name, level in levels.items()
            },
        )

    def _keyword(self, name: str, level: float, found: Matches, alarms: int) -> results.Keyword:
        missed = sum(word.label == name for word in found.missed)
        p50, p95 = _delays(found.delays_of.get(name, []))
        return results.Keyword(
            threshold=round(level, 4),
            misses=results.share(missed, found.hits.get(name, 0) + missed),
            false_alarms=results.rate(alarms, self.hours) if self.hours else None,
            duplicates=sum(event.keyword == name for event in found.duplicates),
            delay_ms_p50=p50,
            delay_ms_p95=p95,
        )

    def points(self, rates: Sequence[float] = RATES) -> list[results.Point]:
        """Return the figures at those rates that the hours can speak of.

        All thresholds are moved by one step in log-odds until the false alarms stay within the
        rate: a single number is fitted, so that few hours are not flattered.
        """
        steps = ((rate, self.step_for(rate)) for rate in rates_in(self.hours, rates))
        return [
            self.point(self._moved(step), wanted=rate, step=step)
            for rate, step in steps
            if step is not None
        ]

    def curve(self) -> list[results.Step]:
        """Return misses and false alarms as all thresholds move together."""
        steps = []
        if not self.hours:
            return []
        for step in np.arange(LOWEST, HIGHEST + COARSE / 2, COARSE).tolist():
            found = match(self._again.fired(self._said, self._moved(step)), self.words)
            misses = results.share(len(found.missed), len(self.words))
            alarms = results.rate(self._count(round(step, 6)), self.hours)
            steps.append(results.Step(round(step, 3), misses, alarms))
        return steps

    def result(self, *, failed: Mapping[str, str]) -> results.Streams:
        """Return everything. failed: what could not be read, and why."""
        missed = match([_fired(each) for each in self.stream.detections], self.words).missed
        names = {word.label for word in missed}
        scores = {name: self.score(self.stream, name) for name in names}
        return results.Streams(
            model=", ".join(each.name for each in self._models),
            audio=self.stream.name,
            hours=round(self.stream.hours, 4),
            negative_hours=round(self.hours, 4),
            shipped=self.point(self.levels),
            points=self.points(),
            curve=self.curve(),
            missed=worst_missed(self.stream.name, missed, self.levels, scores),
            false_alarms=worst_alarms(self.negatives),
            failed=dict(failed),
        )

    def score(
        self, recording: Recording, name: str
    ) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Return a keyword's score [hops] and where the hops end, in seconds.

        It is smoothed, with nothing withheld; a verified one as it was compared.
        """
        if name in self._verified:
            return _compared(self._models, recording, name)
        for model, track in zip(self._models, recording.tracks, strict=True):
            if name in model.labels:
                hops = round(model.card.decision.smoothing_s * track.rate / track.hop)
                column = model.labels.index(name)
                scores, _ = strided(track.values, model.card)
                smooth = peaks.smoothed(scores[:, column : column + 1], hops)[:, 0]
                return smooth, track.ends() / track.rate
        raise KeyError(name)

    def peaks(self) -> tuple[dict[str, NDArray[np.float64]], dict[str, NDArray[np.float64]]]:
        """Return, by keyword, its words' peaks and its peaks where nothing was said."""
        said, alarms = {}, {}
        for name in self.levels:
            said[name] = peaks.word_peaks(*self.score(self.stream, name), self.words, name)
            every = [peaks.alarm_peaks(*self.score(each, name)) for each in self.negatives]
            alarms[name] = np.concatenate(every) if every else np.zeros(0)
        return said, alarms


def _compared(
    models: Sequence[Model], recording: Recording, name: str
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    at = {n: model.labels.index(name) for n, model in enumerate(models) if name in model.labels}
    hops = [hop for together in recording.heard.hops for hop in together if hop.model in at]
    smoothed = [hop.values if hop.smoothed is None else hop.smoothed for hop in hops]
    score = [values[at[hop.model]] for hop, values in zip(hops, smoothed, strict=True)]
    ends = np.array([hop.end for hop in hops], np.float64) / recording.heard.rate
    return np.array(score, np.float32), ends


def check(truth: Truth, name: str, seconds: float, levels: Mapping[str, float]) -> None:
    """Raise DataError where a truth is not that of a recording, or holds no armed keyword."""
    if abs(truth.seconds - seconds) > APART_S:
        raise DataError(
            f"{name}: lasts {seconds:.2f} s, its truth file speaks of {truth.seconds:.2f} s; give "
            "the truth that was written with it"
        )
    if not truth.of(list(levels)):
        said = ", ".join(sorted({word.label for word in truth.words})) or "nothing"
        raise DataError(f"{name}: its truth holds none of {', '.join(levels)} (it holds {said})")


def _delays(delays: Sequence[float]) -> tuple[float | None, float | None]:
    if not delays:
        return None, None
    p50, p95 = np.percentile(np.array(delays) * 1000, [50, 95])
    return round(float(p50), 1), round(float(p95), 1)


def _fired(detection: Detection) -> Fired:
    return Fired(detection.keyword, detection.time_s)
