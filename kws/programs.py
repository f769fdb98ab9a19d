"""Programs: run one, keep the end of what it prints, and end what it began."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from kws.errors import SinkError

LINES, LINE, TAIL = 5, 200, 4_096
"""Of what a program says: so many last lines, cut to so many characters, in its last bytes."""
REST_S, SETTLE_S, GRACE_S = 0.005, 0.3, 1.0
"""Between two readings of what it prints; after its end, where something else prints on; after its
time, until nobody reads any more."""
MOST_LEFT, LOOK_S = 8, 0.5
"""So many may be left in the background; so often it is looked whether they are there."""


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
    """Runs programs, one at a time, until stopped.

    What a program leaves in the background lives on until its time is over, a few of them at most.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._groups: list[int] = []  # process groups in the background, the oldest first
        self._stopped, self._changing = threading.Event(), threading.Lock()

    def run(
        self, command: Sequence[str], timeout_s: float, env: Mapping[str, str] | None = None
    ) -> Said:
        """Run a program that has nothing to read, and wait for it.

        Of what it prints the end is kept. After `timeout_s` it is killed, with all that it began.
        Raises SinkError: it could not be started, took too long, or was stopped.
        """
        name, until = Path(command[0]).name, time.monotonic() + timeout_s
        try:
            process = self._start(command, env)
            out, err = _Tail(process.stdout, until), _Tail(process.stderr, until)
            try:
                code = process.wait(timeout_s)
            finally:
                if process.poll() is None:
                    _kill(process)
            if code and self._stopped.is_set():
                raise SinkError(f"{name}: killed, because kws ends")
            self._leave(process.pid, until)
            settled = time.monotonic() + SETTLE_S
            return Said(code, out.lines(settled), err.lines(settled))
        except subprocess.TimeoutExpired:
            raise SinkError(f"{name}: killed, it had not ended after {timeout_s:g} s") from None
        except SinkError:
            raise
        except (OSError, ValueError) as error:  # ValueError: a zero byte in an argument
            raise SinkError(f"{name}: can't be run ({error})") from None

    def stop(self) -> None:
        """Kill what runs, and run nothing more; from any thread."""
        with self._changing:
            self._stopped.set()
            if self._process is not None and self._process.poll() is None:
                _kill(self._process)
            while self._groups:
                _kill_group(self._groups.pop())

    def _start(
        self, command: Sequence[str], env: Mapping[str, str] | None
    ) -> subprocess.Popen[bytes]:
        with self._changing:
            if self._stopped.is_set():
                raise SinkError(f"{Path(command[0]).name}: not run, because kws ends")
            self._process = subprocess.Popen(
                command,
                bufsize=0,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                env=env,
            )
            return self._process

    def _leave(self, group: int, until: float) -> None:
        """Let what a program began live on in the background, until its time is over."""
        if os.name != "posix" or not _lives(group):
            return
        with self._changing:
            self._groups.append(group)
            if self._stopped.is_set() or len(self._groups) > MOST_LEFT:
                _kill_group(self._groups.pop(0))
        threading.Thread(target=self._watch, args=[group, until], daemon=True).start()

    def _watch(self, group: int, until: float) -> None:
        while _lives(group) and (left := until - time.monotonic()) > 0:
            if self._stopped.wait(min(left, LOOK_S)):
                return
        with self._changing:
            if group in self._groups:
                self._groups.remove(group)
                _kill_group(group)


class _Tail:
    """The end of what a program prints, read on a thread of its own so that it never waits.

    until: who prints later than that, having escaped from being killed, gets SIGPIPE.
    """

    def __init__(self, pipe: IO[bytes] | None, until: float) -> None:
        self._pipe, self._until, self._kept = pipe, until + GRACE_S, b""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def lines(self, until: float) -> list[str]:
        """Return the last lines; what prints on in the background is waited for until then."""
        self._thread.join(max(0.0, until - time.monotonic()))
        return _last_lines(self._kept)

    def _read(self) -> None:
        if self._pipe is None:
            return
        with self._pipe:
            while (data := self._pipe.read(1 << 16)) and time.monotonic() < self._until:
                self._kept = (self._kept + data)[-TAIL:]
                time.sleep(REST_S)  # or a program that prints without end would take a core here


def _last_lines(said: bytes) -> list[str]:
    lines = said.decode(errors="replace").splitlines()
    # A terminal's control characters would be obeyed by whoever looks at the log.
    clean = ("".join(c if c.isprintable() else " " for c in line).strip() for line in lines)
    return [line[:LINE] for line in clean if line][-LINES:]


def _lives(group: int) -> bool:
    """Whether somebody is in a process group."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody whom we may not signal
        return True
    return True


def _kill_group(group: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _kill(process: subprocess.Popen[bytes]) -> None:
    if os.name == "posix":
        _kill_group(process.pid)
    process.kill()
    process.wait()
