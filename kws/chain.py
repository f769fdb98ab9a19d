"""Chain: resampler, gate, classifiers, verifier and decision joined; itself a stage."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from kws import card
from kws.block_sizes import BlockSizes, block_sizes
from kws.classifiers import Classifier, classifier
from kws.decide import Decision, Fired
from kws.errors import ConfigError
from kws.flow import Block, Detection, Event, Scores, Stage, VerifierFailed, VerifierStats
from kws.gate import Gate
from kws.gates import detector
from kws.levels import power_db
from kws.locate import Locator
from kws.resample import Channel, Resampler
from kws.ring import cut
from kws.session import Model
from kws.smoothing import Smoothing
from kws.steps import Run, Steps, alone
from kws.thresholds import Settings
from kws.verifier import Verifier

if TYPE_CHECKING:
    from kws.verification import VerifierConfig

PREROLL_S = 0.3
"""What the gate delivers from before a voice, besides a window; what comes before a word."""
HANGOVER_S = 0.3
"""What the gate delivers after a voice, besides latency and smoothing; more if the card says so."""
REACH_S = 3.0
"""How much of the past is kept at least."""
LENGTH_S = 0.6
"""A keyword's length, where the card doesn't know it."""
GRID_S = 2.0
"""The longest common multiple of several models' hops."""


class Chain:
    """Blocks at any rate in, events out: what one stream remembers.

    gate: its name; None is what the cards say. verify: the verifier, if there is one. classify:
    makes the classifier for a model and its index. Raises ConfigError.
    """

    def __init__(
        self,
        models: Sequence[Model],
        settings: Settings,
        *,
        gate: str | None = None,
        channel: Channel = None,
        verify: VerifierConfig | None = None,
        classify: Callable[[Model, int], Classifier] = classifier,
    ) -> None:
        cards = [model.card for model in models]
        self.rate = _one_rate(cards)
        self._latency = max(one.behind for one in cards)
        self.smoothing = round(max(rule.smoothing_s for rule in settings.rules) * self.rate)
        self._resampler = Resampler(self.rate, channel=channel)
        self._waits = 0 if verify is None else round(verify.delay_s * self.rate)
        behind = self._latency + self.smoothing + self._waits
        looks = 0 if verify is None else verify.model.card.window
        self.gate = _gate(models, gate, behind, looks)
        self._classifiers = [classify(model, index) for index, model in enumerate(models)]
        self.hop = max(stage.hop for stage in self._classifiers)
        self._locate = _locator(cards, self.gate)
        self._models = models
        self._smoothing = Smoothing(cards, settings.rules)
        roles, levels = settings.roles, settings.levels
        self._verifier = (
            None if verify is None else Verifier(verify, cards, self.gate.view, roles, levels)
        )
        self.decision = Decision(
            cards,
            roles,
            levels,
            rules=settings.rules,
            locate=self._locate,
            wake=settings.needs_wake,
            candidates=verify.candidates if verify else None,
            hold_s=verify.timing.hold_s if verify else 0.0,
        )
        self._stages: list[Stage[Any, Any]] = [self._resampler, self.gate, self._smoothing]
        self._stages += [*self._classifiers, self.decision]
        self._stages += [] if self._verifier is None else [self._verifier]

    def configure(self, settings: Settings) -> None:
        """Arm what the settings say, from the next hop on."""
        roles, levels = settings.roles, settings.levels
        self.decision.configure(roles, levels, settings.free)
        if self._verifier is not None:
            self._verifier.configure(roles, levels)

    def reset(self) -> None:
        """Forget everything heard so far."""
        for stage in self._stages:
            stage.reset()

    def jump(self) -> None:
        """Treat the next block as one after lost audio, wherever it begins."""
        self._resampler.jump()

    @property
    def latency(self) -> int:
        """How far the scores may lie behind the input, in samples at the models' rate.

        Smoothing comes on top before an event is known, and a verifier's calls but the first.
        """
        slowest = max(stage.latency for stage in self._classifiers)
        return self._resampler.latency + self.gate.latency + slowest

    def block_sizes(self, rate: int) -> BlockSizes:
        """Return the sizes of blocks at `rate` Hz with which no hop waits for the next block."""
        hops = [stage.hop for stage in self._classifiers]
        delay = self._resampler.latency_at(rate)
        if any(hop % (self.gate.latency + 1) for hop in hops):  # it ends within a frame
            delay += self.gate.latency
        return block_sizes(hops, self.rate, rate, delay)

    @property
    def ending(self) -> int:
        """The silence that makes a stream's last word known, in samples at the models' rate."""
        return self.latency + self.smoothing + self._waits + 2 * self.hop

    @property
    def scores(self) -> dict[str, float]:
        """The armed keywords' scores at the last hop, as they were compared."""
        return self.decision.scores

    @property
    def verifier_stats(self) -> VerifierStats | None:
        """What the verifier has done; None where there is none."""
        return None if self._verifier is None else self._verifier.stats

    @property
    def inferences(self) -> int:
        """How often a model was run, but for the verifier."""
        return sum(stage.inferences for stage in self._classifiers)

    @property
    def level_db(self) -> float:
        """RMS level of the last block in dBFS, -120 at least."""
        return power_db(self._resampler.power)

    def process(self, block: Block) -> list[Event]:
        """Return what became known, in order."""
        out: list[Event] = []
        alone(self.steps(block, out))
        return out

    def steps(self, block: Block, out: list[Event]) -> Steps:
        """Find the same, in steps."""
        gate = self.gate
        for mono in self._resampler.process(block):
            for piece in cut(mono, gate.most):
                out += gate.push(piece)
                # A frame at a time: what is known then does not depend on how the audio was cut.
                while items := gate.next():
                    if isinstance(items, Run):
                        items = gate.told((yield items))
                    for item in items:
                        if isinstance(item, Block):
                            scores: list[Scores] = []
                            for stage in self._classifiers:
                                yield from stage.steps(item, scores)
                            yield from self._decide(scores, item, out)
                        else:
                            out.append(item)

    def _decide(self, scores: list[Scores], block: Block, out: list[Event]) -> Steps:
        scores.sort(key=_end)
        for _, together in groupby(scores, _end):
            hops = self._smoothing.process(list(together))
            if self._verifier is not None:
                verified: list[Scores | VerifierFailed] = []
                yield from self._verifier.steps(hops, verified)
                hops = [item for item in verified if isinstance(item, Scores)]
                out += [item for item in verified if isinstance(item, VerifierFailed)]
            out += hops
            for found in self.decision.process(hops):
                if self._verifier is not None and isinstance(found, Fired):
                    self._verifier.fired(found.keyword)
                out.append(self._detection(found, block) if isinstance(found, Fired) else found)

    def _detection(self, fired: Fired, block: Block) -> Detection:
        begin = max(fired.start - round(PREROLL_S * self.rate), self.gate.since)
        wall = block.wall_time
        model = next(one for one in self._models if fired.keyword in one.keywords)
        label = next(each for each in model.card.keywords if each.name == fired.keyword)
        return Detection(
            keyword=fired.keyword,
            score=fired.score,
            threshold=fired.threshold,
            start=fired.start,
            end=fired.end,
            time=block.end,
            rate=self.rate,
            level_db=self._locate.level_db(fired.start, fired.end),
            audio=self.gate.ring.view(begin, fired.end).copy(),
            audio_start=begin,
            role=fired.role,
            wall_time=None if wall is None else wall + (block.end - block.start) / self.rate,
            phrase=label.phrase or label.name,
            model=model.name,
        )


_end = attrgetter("end")


def _one_rate(cards: Sequence[card.Card]) -> int:
    rates = {one.sample_rate for one in cards}
    if len(rates) > 1:
        raise ConfigError(f"the models hear at different rates, {sorted(rates)} Hz; take one rate")
    return rates.pop()


def _gate(models: Sequence[Model], name: str | None, behind: int, looks: int) -> Gate:
    """Make the gate that all models share.

    name: None is that of the first model, but `none` where the labels of any of them aren't speech.
    behind: how late events are known; looks: the verifier's window; both in samples.
    """
    cards = [model.card for model in models]
    rate = cards[0].sample_rate
    asked = [one.gate.name for one in cards]
    name = name or ("none" if "none" in asked else asked[0])
    meant = next((model for model in models if model.card.gate.name == name), None)
    parameters = meant.card.gate.parameters if meant else {}
    hangover = max(one.gate.hangover_s for one in cards)
    grid = math.lcm(*(one.hop for one in cards))
    if grid > GRID_S * rate:
        hops = ", ".join(str(one.hop) for one in cards)
        raise ConfigError(f"the models' hops, {hops} samples, have no common multiple under 2 s")
    preroll = max(one.window for one in cards) + round(PREROLL_S * rate)
    return Gate(
        detector(name, rate, parameters, meant.gate if meant else None),
        preroll=preroll,
        hangover=max(round(hangover * rate), behind + round(HANGOVER_S * rate)),
        grid=grid,
        reach=max(round(REACH_S * rate), preroll + grid + max(rate, looks + rate // 4)),
    )


def _locator(cards: Sequence[card.Card], gate: Gate) -> Locator:
    window: dict[str, int] = {}
    length: dict[str, int] = {}
    for one in cards:
        for label in one.keywords:
            window[label.name] = max(one.window, window.get(label.name, 0))
            length[label.name] = round((label.median_length_s or LENGTH_S) * one.sample_rate)
    return Locator(gate, cards[0].sample_rate, window, length)
