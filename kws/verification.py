"""Verification: which verifier stands behind the first stages, and what holds for the pair."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TypeAlias

import msgspec

from kws import card
from kws.card import Card
from kws.errors import ConfigError
from kws.keyword_levels import DEFAULT
from kws.session import BUNDLED, Model, load

BUNDLED_VERIFIER = BUNDLED.with_name("verifier.onnx")
CANDIDATE = 0.2
"""The level from which a keyword is a candidate, where the card doesn't say."""


@dataclass(frozen=True)
class VerifierConfig:
    """A verifier beside its first stages.

    model: the verifier. timing: when it is called. rules: how its scores join those of each
    first-stage model, None where it judges none of its keywords. own: the own thresholds of those
    that it judges, at which they decide alone. calibrated: whether the thresholds were found for
    this very pair.
    """

    model: Model
    timing: card.Verification
    rules: Sequence[card.Verification | None]
    own: Mapping[str, float]
    calibrated: bool

    @cached_property
    def candidates(self) -> dict[str, float]:
        """The level of every verified keyword from which it is a candidate.

        No first stage needs more than its own threshold, or it could not decide alone.
        """
        levels: dict[str, float] = {}
        for rules in self.rules:
            for name in self.model.keywords if rules else ():
                level = rules.candidates.get(name, CANDIDATE) if rules else CANDIDATE
                levels[name] = min(level, self.own.get(name, level), levels.get(name, level))
        return {name: level for name, level in levels.items() if name in self.own}

    @property
    def delay_s(self) -> float:
        """How much later than its first stage a verified event can be known."""
        return (self.timing.calls - 1) * self.timing.every_s


AnyVerifier: TypeAlias = "Model | str | os.PathLike[str] | VerifierConfig | None"
"""What may stand for a verifier: see `choose`."""


def choose(
    verify: AnyVerifier, models: Sequence[Model], armed: Iterable[str]
) -> VerifierConfig | None:
    """Return the verifier for these first stages, None where there is none.

    verify: a model, its path, `bundled`, or `none`. None is the bundled one if it is installed,
    and then it judges the keywords of the bundled first stage alone. armed: the armed keywords.
    Raises ModelError: it can't be loaded. ConfigError: it is no window model, hears at another
    rate, knows none of the armed keywords.
    """
    if isinstance(verify, VerifierConfig):
        return verify
    if verify == "none":
        return None
    if verify is None:
        ours = [model.path == BUNDLED for model in models]
        if not any(ours) or not BUNDLED_VERIFIER.is_file():
            return None
        return _config(_bundled(), models, ours)
    if verify == "bundled":
        if not BUNDLED_VERIFIER.is_file():
            raise ConfigError("no verifier is bundled with this kws; give the path of a model file")
        model = _bundled()
    else:
        model = verify if isinstance(verify, Model) else load(verify)
    _check(model, models, list(armed))
    return _config(model, models, [True] * len(models))


@cache
def _bundled() -> Model:
    return load(BUNDLED_VERIFIER)


def _check(model: Model, models: Sequence[Model], armed: Sequence[str]) -> None:
    one, rate = model.card, models[0].card.sample_rate
    if one.kind != "window":
        raise ConfigError(f"{model.path}: a {one.kind} model can't verify; take a window model")
    if one.sample_rate != rate:
        raise ConfigError(
            f"{model.path}: hears at {one.sample_rate} Hz, the first stage at {rate} Hz; take a "
            "verifier of the same rate"
        )
    if not set(model.keywords) & set(armed):
        raise ConfigError(
            f"{model.path}: can't verify {', '.join(armed)}: its keywords are "
            f"{', '.join(model.keywords) or 'none'}"
        )


def _config(model: Model, models: Sequence[Model], judged: Sequence[bool]) -> VerifierConfig:
    found = model.card.verification or card.Verification()
    own: dict[str, float] = {}
    for one in (one for one, judges in zip(models, judged, strict=True) if judges):
        own |= {name: DEFAULT for name in one.keywords if name not in own}
        own |= {name: level.value for name, level in one.card.thresholds.items()}
    fitting = [not found.first_stage or found.first_stage == one.sha256 for one in models]
    rules = [
        (found if fits else _uncalibrated(found)) if judges else None
        for fits, judges in zip(fitting, judged, strict=True)
    ]
    calibrated = bool(found.thresholds) and all(
        fits for fits, judges in zip(fitting, judged, strict=True) if judges
    )
    return VerifierConfig(model, found, rules, own, calibrated)


def _uncalibrated(found: card.Verification) -> card.Verification:
    """Return what holds beside a first stage that nothing was calibrated with."""
    return card.Verification(
        hold_s=found.hold_s,
        every_s=found.every_s,
        calls=found.calls,
        rest_s=found.rest_s,
        rise=found.rise,
        calls_per_s=found.calls_per_s,
    )


def joint_cards(models: Sequence[Model], config: VerifierConfig | None) -> list[Card]:
    """Return the first stages' cards, with the pair's thresholds for what is verified."""
    cards = [model.card for model in models]
    if config is None:
        return cards
    verified = set(config.model.keywords)
    return [
        one if rules is None else _joint(one, rules, verified)
        for one, rules in zip(cards, config.rules, strict=True)
    ]


def _joint(one: Card, rules: card.Verification, verified: set[str]) -> Card:
    own = {label.name for label in one.keywords}
    thresholds = {name: level for name, level in one.thresholds.items() if name not in verified}
    thresholds |= {name: level for name, level in rules.thresholds.items() if name in own}
    points = _points(one.operating_points, own - verified)
    points += _points(rules.operating_points, own & verified)
    after = {name: level for name, level in one.after_wake.items() if name not in verified}
    after |= {name: level for name, level in rules.after_wake.items() if name in own}
    return card.replace(one, thresholds=thresholds, operating_points=points, after_wake=after)


def _points(points: Sequence[card.OperatingPoint], names: set[str]) -> list[card.OperatingPoint]:
    """Return operating points of these keywords alone."""
    found = []
    for point in points:
        levels = {name: level for name, level in point.thresholds.items() if name in names}
        if levels:
            found.append(msgspec.structs.replace(point, thresholds=levels))
    return found
