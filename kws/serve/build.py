"""Build: what a config says becomes models and spotters; nothing is opened that listens."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from dataclasses import replace as replaced
from pathlib import Path

from kws import selftest
from kws.card import Card, replace
from kws.errors import ConfigError, ModelError
from kws.home import expanded
from kws.keyword_levels import LevelRequest, at_rates, by_keyword, one_level_each, shipped
from kws.overrides import Overrides, read_overrides
from kws.roles import find_roles, known
from kws.serve import logs
from kws.serve.config import Config, Microphone
from kws.serve.config import Model as Wanted
from kws.serve.where import about
from kws.session import Model, load
from kws.sinks import Keyword
from kws.spotter import Spotter
from kws.terminal.pace import at_bearable_pace, fit_verifier
from kws.thresholds import Settings, check_words, settle_overrides
from kws.verification import VerifierConfig, choose, joint_cards

Words = dict[str, Keyword]


@dataclass(frozen=True)
class Built:
    """What hears: the models, and for each keyword its role and how it is said.

    settings: the thresholds that hold now; kept: the file where they are kept; overrides: what it
    said when it was read. verifier: what judges the models' finds, in streams from elsewhere as
    well.
    """

    config: Config
    models: list[Model]
    words: Words
    kept: Path
    settings: Settings
    overrides: Overrides
    verifier: VerifierConfig | None = None

    def spotter(self, microphone: Microphone) -> Spotter:
        """Return a new spotter for a microphone. Raises ConfigError."""
        listen, request = self.config.listen, self.settings.request
        return Spotter(
            self.models,
            keywords=_keywords(self.config, [model.card for model in self.models]),
            threshold=request.threshold,
            sensitivity=request.sensitivity,
            false_alarms=request.false_alarms,
            wake=listen.wake or None,
            gate=listen.gate or None,
            channel=microphone.channel,
            overrides=self.overrides,
            verify=self.verifier or "none",
        )

    @property
    def networks(self) -> list[Model]:
        """All that is run: the models, and their verifier."""
        return self.models if self.verifier is None else [*self.models, self.verifier.model]

    @property
    def fixed(self) -> list[str]:
        """The words whose thresholds the config itself sets, whatever a file says."""
        asked = _request(self.config, joint_cards(self.models, self.verifier))
        return sorted({*asked.threshold, *asked.sensitivity, *asked.false_alarms})

    @property
    def keywords(self) -> tuple[Keyword, ...]:
        """What is listened for."""
        return tuple(self.words.values())


def build(config: Config, path: Path | None = None) -> Built:
    """Load the models, and see that spotters can be made. Raises ConfigError, ModelError.

    path: the config's, beside which thresholds are kept unless it names another place.
    """
    with about("record", "folder"):
        expanded(config.record.folder)
    models = [_model(number, wanted) for number, wanted in enumerate(config.model)]
    words, kept = _words(config, models), _kept(config, path)
    with about("listen", "verify"):
        verifier = _verifier(config.listen.verify, models, words)
    cards = joint_cards(models, verifier)
    overrides = _overrides(config, cards, kept)
    built = Built(
        config, models, words, kept, _settled(config, cards, overrides), overrides, verifier
    )
    for microphone in config.microphone:
        with about("listen", "gate"):  # all else was tried before
            spotter = built.spotter(microphone)
        with about("playback", "live"):
            spotter.playback(on=True, live=config.playback.live)
    return built


def _model(number: int, wanted: Wanted) -> Model:
    with about("model", number, "path"):
        return _tested(at_bearable_pace(load(expanded(wanted.path) if wanted.path else None)))


def _verifier(wanted: str, models: list[Model], words: Words) -> VerifierConfig | None:
    path = wanted if wanted in {"bundled", "none"} else expanded(wanted) if wanted else None
    found = fit_verifier(choose(path, models, words))
    return None if found is None else _tested_verifier(found)


def _tested_verifier(verifier: VerifierConfig) -> VerifierConfig:
    """Return the verifier with a self-test; without one where it has none and can't be given any.

    Its calls fail then, and meanwhile the first stage decides alone.
    """
    try:
        return replaced(verifier, model=_tested(verifier.model))
    except ModelError:
        if verifier.model.card.self_test is not None:
            raise
        return verifier


def _tested(model: Model) -> Model:
    """Return the model with a self-test that must hold from now on: its file's.

    Where the file has none, or int8 scores otherwise on this processor: what it gives now.
    """
    off = selftest.deviation(model)
    if off is not None:
        if off <= selftest.TOLERANCE or selftest.is_portable(model.card):
            return model
        logs.say("warning", f"{model.path}: on this processor int8 scores otherwise, by {off:.3f}")
    tested = copy(model)
    tested.card = replace(model.card, self_test=selftest.made(model))
    return tested


def _words(config: Config, models: list[Model]) -> Words:
    """Return what is listened for, having seen that all names and figures make sense."""
    cards, wake = [model.card for model in models], config.listen.wake or None
    armed = _keywords(config, cards)
    with about("listen", "wake"):
        roles = find_roles(cards, armed, wake)
    words: Words = {}
    for number, model in enumerate(models):
        for label in model.card.keywords:
            if label.name in words:
                with about("model", number):
                    raise ConfigError(f"two models know {label.name!r}; leave one of them out")
            if label.name in roles:
                phrase = label.phrase or label.name
                words[label.name] = Keyword(label.name, roles[label.name], phrase)
    return words


def _kept(config: Config, path: Path | None) -> Path:
    """Return the file where thresholds are kept: the config's own name tells it from others."""
    with about("listen", "overrides"):
        if config.listen.overrides:
            return expanded(config.listen.overrides)
    return Path("kws.thresholds.json") if path is None else path.with_suffix(".thresholds.json")


def _overrides(config: Config, cards: list[Card], kept: Path) -> Overrides:
    """Read the override file that holds, if there is one yet: it may change at any moment."""
    with about("listen", "overrides"):
        found = read_overrides(kept if config.listen.overrides or kept.exists() else None)
        settled = settle_overrides(found, cards, config.listen.wake or None, kept)
    check_words(found, cards, kept)
    return settled


def _settled(config: Config, cards: list[Card], overrides: Overrides) -> Settings:
    """Return what holds: what the config says, else the override file, else the cards'."""
    request = _request(config, cards)
    with about("listen", "overrides"):
        return Settings(
            cards,
            keywords=_keywords(config, cards),
            wake=config.listen.wake or None,
            threshold=request.threshold,
            sensitivity=request.sensitivity,
            false_alarms=request.false_alarms,
            overrides=overrides,
        )


def _keywords(config: Config, cards: list[Card]) -> list[str] | None:
    """Return which words are armed; None: all."""
    if not any(each.keywords for each in config.model):
        return None
    armed: list[str] = []
    for number, (each, card) in enumerate(zip(config.model, cards, strict=True)):
        there = [label.name for label in card.keywords]
        with about("model", number, "keywords"):
            armed += known(each.keywords, there, "keyword") if each.keywords else there
    return armed


def _request(config: Config, cards: list[Card]) -> LevelRequest:
    """Return the levels that the config asks for, by keyword. Raises ConfigError."""
    wake = config.listen.wake or None
    roles = find_roles(cards, _keywords(config, cards), wake)
    asked = LevelRequest()
    for number, (each, card) in enumerate(zip(config.model, cards, strict=True)):
        armed = {label.name: roles[label.name] for label in card.keywords if label.name in roles}
        with about("model", number, "thresholds"):
            known(each.thresholds, armed, "keyword")
        with about("model", number, "sensitivity"):
            known(each.sensitivity if isinstance(each.sensitivity, dict) else (), armed, "keyword")
        rates = {} if each.false_alarms is None else dict.fromkeys(armed, each.false_alarms)
        base = shipped([card], armed, after_wake=wake is not None)
        with about("model", number, "false_alarms"):
            at_rates(base, rates)
        own = by_keyword(
            armed, threshold=each.thresholds, sensitivity=each.sensitivity, false_alarms=rates
        )
        with about("model", number, "sensitivity"):
            own = one_level_each(own, base, {name: at.threshold for name, at in base.items()})
        asked = own.over(asked)
    return asked
