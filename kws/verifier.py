"""Verifier: a window model that judges what the first stage proposes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kws import card
from kws.flow import Samples, Scores, VerifierFailed, VerifierStats
from kws.fusion import NEVER, FusedKeywords, log_odds
from kws.jumps import JumpDetector
from kws.steps import Run, Steps, alone

if TYPE_CHECKING:
    from kws.verification import VerifierConfig

LIMIT_S = 10.0
"""The limit of calls holds over so many seconds of audio."""

Audio: TypeAlias = Callable[[int, int], Samples]
"""(start, end) -> those samples of the stream; zeros from before its start or the last jump."""


class Verifier:
    """Joins smoothed scores with those of a second model, called where a keyword is a candidate.

    A keyword is a candidate at a hop whose smoothed score reaches its candidate level, and for
    `hold_s` after it. In such a stretch the model is called every `every_s`, at most once a hop,
    on the `window` samples that end with the hop: what was withheld by a gate too, zeros from
    before a jump. The mean of its last `calls` log-odds and the highest first score within
    `hold_s` make the score that is compared; elsewhere that is 0. Where so many calls refuse every
    candidate, none is made for `rest_s`, or until the first score of one has risen by `rise`. Where
    a call fails, or the limit of calls is reached, the first stage decides at its own threshold,
    until so many calls were made again. All of it is counted in audio time: however the audio is
    cut, the same comes out. Lost audio leaves no trace, but the limit of calls runs on over it.
    Events are known up to (calls - 1) * every_s later than the first stage's.

    cards: of the first-stage models. audio: gives the samples of the stream.
    """

    latency = 0

    def __init__(
        self,
        config: VerifierConfig,
        cards: Sequence[card.Card],
        audio: Audio,
        roles: Mapping[str, str],
        thresholds: Mapping[str, float],
    ) -> None:
        rate, timing = cards[0].sample_rate, config.timing
        hop = min(one.hop for one in cards)
        self._model, self._audio, self._rate = config.model, audio, rate
        self._window = config.model.card.window
        self._shifts = [timing.shifts.get(name, 0.0) for name in config.model.labels]
        self._every = max(1, round(timing.every_s * rate / hop)) * hop
        self._hold = round(timing.hold_s * rate)
        self._calls, self._rest = timing.calls, round(timing.rest_s * rate)
        self._limit = max(1, round(timing.calls_per_s * LIMIT_S))
        self._keywords = [
            None if rules is None else FusedKeywords(config, one, rules)
            for rules, one in zip(config.rules, cards, strict=True)
        ]
        self._jumps = JumpDetector(len(cards))
        self._opinions: deque[NDArray[np.float64]] = deque(maxlen=self._calls)
        self.configure(roles, thresholds)
        self.reset()

    def configure(self, roles: Mapping[str, str], thresholds: Mapping[str, float]) -> None:
        """Judge these keywords, with these thresholds, from the next hop on."""
        for keywords in self._present:
            keywords.configure(roles, thresholds)
        self._last = max((keywords.last for keywords in self._present), default=NEVER)

    @property
    def _present(self) -> list[FusedKeywords]:
        return [keywords for keywords in self._keywords if keywords is not None]

    def reset(self) -> None:
        """Forget everything heard so far."""
        self._jumps.reset()
        self.stats = VerifierStats()
        self._failed = False
        self._made: deque[int] = deque()  # where the calls within LIMIT_S ended
        self._active = self._fired = self._blind = self._resting = False
        self._due = 0
        self._forget()

    def _forget(self) -> None:
        for keywords in self._present:
            keywords.forget()
        self._last = NEVER
        if self._active:
            self._end()

    def _count(self, name: str) -> None:
        self.stats = replace(self.stats, **{name: getattr(self.stats, name) + 1})

    def process(self, hops: Sequence[Scores]) -> list[Scores | VerifierFailed]:
        """Return the scores of hops that end together, their `smoothed` as it is compared."""
        out: list[Scores | VerifierFailed] = []
        alone(self.steps(hops, out))
        return out

    def steps(self, hops: Sequence[Scores], out: list[Scores | VerifierFailed]) -> Steps:
        """Find the same, in steps."""
        now = hops[0].end
        for hop in hops:
            if self._jumps.jumped(hop):
                self._forget()
            keywords = self._keywords[hop.model]
            if keywords is not None and keywords.take(_smoothed(hop), now):
                self._last = now
        if now - self._last > self._hold:
            if self._active:
                self._end()
        else:
            if not self._active:
                self._begin(now)
            if now >= self._due or (self._resting and self._risen(now)):
                self._resting = False
                self._due = now + self._every
                yield from self._call(now, out)
        out += [self._join(hop) for hop in hops]

    def _risen(self, now: int) -> bool:
        return any(keywords.risen(now) for keywords in self._present)

    def _begin(self, now: int) -> None:
        self._count("candidates")
        self._active, self._due = True, now
        self._fired = self._blind = self._resting = False
        self._opinions.clear()

    def _end(self) -> None:
        self._active = self._resting = False
        if not self._fired:
            self._count("refused")

    def _call(self, now: int, out: list[Scores | VerifierFailed]) -> Steps:
        """Call the model, if the limit allows it."""
        while self._made and now - self._made[0] >= LIMIT_S * self._rate:
            self._made.popleft()
        if len(self._made) >= self._limit:
            self._count("skipped")
            self._without()
            return
        self._made.append(now)
        self._count("calls")
        audio = self._audio(now - self._window, now)[np.newaxis]
        try:
            scores, _ = yield Run(self._model, audio, [])
            if not np.isfinite(scores).all():
                raise ArithmeticError("its scores are not finite")
        except Exception as error:  # noqa: BLE001 - whatever fails, the first stage can decide
            self._count("failures")
            self._without()
            if not self._failed:
                self._failed = True
                path = self._model.path
                what = str(error).removeprefix(f"{path}: ")
                reason = " ".join(f"{path.name}: {what}".split())[:200]
                out.append(VerifierFailed(reason, now / self._rate))
        else:
            self._opinions.append(log_odds(unshifted(scores[0], self._shifts)))
            if self.judging and self._rest:
                opinion = np.mean(self._opinions, axis=0)
                refused = [keywords.refuse(opinion, now) for keywords in self._present]
                if all(refused):
                    self._resting, self._due = True, now + self._rest

    def _without(self) -> None:
        """Let the first stage decide, until there are calls enough again."""
        self._opinions.clear()
        self._blind = True

    @property
    def judging(self) -> bool:
        """Whether calls enough were made to judge what is said now."""
        return self._active and len(self._opinions) == self._calls

    def _join(self, hop: Scores) -> Scores:
        keywords = self._keywords[hop.model]
        if keywords is None:
            return hop
        compared = _smoothed(hop).copy()
        compared[keywords.columns] = 0
        if self._active and (self.judging or self._blind):
            near = keywords.near(hop.end)
            if self.judging:
                scores = keywords.joined(np.mean(self._opinions, axis=0))
            else:
                scores = keywords.alone().astype(np.float64)
            compared[keywords.columns[near]] = scores[near]
        return replace(hop, smoothed=compared)

    def fired(self, keyword: str) -> None:
        """Note that a keyword fired at the hop at hand."""
        if self._active and any(keyword in keywords.names for keywords in self._present):
            if self.judging:
                self._count("verified")
            self._fired = True


def _smoothed(hop: Scores) -> Samples:
    return hop.values if hop.smoothed is None else hop.smoothed


def unshifted(scores: Samples, shifts: Sequence[float]) -> Samples:
    """Return softmax scores [labels] as they were before their logits were shifted by so much."""
    if not any(shifts):
        return scores
    weighted = scores * np.exp(-np.asarray(shifts, np.float32))
    found: Samples = weighted / weighted.sum()
    return found
