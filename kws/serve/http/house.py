"""House: what the routes may know and do of the daemon."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from kws.keyword_levels import LevelRequest
from kws.serve.audience import Audience
from kws.serve.build import Built
from kws.serve.ears import Ears
from kws.serve.feed import Feed
from kws.serve.http.settings import Http
from kws.serve.http.shelf import Shelf
from kws.serve.http.worker import Worker
from kws.serve.retune import Retuned
from kws.serve.streams import Streams
from kws.session import Model
from kws.sinks import Fact, Heard, Lost, OnOff


@dataclass
class House:
    """built: what hears now; a new config exchanges it. words, losses: counts since the start.

    retune: lets thresholds hold. shelf: what was heard last.
    """

    ears: Ears
    audience: Audience
    playback: OnOff
    built: Built
    retune: Callable[[LevelRequest], Future[Retuned]]
    feed: Feed = field(default_factory=Feed)
    shelf: Shelf = field(default_factory=Shelf)
    words: Counter[tuple[str, str]] = field(default_factory=Counter)
    losses: Counter[str] = field(default_factory=Counter)
    classifying: Worker = field(default_factory=lambda: Worker("classify"))
    reading: Worker = field(default_factory=lambda: Worker("read"))
    streams: Streams = field(default_factory=Streams)

    @property
    def models(self) -> list[Model]:
        """What hears."""
        return self.built.models

    @property
    def settings(self) -> Http:
        """What the config says of all this."""
        return self.built.config.http or Http()

    @property
    def live(self) -> Feed:
        """What happens, and what the microphones hear at this moment."""
        return self.ears.live

    @property
    def is_full(self) -> bool:
        """Whether streams take half of all connections, so that no more may come."""
        following = self.feed.followers + self.live.followers
        return following >= max(1, self.settings.connections // 2)

    def tell(self, fact: Fact) -> None:
        """Count what happened, and tell who follows. From any thread."""
        if isinstance(fact, Heard):
            self.words[fact.microphone or "", fact.keyword] += 1
            self.shelf.put(fact)
        elif isinstance(fact, Lost):
            self.losses[fact.microphone or ""] += 1
        self.feed.tell(fact)
        self.live.tell(fact)

    def end_streams(self) -> None:
        """Let all who follow go. From any thread."""
        self.feed.close()
        self.live.close()
