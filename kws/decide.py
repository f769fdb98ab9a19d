"""Decision: scores -> which keyword was said, once an utterance."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from kws import card
from kws.flow import KeywordStuck, Scores
from kws.jumps import JumpDetector

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
    candidate: float | None = None  # where a verifier judges it: its candidate level
    hold: int = 0  # and how long a candidate's word is waited for
    role: str = ""  # empty: switched off
    threshold: float = 1.0
    score: float = 0.0  # as compared
    high: int = NEVER  # end of the last hop that stood at the re-arm level or over it
    rising: int = NEVER  # end of the last hop that belongs to the word at hand
    peak: float = 0.0  # the highest raw score of that word, and its hop's end
    peak_end: int = 0
    last: int = 0  # end of the last hop
    stuck: bool = False

    def take(self, raw: float, compared: float, end: int) -> None:
        """Note a hop's raw score, and the one that is compared."""
        if self.last - self.rising > self.hold:
            self.peak = 0.0  # it had fallen: what rises now is another word
        if raw > self.peak:
            self.peak, self.peak_end = raw, end
        level = self.threshold / 2
        # Raw scores count too: smoothing may hide that the word still goes on. A verifier's
        # threshold says nothing about them.
        if max(raw, compared) >= level if self.candidate is None else compared >= level:
            self.high = self.rising = end
        elif self.candidate is not None and raw >= self.candidate:
            self.rising = end
        self.score, self.last = compared, end

    def forget(self) -> None:
        """Start anew."""
        self.score, self.high, self.last, self.stuck = 0.0, NEVER, 0, False
        self.rising, self.peak = NEVER, 0.0

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


class Decision:
    """Compares, fires once an utterance, arms again. Pure logic on audio time.

    It compares what smoothing and verification made of the scores. cards: of the models whose
    scores come in, by their index. roles: `keyword` or `wake` for every armed keyword; the others
    compete as background. rules: replace the cards' decision parameters. locate: places a word;
    None: it ends with its peak hop. wake: keywords count only if they end within the window that
    begins at a wake word's end. candidates: for every keyword that a verifier judges, the level
    from which the first stage's score proposes it; hold_s: how long that is waited for.
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
        candidates: Mapping[str, float] | None = None,
        hold_s: float = 0.0,
    ) -> None:
        rules = rules or [one.decision for one in cards]
        self._rate, self._wake, self._locate = cards[0].sample_rate, wake, locate or _at_the_peak
        self._release = max(1, self._samples(max(rule.release_s for rule in rules)))
        self._stuck = self._samples(max(rule.stuck_s for rule in rules))
        levels, hold = candidates or {}, self._samples(hold_s)
        self._tracks = []
        for model, (rule, one) in enumerate(zip(rules, cards, strict=True)):
            refractory, window = self._samples(rule.refractory_s), self._samples(rule.wake_window_s)
            for column, label in enumerate(one.labels):
                if label.role != "background":
                    level = levels.get(label.name)
                    waits = 0 if level is None else hold
                    self._tracks.append(
                        _Track(label.name, model, column, refractory, window, level, waits)
                    )
        self._jumps = JumpDetector(len(cards))
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
        self._jumps.reset()
        # Wake words first: a command may be known in the same hop as the word that allows it.
        self._roles = {"wake": _Role(), "keyword": _Role()}
        for track in self._tracks:
            track.forget()

    @property
    def scores(self) -> dict[str, float]:
        """The armed keywords' scores at the last hop, as they were compared."""
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
        if self._jumps.jumped(hop):
            self._jump()
        raw = hop.values.tolist()
        compared = raw if hop.smoothed is None else hop.smoothed.tolist()
        for track in self._tracks:
            if track.model == hop.model:
                track.take(raw[track.column], compared[track.column], hop.end)

    def _jump(self) -> None:
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
            if track.candidate is not None:
                track.rising = NEVER  # what rises from here on is another word
            return [Fired(track.name, role, track.score, track.threshold, start, end, now)]
        return []

    def _woken(self, end: int) -> bool:
        return self._roles["wake"].end < end <= self._roles["wake"].listens


def _at_the_peak(_: str, peak: int, after: int) -> tuple[int, int]:
    return max(after, peak), max(after, peak)
