"""Offer: which words others may have heard, and how that is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wyoming.event import Event
from wyoming.info import Attribution, Info, WakeModel, WakeProgram

import kws
from kws.errors import ConfigError
from kws.roles import known
from kws.serve.build import Built
from kws.serve.config import Microphone
from kws.serve.where import about
from kws.spotter import Spotter


@dataclass(frozen=True)
class Offer:
    """What a config offers. info: as it is told."""

    built: Built
    words: tuple[str, ...]
    info: Event

    def asked(self, names: Sequence[str] | None) -> tuple[str, ...]:
        """Return the words that somebody asks for. Raises ConfigError: one is not offered."""
        return tuple(known(names, self.words, "wake word")) if names else self.words

    def spotter(self) -> Spotter:
        """Return a new spotter for a stream."""
        return self.built.spotter(Microphone())


def offer(built: Built) -> Offer:
    """Return what a config with a table [wyoming] offers. Raises ConfigError: nothing."""
    wanted = built.config.wyoming
    commands = wanted is not None and wanted.commands
    words = [word for word in built.keywords if commands or word.role == "wake"]
    if not words:
        with about("wyoming"):
            raise ConfigError(
                "no model has a wake word to offer; with commands = true all words are"
            )
    languages = {
        label.name: model.card.languages for model in built.models for label in model.card.keywords
    }
    ours = Attribution(name="kws", url="")
    models = [
        WakeModel(
            name=word.name,
            attribution=ours,
            installed=True,
            description=word.phrase,
            version=None,
            languages=languages[word.name],
            phrase=word.phrase,
        )
        for word in words
    ]
    program = WakeProgram(
        name="kws",
        attribution=ours,
        installed=True,
        description="kws, the keyword spotter",
        version=kws.__version__,
        models=models,
    )
    return Offer(built, tuple(word.name for word in words), Info(wake=[program]).event())
