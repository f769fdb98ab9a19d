"""Command: a program is run for each fact, which stands in its environment."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import stat
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Annotated, Any, ClassVar

import msgspec

from kws.errors import ConfigError, SinkError
from kws.home import expanded
from kws.origin import Strict
from kws.sinks import FACTS, Around, Fact, Heard

NAMES = {name for kind in FACTS.values() for name in kind.__struct_fields__}
"""What a fact may put into the environment, as KWS_NAME; none of it is inherited."""

OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
LINES, LINE, TAIL = 5, 200, 4_096
"""Of what a program says: so many last lines, cut to so many characters, in its last bytes."""


class Settings(Strict, frozen=True):
    """run: the program and its arguments; no shell reads them. timeout_s: it is killed then."""

    run: Annotated[list[str], msgspec.Meta(min_length=1)]
    timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 10.0


class Sink:
    """Runs a program for each fact; the next one waits until it has ended.

    Its environment holds KWS_EVENT and the fact's fields, those that there are: KWS_KEYWORD,
    KWS_ROLE, KWS_SCORE, KWS_THRESHOLD, KWS_START_S, KWS_END_S, KWS_TIME_S, KWS_WALL_TIME,
    KWS_MICROPHONE, KWS_LEVEL_DB, KWS_RECORDING. Its last words go to the log.

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


@dataclass(frozen=True)
class Said:
    """How a program ended (code, negative: by a signal), and its last lines."""

    code: int
    out: list[str]
    err: list[str]

    def check(self, name: str) -> None:
        """Raise SinkError where it failed."""
        if self.code:
            how = f"ended with {self.code}" if self.code > 0 else f"died of signal {-self.code}"
            raise SinkError(": ".join([name, how, *self.err[-1:]]))


class Program:
    """Runs programs, one at a time, until stopped."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped, self._starting = False, threading.Lock()

    def run(
        self, command: Sequence[str], timeout_s: float, env: Mapping[str, str] | None = None
    ) -> Said:
        """Run a program that has nothing to read, and wait for it.

        What it leaves in the background lives on; after `timeout_s` all of that is killed too.
        Raises SinkError: it could not be started, took too long, or was stopped.
        """
        name = Path(command[0]).name
        # Files, for a pipe would be waited for as long as something in the background holds it.
        try:
            with TemporaryFile() as out, TemporaryFile() as err:
                code = self._wait(command, timeout_s, env=env, stdout=out, stderr=err)
                if code and self._stopped:
                    raise SinkError(f"{name}: killed, because kws ends")
                return Said(code, _last_lines(out), _last_lines(err))
        except subprocess.TimeoutExpired:
            raise SinkError(f"{name}: killed, it had not ended after {timeout_s:g} s") from None
        except SinkError:
            raise
        except (OSError, ValueError) as error:  # ValueError: a zero byte in an argument
            raise SinkError(f"{name}: can't be run ({error})") from None

    def _wait(self, command: Sequence[str], timeout_s: float, **options: Any) -> int:
        with self._starting:
            if self._stopped:
                raise SinkError(f"{Path(command[0]).name}: not run, because kws ends")
            self._process = process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, start_new_session=True, **options
            )
        try:
            return process.wait(timeout_s)
        finally:
            if process.poll() is None:
                _kill(process)

    def stop(self) -> None:
        """Kill what runs, and run nothing more; from any thread."""
        with self._starting:
            self._stopped = True
            if self._process is not None and self._process.poll() is None:
                _kill(self._process)


def refuse_foreign(config: Path) -> None:
    """Raise ConfigError where somebody else could write the commands that we run.

    That is: the file, or a folder above it where names can be exchanged.
    """
    real = config.resolve()
    try:
        owner = real.stat().st_uid
        places = [real, *real.parents, *config.absolute().parents]
        modes = {place: place.stat().st_mode for place in places}
    except OSError as error:
        raise ConfigError(f"{config}: can't be looked at ({error.strerror})") from None
    if owner not in (0, os.geteuid()):
        raise ConfigError(
            f"{config}: belongs to user {owner}, so its commands are not run; "
            f"as root: chown {os.geteuid()} {shlex.quote(str(real))}"
        )
    for place, mode in modes.items():
        if mode & OTHERS_WRITE and not (place != real and mode & stat.S_ISVTX):
            raise ConfigError(
                f"{config}: others can write {place}, so its commands are not run; "
                f"chmod go-w {shlex.quote(str(place))}"
            )


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


def _last_lines(file: IO[bytes]) -> list[str]:
    size = os.fstat(file.fileno()).st_size
    file.seek(max(0, size - TAIL))
    lines = file.read(TAIL).decode(errors="replace").splitlines()
    # A terminal's control characters would be obeyed by whoever looks at the log.
    clean = ("".join(c if c.isprintable() else " " for c in line).strip() for line in lines)
    return [line[:LINE] for line in clean if line][-LINES:]


def _kill(process: subprocess.Popen[bytes]) -> None:
    if os.name == "posix":
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()
