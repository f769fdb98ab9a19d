"""Command: a program is run for each fact, which stands in its environment."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Annotated, Any, ClassVar

import msgspec

from kws.errors import ConfigError
from kws.home import expanded
from kws.origin import Strict
from kws.permissions import refuse_foreign
from kws.programs import Program
from kws.sinks import FACTS, Around, Fact, Heard

NAMES = {name for kind in FACTS.values() for name in kind.__struct_fields__}
"""What a fact may put into the environment, as KWS_NAME; none of it is inherited."""


class Settings(Strict, frozen=True):
    """run: the program and its arguments; no shell reads them.

    timeout_s: it is killed then, with what it left in the background.
    """

    run: Annotated[list[str], msgspec.Meta(min_length=1)]
    timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 10.0


class Sink:
    """Runs a program for each fact; the next one waits until it has ended.

    Its environment holds KWS_EVENT and the fact's fields, those that there are: KWS_KEYWORD,
    KWS_ROLE, KWS_PHRASE, KWS_MODEL, KWS_SCORE, KWS_THRESHOLD, KWS_START_S, KWS_END_S, KWS_TIME_S,
    KWS_WALL_TIME, KWS_MICROPHONE, KWS_LEVEL_DB, KWS_RECORDING, KWS_RECORDING_ID, KWS_SCHEMA; see
    `docs/events.md`. Its last words go to the log.

    Raises ConfigError: there is no such program, or somebody else could change the config.
    """

    wants: ClassVar[frozenset[type[Fact]]] = frozenset({Heard})

    def __init__(self, settings: Settings, around: Around) -> None:
        if around.config is not None and os.name == "posix":
            refuse_foreign(Path(around.config))
        name, *arguments = settings.run
        found = shutil.which(str(expanded(name)) if name.startswith("~") else name)
        if found is None:
            raise ConfigError(f"command {name!r}: no such program; install it, or give its path")
        self._command = [found, *arguments]
        self._name, self._timeout_s, self._log = Path(name).name, settings.timeout_s, around.log
        self._program = Program()

    def start(self) -> None:
        """Nothing: a program is started for each fact."""

    def send(self, fact: Fact, /) -> None:
        """Run the program. Raises SinkError: it took too long, failed, or did not start."""
        said = self._program.run(self._command, self._timeout_s, environment(fact))
        for line in said.out:
            self._log("info", f"{self._name}: {line}")
        for line in said.err if not said.code else said.err[:-1]:
            self._log("warning", f"{self._name}: {line}")
        said.check(self._name)

    def close(self) -> None:
        """End a program that is still running; from any thread."""
        self._program.stop()


def environment(fact: Fact) -> dict[str, str]:
    """Return our environment with the fact in it; what it does not have is not there."""
    told = msgspec.to_builtins(fact)
    told["event"] = told.pop("type")
    ours = {f"KWS_{name.upper()}" for name in NAMES | {"event"}}
    inherited = {name: value for name, value in os.environ.items() if name not in ours}
    return inherited | {
        f"KWS_{name.upper()}": _text(value)
        for name, value in told.items()
        if value is not None and value != ""
    }


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "; ".join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)
