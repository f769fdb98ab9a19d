"""Config: one TOML file, strictly checked: what is heard, by which microphones, told to whom."""

from __future__ import annotations

import re
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, field

from kws import sinks
from kws.errors import ConfigError
from kws.home import config_folder
from kws.origin import Strict
from kws.serve import where
from kws.serve.http.settings import Http
from kws.serve.wyoming.settings import Wyoming

Positive = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]
Score = Annotated[float, Meta(ge=0, le=1)]
Sensitivity = Annotated[float, Meta(ge=0, le=100)]
Name = Annotated[str, Meta(min_length=1)]

TEMPLATE = Path(__file__).with_name("kws.toml")
"""A config that says what holds anyway, and explains it."""
SHARED = ("type", "keywords", "events")
"""Keys that every sink's table may have."""
UNKNOWN = re.compile("unknown field `(.*)`")
ENDLESS = "nan, inf and numbers past 64 bits are of no use"
OF_MSGSPEC = ("Expected", "Invalid", "Object")
"""How what msgspec says begins; what we say does not."""


class Model(Strict, frozen=True):
    """A model file; empty path: the bundled one. keywords: only these; empty: all."""

    path: str = ""
    keywords: tuple[Name, ...] = ()
    false_alarms: Positive | None = None
    thresholds: dict[str, Score] = field(default_factory=dict)
    sensitivity: Sensitivity | dict[str, Sensitivity] | None = None


class Microphone(Strict, frozen=True):
    """name: what events call it. device: part of its own name; empty: the default one."""

    name: Name = "microphone"
    device: str = ""
    channel: Count | Literal["mean"] | None = None


class Listen(Strict, frozen=True):
    """wake: commands count only after one of these. gate: empty: what the models say.

    overrides: a file that `kws tune` wrote. verify: a window model's file, `bundled` or `none`;
    empty: the bundled one beside the bundled model.
    """

    wake: tuple[Name, ...] = ()
    gate: str = ""
    overrides: str = ""
    verify: str = ""


class Playback(Strict, frozen=True):
    """While the own speaker talks: wake words rest, or need `raise_to`; `live` ones are heard."""

    raise_to: Score | None = None
    live: tuple[Name, ...] = ()
    max_s: Positive = 60.0


class Record(Strict, frozen=True):
    """Audio around each firing; empty folder: none is kept."""

    folder: str = ""
    after_s: Annotated[float, Meta(ge=0, le=10)] = 0.5
    most: Count = 500
    most_mb: Positive = 200.0


class Health(Strict, frozen=True):
    """When it hears badly: levels in dBFS."""

    quiet_db: Annotated[float, Meta(le=0)] = -80.0
    quiet_min: Positive = 10.0
    unopened_h: Positive = 24.0
    self_test_min: Positive = 10.0


class Log(Strict, frozen=True):
    """One line a fact."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    json: bool = False


class Sink(Strict, frozen=True):
    """Who is told. keywords: of these only; empty: of all. events: kinds; empty: the sink's own."""

    type: str
    settings: Any
    keywords: tuple[Name, ...] = ()
    events: tuple[str, ...] = ()


class Config(Strict, frozen=True):
    """All of it. Without a file: the bundled model, the default microphone, lines on stdout.

    http: None: nobody can ask.
    """

    listen: Listen = Listen()
    model: list[Model] = field(default_factory=lambda: [Model()])
    microphone: list[Microphone] = field(default_factory=lambda: [Microphone()])
    playback: Playback = Playback()
    record: Record = Record()
    health: Health = Health()
    wyoming: Wyoming | None = None
    log: Log = Log()
    http: Http | None = None
    sink: list[dict[str, Any]] = field(default_factory=lambda: [{"type": "jsonl"}])

    @property
    def sinks(self) -> list[Sink]:
        """Who is told, each with its settings; `read` has seen that they make sense."""
        return [_sink(number, dict(table)) for number, table in enumerate(self.sink)]


def default_path() -> Path:
    """Return where the config lies unless told. Raises ConfigError: this user has no home."""
    return config_folder() / "kws" / "kws.toml"


def existing_path() -> Path | None:
    """Return the default path; None: nothing lies there. What lies there may be no file."""
    try:
        default_path().lstat()
    except (ConfigError, FileNotFoundError, NotADirectoryError):
        return None
    except OSError:  # who reads it says why
        pass
    return default_path()


def read(path: Path | None) -> Config:
    """Return what a config file says; None: what holds without one.

    Raises ConfigError: it can't be read, is no TOML, or a key or value makes no sense; the message
    says in which line, and which key was meant.
    """
    if path is None:
        return Config()
    text = where.text(path)
    try:
        return convert(where.loaded(text, path))
    except where.SettingError as error:
        raise ConfigError(where.placed(str(error), error.steps, text, path)) from None


def convert(data: dict[str, Any]) -> Config:
    """Return a config. Raises SettingError: a key or value makes no sense; the first one."""
    if steps := where.endless(data):
        raise where.SettingError(f"{where.key(steps)}: {ENDLESS}", steps)
    try:
        found = msgspec.convert(data, Config)
        _check(found)
    except msgspec.ValidationError as error:
        raise where.SettingError(*_told(str(error), data)) from None
    return found


def _check(config: Config) -> None:
    """Raise ValidationError for what no part shows alone."""
    for kind in ("model", "microphone"):
        asked = config.wyoming is not None or config.http is not None
        elsewhere = kind == "microphone" and asked  # it hears, or classifies, only for others
        if not getattr(config, kind) and not elsewhere:
            raise msgspec.ValidationError(f"at least one is needed - at `$.{kind}`")
    names = [each.name for each in config.microphone]
    for number, name in enumerate(names):
        if name in names[:number]:
            raise msgspec.ValidationError(
                f"two microphones are called {name!r}; give each a name of its own "
                f"- at `$.microphone[{number}].name`"
            )
    for number in range(len(config.sink)):
        _sink(number, config.sink[number])


def _sink(number: int, table: dict[str, Any]) -> Sink:
    """Return a sink's part. Raises ValidationError."""
    shared: dict[str, Any] = {key: table[key] for key in SHARED if key in table}
    own = {key: value for key, value in table.items() if key not in shared}
    place = f"$.sink[{number}]"
    if not isinstance(shared.get("type"), str):
        meant = ["type"] if "type" in table else get_close_matches("type", table, n=1)
        at = ".".join([place, *meant])
        known = ", ".join(sinks.names())
        raise msgspec.ValidationError(f"a sink needs a type; there are {known} - at `{at}`")
    try:
        settings = sinks.settings(shared["type"], own)
        found = msgspec.convert({"settings": settings, **shared}, Sink)
    except ConfigError as error:
        raise msgspec.ValidationError(f"{error} - at `{place}.type`") from None
    except msgspec.ValidationError as error:
        what, inner = _parts(str(error))
        raise msgspec.ValidationError(f"{what} - at `{place}{inner}`") from None
    for event in found.events:
        if event not in sinks.FACTS:
            hint = where.near(event, sorted(sinks.FACTS))
            raise msgspec.ValidationError(f"no event {event!r}; {hint} - at `{place}.events`")
    return found


def _parts(error: str) -> tuple[str, str]:
    """Return what msgspec says is wrong, and the path to it."""
    what, _, place = error.partition(" - at `$")
    return what, place.rstrip("`")


def _told(error: str, data: dict[str, Any]) -> tuple[str, where.Path]:
    """Return an error in a user's words, with the key that was meant, and the way to it."""
    what, place = _parts(error)
    steps = where.steps(place)
    if unknown := UNKNOWN.search(what):
        names = where.names(_kind(steps, data))
        names += SHARED if steps[:1] == ("sink",) else ()
        what = f"unknown key {unknown[1]!r}; {where.near(unknown[1], names)}"
        steps = (*steps, unknown[1])
    elif steps:
        what = f"{where.key(steps)}: {_plain(what, steps, data)}"
    return what, steps


def _plain(what: str, steps: where.Path, data: dict[str, Any]) -> str:
    """Return what is wrong with a value in a user's words."""
    if not what.startswith(OF_MSGSPEC):
        return what
    if what.startswith("Expected") and not any(isinstance(step, str) for step in steps[1:]):
        return f"write it as {where.header(str(steps[0]), where.kind(Config, steps[:1]))}"
    return where.plain(what, _kind(steps, data))


def _kind(steps: where.Path, data: dict[str, Any]) -> Any:
    """Return what msgspec knows of the part that a path leads to."""
    if steps[:1] != ("sink",) or len(steps) == 1:
        return where.kind(Config, steps)
    return where.kind(sinks.settings_of(data["sink"][steps[1]]["type"]), steps[2:])
