"""Sinks: ways out of the daemon, one a file. Each tells what happened to something else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, ClassVar, Protocol, TypeAlias, runtime_checkable

import msgspec

from kws.errors import ConfigError
from kws.event_json import FACTS, Fact, Health, Heard, Keyword, Lost, Playing, Returned

OnOff: TypeAlias = Callable[[bool], None]


__all__ = [
    "FACTS",
    "Around",
    "Fact",
    "Health",
    "Heard",
    "Keyword",
    "Lost",
    "OnOff",
    "Playing",
    "Probing",
    "Retaining",
    "Returned",
    "Sink",
    "make",
    "names",
    "settings",
    "settings_of",
]


@dataclass(frozen=True)
class Around:
    """What a sink may know and do.

    keywords: what is listened for. microphones: their names. playback: tells that the own speaker
    begins or ends to talk. log: writes a line, and takes its level first, `info` or `warning`:
    log("info", "connected"). config: the file that the settings stand in, None where there is
    none.
    """

    keywords: tuple[Keyword, ...]
    microphones: tuple[str, ...]
    playback: OnOff
    log: Callable[[str, str], None]
    config: str | None = None


class Sink(Protocol):
    """A way out. All is called on one thread of its own, so it may take its time; see `close`.

    Made of its module's `Settings` and an `Around`, which raises ConfigError where the settings
    make no sense; nothing is opened yet. wants: which facts it is told unless the user says.
    """

    wants: ClassVar[frozenset[type[Fact]]]

    def start(self) -> None:
        """Open what it needs. Raises SinkError: not now; it is told facts nevertheless."""

    def send(self, fact: Fact, /) -> None:
        """Tell one fact. Raises SinkError: it could not be told, for good."""

    def close(self) -> None:
        """Finish what was begun, in half a second at most.

        Where something takes too long for the end of the daemon, this is called meanwhile, from
        another thread: then it ends what is running.
        """


@runtime_checkable
class Retaining(Protocol):
    """A sink that leaves something elsewhere, which outlives this process."""

    def withdraw(self, others: Sequence[Sink], /) -> None:
        """Take it away at `close`, but for what these put there too. From any thread."""


@runtime_checkable
class Probing(Protocol):
    """A sink of which something can be tried without being noticed."""

    def probe(self) -> None:
        """Try it. Raises SinkError: it does not work now."""


def names() -> list[str]:
    """Return the names of all sinks."""
    return sorted(module.name for module in iter_modules(__path__))


def settings_of(name: str) -> Any:
    """Return a sink's class of `Settings`. Raises ConfigError: there is no such sink."""
    if name not in names():
        raise ConfigError(f"there is no sink {name!r}; there are {', '.join(names())}")
    return import_module(f"{__name__}.{name}").Settings


def settings(name: str, given: dict[str, Any]) -> Any:
    """Return a sink's `Settings`. Raises ConfigError, msgspec.ValidationError."""
    return msgspec.convert(given, settings_of(name))


def make(name: str, given: Any, around: Around) -> Sink:
    """Make the named sink of its `Settings`. Raises ConfigError."""
    made: Sink = import_module(f"{__name__}.{name}").Sink(given, around)
    return made
