"""Sinks: ways out of the daemon, one a file. Each tells what happened to something else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, ClassVar, Literal, Protocol, TypeAlias, runtime_checkable

import msgspec

from kws.errors import ConfigError

OnOff: TypeAlias = Callable[[bool], None]


class Fact(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """Something that happened. As JSON its kind stands in `type`.

    wall_time: seconds since the epoch. microphone: its name in the config.
    """

    wall_time: float
    microphone: str = ""


class Heard(Fact, frozen=True, kw_only=True, tag="detection"):
    """A keyword was heard.

    role: `keyword` or `wake`. phrase: how it is said. model: whose keyword it is. score,
    threshold: 0 to 1. start_s, end_s, time_s: where it lies and when it was known, in seconds of
    this microphone's audio. level_db: its RMS level in dBFS. recording: where its audio was kept.
    """

    keyword: str
    role: str
    phrase: str
    model: str
    score: float
    threshold: float
    start_s: float
    end_s: float
    time_s: float
    level_db: float
    recording: str | None = None


class Lost(Fact, frozen=True, kw_only=True, tag="microphone_lost"):
    """A microphone gives nothing any more; it is being opened again."""

    reason: str


class Returned(Fact, frozen=True, kw_only=True, tag="microphone_returned"):
    """A microphone is heard again, after so many seconds."""

    away_s: float


class Health(Fact, frozen=True, kw_only=True, tag="health"):
    """How well it hears, when that changed; reasons: one line each."""

    state: Literal["ok", "degraded", "deaf"]
    reasons: tuple[str, ...] = ()


class Playing(Fact, frozen=True, kw_only=True, tag="playback"):
    """The own speaker talks, or has ended: wake words rest meanwhile."""

    on: bool


FACTS: dict[str, type[Fact]] = {
    str(kind.__struct_config__.tag): kind for kind in (Heard, Lost, Returned, Health, Playing)
}
"""All kinds, by how they are called outside."""


class Keyword(msgspec.Struct, frozen=True):
    """A word that is listened for; role: `keyword` or `wake`; phrase: how it is said."""

    name: str
    role: str
    phrase: str


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
