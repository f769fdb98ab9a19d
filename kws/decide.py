"""Decision: scores -> which keyword was said, once an utterance."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from kws import card
from kws.flow import KeywordStuck, Samples, Scores

NEVER = -(1 << 62)

Locate: TypeAlias = Callable[[str, int, int], tuple[int, int]]
"""(keyword, end of the hop whose score peaked, where the role's last word ended) -> the word's
start and end, absolute samples."""


@dataclass(frozen=True, slots=True)
class Fired:
    """A keyword passed its threshold. `start`, `end`: where it lies; `at`: the hop's end."""

    keyword: str
    role: str
    score: float
    threshold: float
    start: int
    end: int
    at: int


@dataclass(slots=True)
class _Track:
    """One keyword of one model, and what is known of it."""

    name: str
    model: int
    column: int
    refractory: int
    wake_window: int
    role: str = ""  # empty: switched off
    threshold: float = 1.0
    score: float = 0.0  # smoothed
    high: int = NEVER  # end of the last hop that stood at the re-arm level or over it
    peak: float = 0.0  # the highest raw score since then, and its hop's end
    peak_end: int = 0
    last: int = 0  # end of the last hop
    stuck: bool = False

    def take(self, raw: float, smooth: float, end: int) -> None:
        """Note a hop's raw and smoothed score."""
        if self.high != self.last:
            self.peak = 0.0  # it had fallen: what rises now is another word
        if raw > self.peak:
            self.peak, self.peak_end = raw, end
        # Raw scores count too: smoothing may hide that the word still goes on.
        if max(raw, smooth) >= self.threshold / 2:
            self.high = end
        self.score, self.last = smooth, end

    def forget(self) -> None:
        """Start anew."""
        self.score, self.high, self.last, self.stuck = 0.0, NEVER, 0, False
        self.peak = 0.0

    def fallen(self, release: int) -> bool:
        """Tell whether it has stayed under its re-arm level for so many samples."""
        return self.last - self.high >= release


@dataclass(slots=True)
class _Role:
    """What the keywords of one role share."""

    waiting: bool = False  # for all keywords to fall
    fired: int = NEVER  # end of the hop of the last event
    quiet: int = NEVER  # end of its refractory
    end: int = NEVER  # where its word ended
    listens: int = NEVER  # end of the wake window that it opened


class _Smoothing:
    """The mean of one model's scores over its last hops; zeros before the start and a jump."""

    def __init__(self, hops: int, labels: int) -> None:
        self._last = np.zeros((hops, labels), np.float32)
        self.expected: int | None = None

    def clear(self) -> None:
        """Forget the scores."""
        self._last[:] = 0

    def process(self, values: Samples) -> Samples:
        """Take a hop's scores [labels]; return the smoothed ones."""
        if len(self._last) == 1:
            return values
        self._last[:-1] = self._last[1:]
        self._last[-1] = values
        mean: Samples = np.add.reduce(self._last) / np.float32(len(self._last))
        return mean


class Decision:
    """Smooths, compares, fires once an utterance, arms again. Pure logic on audio time.

    cards: of the models whose scores come in, by their index. roles: `keyword` or `wake` for
    every armed keyword; the others compete as background. rules: replace the cards' decision
    parameters. locate: places a word; None: it ends with its peak hop. wake: keywords count
    only if they end within the window that begins at a wake word's end.
    """

    latency = 0

    def __init__(
        self,
        cards: Sequence[card.Card],
        roles: Mapping[str, str],
        thresholds: Mapping[str, float],
        *,
        rules: Sequence[card.Decision] | None = None,
        locate: Locate | None = None,
        wake: bool = False,
    ) -> None:
        rules = rules or [one.decision for one in cards]
        self._rate, self._wake, self._locate = cards[0].sample_rate, wake, locate or _at_the_peak
        self._release = max(1, self._samples(max(rule.release_s for rule in rules)))
        self._stuck = self._samples(max(rule.stuck_s for rule in rules))
        self._smoothings, self._tracks = [], []
        for model, (rule, one) in enumerate(zip(rules, cards, strict=True)):
            hops = max(1, round(rule.smoothing_s * one.sample_rate / one.hop))
            self._smoothings.append(_Smoothing(hops, len(one.labels)))
            refractory, window = self._samples(rule.refractory_s), self._samples(rule.wake_window_s)
            self._tracks += [
                _Track(label.name, model, column, refractory, window)
                for column, label in enumerate(one.labels)
                if label.role != "background"
            ]
        self.configure(roles, thresholds)
        self.reset()

    def _samples(self, seconds: float) -> int:
        return round(seconds * self._rate)

    def configure(
        self,
        roles: Mapping[str, str],
        thresholds: Mapping[str, float],
        free: frozenset[str] = frozenset(),
    ) -> None:
        """Arm these keywords, with these thresholds, from the next hop on.

        free: commands that count without a wake word.
        """
        self._free = free
        for track in self._tracks:
            track.role = roles.get(track.name, "")
            track.threshold = thresholds.get(track.name, 1.0)

    def reset(self) -> None:
        """Forget everything heard so far."""
        self._jumped: int | None = None
        # Wake words first: a command may be known in the same hop as the word that allows it.
        self._roles = {"wake": _Role(), "keyword": _Role()}
        for smoothing in self._smoothings:
            smoothing.clear()
            smoothing.expected = None
        for track in self._tracks:
            track.forget()

    @property
    def scores(self) -> dict[str, float]:
        """The armed keywords' smoothed scores at the last hop: the ones that were compared."""
        scores: dict[str, float] = {}
        for track in self._tracks:
            if track.role:
                scores[track.name] = max(track.score, scores.get(track.name, 0.0))
        return scores

    def process(self, hops: Sequence[Scores]) -> list[Fired | KeywordStuck]:
        """Take the scores of every model whose hop ends at this sample; return what that means."""
        now = hops[0].end
        for hop in hops:
            self._take(hop)
        out: list[Fired | KeywordStuck] = []
        for role, state in self._roles.items():
            tracks = [track for track in self._tracks if track.role == role]
            out += self._arm(state, tracks, now)
            out += self._fire(role, state, tracks, now)
        return out

    def _take(self, hop: Scores) -> None:
        smoothing = self._smoothings[hop.model]
        if smoothing.expected not in (None, hop.start):
            self._jump(hop.start)
        smoothing.expected = hop.end
        raw, smooth = hop.values.tolist(), smoothing.process(hop.values).tolist()
        for track in self._tracks:
            if track.model == hop.model:
                track.take(raw[track.column], smooth[track.column], hop.end)

    def _jump(self, start: int) -> None:
        # Every model meets the same jump, each at its own first hop after it.
        if start == self._jumped:
            return
        self._jumped = start
        for smoothing in self._smoothings:
            smoothing.clear()
        for track in self._tracks:
            track.forget()
        for state in self._roles.values():
            state.waiting = False

    def _arm(self, state: _Role, tracks: list[_Track], now: int) -> list[KeywordStuck]:
        """Arm a role again when all its keywords have fallen, or have stood for too long."""
        for track in tracks:
            track.stuck = track.stuck and not track.fallen(self._release)
        if not state.waiting:
            return []
        high = [t for t in tracks if not t.stuck and not t.fallen(self._release)]
        if high and now - state.fired < self._stuck:
            return []
        state.waiting = False
        for track in high:
            track.stuck = True
        return [KeywordStuck(track.name, now / self._rate) for track in high]

    def _fire(self, role: str, state: _Role, tracks: list[_Track], now: int) -> list[Fired]:
        if state.waiting or now < state.quiet:
            return []
        passing = [t for t in tracks if not t.stuck and t.score >= t.threshold]
        passing.sort(key=lambda track: track.threshold - track.score)
        for track in passing:
            start, end = self._locate(track.name, track.peak_end, state.end)
            if role == "wake":
                state.listens = end + track.wake_window
            elif self._wake and not (track.name in self._free or self._woken(end)):
                continue
            state.waiting, state.fired, state.end = True, now, end
            state.quiet = now + track.refractory
            return [Fired(track.name, role, track.score, track.threshold, start, end, now)]
        return []

    def _woken(self, end: int) -> bool:
        return self._roles["wake"].end < end <= self._roles["wake"].listens


def _at_the_peak(_: str, peak: int, after: int) -> tuple[int, int]:
    return max(after, peak), max(after, peak)
