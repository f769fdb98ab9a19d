"""Build: what a config says becomes models and spotters; nothing is opened that listens."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from pathlib import Path

from kws import selftest
from kws.card import replace
from kws.errors import ConfigError
from kws.home import expanded
from kws.serve import logs
from kws.serve.config import Config, Microphone
from kws.serve.config import Model as Wanted
from kws.serve.where import about
from kws.session import Model, load
from kws.sinks import Keyword
from kws.spotter import Spotter
from kws.terminal.pace import at_bearable_pace
from kws.thresholds import Overrides, Settings, find_roles, known, merge, read_overrides

Words = dict[str, tuple[Keyword, str]]


@dataclass(frozen=True)
class Built:
    """What hears: the models, and for each keyword how it is said and whose it is.

    levels: the thresholds that hold now; kept: the file where they are kept; overrides: what it
    said when it was read.
    """

    config: Config
    models: list[Model]
    words: Words
    kept: Path
    levels: dict[str, float]
    overrides: Overrides

    def spotter(self, microphone: Microphone) -> Spotter:
        """Return a new spotter for a microphone. Raises ConfigError."""
        listen = self.config.listen
        return Spotter(
            self.models,
            keywords=_keywords(self.config, self.models),
            threshold=self.levels,
            wake=listen.wake or None,
            gate=listen.gate or None,
            channel=microphone.channel,
            overrides=self.overrides,
        )

    @property
    def fixed(self) -> list[str]:
        """The words whose thresholds the config itself sets, whatever a file says."""
        return sorted(_levels(self.config, self.models))

    @property
    def keywords(self) -> tuple[Keyword, ...]:
        """What is listened for."""
        return tuple(keyword for keyword, _ in self.words.values())


def build(config: Config, path: Path | None = None) -> Built:
    """Load the models, and see that spotters can be made. Raises ConfigError, ModelError.

    path: the config's, beside which thresholds are kept unless it names another place.
    """
    with about("record", "folder"):
        expanded(config.record.folder)
    models = [_model(number, wanted) for number, wanted in enumerate(config.model)]
    words, kept = _words(config, models), _kept(config, path)
    overrides = _overrides(config, kept)
    levels = _settled(config, models, overrides)
    built = Built(config, models, words, kept, levels, overrides)
    for microphone in config.microphone:
        with about("listen", "gate"):  # all else was tried before
            spotter = built.spotter(microphone)
        with about("playback", "live"):
            spotter.playback(on=True, live=config.playback.live)
    return built


def _model(number: int, wanted: Wanted) -> Model:
    with about("model", number, "path"):
        return _tested(at_bearable_pace(load(expanded(wanted.path) if wanted.path else None)))


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
    armed = _keywords(config, models)
    with about("listen", "wake"):
        roles = find_roles(cards, armed, wake)
    _levels(config, models)
    words: Words = {}
    for number, model in enumerate(models):
        for label in model.card.keywords:
            if label.name in words:
                with about("model", number):
                    raise ConfigError(f"two models know {label.name!r}; leave one of them out")
            if label.name in roles:
                word = Keyword(label.name, roles[label.name], label.phrase or label.name)
                words[label.name] = word, model.card.name or model.path.stem
    return words


def _kept(config: Config, path: Path | None) -> Path:
    """Return the file where thresholds are kept: the config's own name tells it from others."""
    with about("listen", "overrides"):
        if config.listen.overrides:
            return expanded(config.listen.overrides)
    return Path("kws.thresholds.json") if path is None else path.with_suffix(".thresholds.json")


def _overrides(config: Config, kept: Path) -> Overrides:
    """Read the override file that holds, if there is one yet: it may change at any moment."""
    with about("listen", "overrides"):
        return read_overrides(kept if config.listen.overrides or kept.exists() else None)


def _settled(config: Config, models: list[Model], overrides: Overrides) -> dict[str, float]:
    """Return the thresholds that hold: the config's, else the override file's, else the cards'."""
    with about("listen", "overrides"):
        return Settings(
            [model.card for model in models],
            keywords=_keywords(config, models),
            wake=config.listen.wake or None,
            threshold=_levels(config, models) or None,
            overrides=overrides,
        ).levels


def _keywords(config: Config, models: list[Model]) -> list[str] | None:
    """Return which words are armed; None: all."""
    if not any(each.keywords for each in config.model):
        return None
    armed: list[str] = []
    for number, (each, model) in enumerate(zip(config.model, models, strict=True)):
        there = [label.name for label in model.card.keywords]
        with about("model", number, "keywords"):
            armed += known(each.keywords, there, "keyword") if each.keywords else there
    return armed


def _levels(config: Config, models: list[Model]) -> dict[str, float]:
    """Return the thresholds that the config sets."""
    levels: dict[str, float] = {}
    for number, (each, model) in enumerate(zip(config.model, models, strict=True)):
        roles = find_roles([model.card], each.keywords or None)
        with about("model", number, "thresholds"):
            known(each.thresholds, roles, "keyword")
        with about("model", number, "false_alarms"):
            levels |= _own(each, model, roles)
    return levels


def _own(wanted: Wanted, model: Model, roles: dict[str, str]) -> dict[str, float]:
    if wanted.false_alarms is None:
        return wanted.thresholds
    return merge([model.card], roles, false_alarms=wanted.false_alarms, threshold=wanted.thresholds)
