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
        """Call what was kept for each event; all of it, also where one raises.

        Raises what the first of those raised.
        """
        if not self._kept:
            return
        failures = []
        for event in events:
            called = [*self._kept.get(type(event), ())]
            if isinstance(event, Detection):
                called = [*self._kept.get(event.keyword, ()), *called]
            failures += [failure for one in called if (failure := _call(one, event)) is not None]
        if failures:
            raise failures[0]


class Deferred:
    """Calls back, and keeps what is raised until `raise_first`, so that nothing else is lost by it.

    tell: calls back for events.
    """

    def __init__(self, tell: Callable[[list[Event]], None]) -> None:
        self._tell = tell
        self._failure: Exception | None = None

    def tell(self, events: list[Event]) -> None:
        """Call back."""
        try:
            self._tell(events)
        except Exception as error:  # noqa: BLE001 - it is raised again
            self._failure = error if self._failure is None else self._failure

    def raise_first(self) -> None:
        """Raise what was raised first since this was last called."""
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure


def _call(callback: Callable[[Any], object], event: Event) -> Exception | None:
    """Call back; return what it raised."""
    try:
        callback(event)
    except Exception as error:  # noqa: BLE001 - whoever pushed gets it, when all were called
        return error
    return None
