"""House: what the routes may know and do of the daemon."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from kws.serve.audience import Audience
from kws.serve.build import Built
from kws.serve.ears import Ears
from kws.serve.http.feed import Feed
from kws.serve.http.settings import Http
from kws.serve.http.worker import Worker
from kws.session import Model
from kws.sinks import Fact, Heard, Lost, OnOff


@dataclass
class House:
    """built: what hears now; a new config exchanges it. words, losses: counts since the start."""

    ears: Ears
    audience: Audience
    playback: OnOff
    built: Built
    feed: Feed = field(default_factory=Feed)
    words: Counter[tuple[str, str]] = field(default_factory=Counter)
    losses: Counter[str] = field(default_factory=Counter)
    classifying: Worker = field(default_factory=lambda: Worker("classify"))
    listening: Worker = field(default_factory=lambda: Worker("listen"))

    @property
    def models(self) -> list[Model]:
        """What hears."""
        return self.built.models

    @property
    def settings(self) -> Http:
        """What the config says of all this."""
        return self.built.config.http or Http()

    def tell(self, fact: Fact) -> None:
        """Count what happened, and tell who follows. From any thread."""
        if isinstance(fact, Heard):
            self.words[fact.microphone, fact.keyword] += 1
        elif isinstance(fact, Lost):
            self.losses[fact.microphone] += 1
        self.feed.tell(fact)
