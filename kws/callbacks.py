"""Callbacks: who is told of which event."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar, get_args

from kws.errors import ConfigError
from kws.flow import Detection, Event

Callback = TypeVar("Callback", bound=Callable[[Any], object])


class Callbacks:
    """Functions by keyword or by class of event, called in the order of events."""

    def __init__(self) -> None:
        self._kept: dict[str | type, list[Callable[[Any], object]]] = {}

    def keep(self, what: str | type) -> Callable[[Callback], Callback]:
        """Return a decorator that keeps a function for a keyword or a class of event.

        Raises ConfigError: it is neither, and would never be called.
        """
        if not isinstance(what, str) and what not in get_args(Event):
            raise ConfigError(
                f"{getattr(what, '__name__', what)!r} is neither a keyword nor a class of event; "
                'write @spotter.on("yes") or @spotter.on(kws.AudioLost)'
            )

        def decorate(callback: Callback) -> Callback:
            self._kept.setdefault(what, []).append(callback)
            return callback

        return decorate

    def tell(self, events: Iterable[Event]) -> None:
        """Call what was kept for each event."""
        if not self._kept:
            return
        for event in events:
            if isinstance(event, Detection):
                for callback in self._kept.get(event.keyword, ()):
                    callback(event)
            for callback in self._kept.get(type(event), ()):
                callback(event)
