"""JSON lines: one fact a line, to stdout or to a file that is kept short."""

from __future__ import annotations

import os
import select
import stat
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated, ClassVar

import msgspec

from kws.errors import SinkError
from kws.files import PRIVATE
from kws.home import expanded
from kws.origin import Strict
from kws.sinks import FACTS, Around, Fact
from kws.text import harmless

MEGABYTE = 1_000_000
UNREAD_S = 10.0
"""So long a fact waits at most for whoever reads stdout."""
AT_ONCE = getattr(select, "PIPE_BUF", 4_096)
"""Bytes that a pipe takes without waiting, once it takes any."""


class Settings(Strict, frozen=True):
    """path: a file, `-` is stdout. max_mb: it is begun anew then, and `keep` old ones are kept.

    The newest of those is called path.1.
    """

    path: Annotated[str, msgspec.Meta(min_length=1)] = "-"
    max_mb: Annotated[float, msgspec.Meta(gt=0)] = 10.0
    keep: Annotated[int, msgspec.Meta(ge=0)] = 3


class Sink:
    """Writes facts as JSON, each line at once."""

    wants: ClassVar[frozenset[type[Fact]]] = frozenset(FACTS.values())

    def __init__(self, settings: Settings, around: Around) -> None:
        self._path = None if settings.path == "-" else expanded(settings.path)
        self._most, self._keep = int(settings.max_mb * MEGABYTE), settings.keep
        self._torn, self._mode = False, PRIVATE

    def start(self) -> None:
        """Look whether it can be written. Raises SinkError."""
        self._try(b"")

    def send(self, fact: Fact, /) -> None:
        """Write a line. Raises SinkError: not written; nothing of it stays in the file."""
        line = msgspec.json.encode(fact)
        if not line.isascii():  # a terminal may read it
            line = harmless(line.decode()).encode()
        self._try(line + b"\n")

    def close(self) -> None:
        """Nothing: what was written is written."""

    def _try(self, line: bytes) -> None:
        try:
            if self._path is None:
                self._print(line)
            else:
                self._append(self._path, line)
        except OSError as error:
            name = self._path or "stdout"
            raise SinkError(
                f"{name}: can't be written ({error.strerror or error}); the next fact tries again"
            ) from None

    def _append(self, path: Path, line: bytes) -> None:
        # Opened each time: whoever removes or renames the file meanwhile loses no line.
        if path.exists() and path.stat().st_size + len(line) > self._most:
            self._rotate(path)
        with open(path, "ab+", buffering=0, opener=self._open) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 1))
            if size and file.read(1) != b"\n":
                line = b"\n" + line  # we were killed in the middle of a line
            try:
                _write(file.fileno(), line)
            except OSError:
                with suppress(OSError):
                    file.truncate(size)
                raise

    def _open(self, path: str, flags: int) -> int:
        return os.open(path, flags, self._mode)

    def _rotate(self, path: Path) -> None:
        """Rename path to path.1, that to path.2 and so on; the oldest goes."""
        self._mode = stat.S_IMODE(path.stat().st_mode)  # somebody may have chosen it
        names = [path, *(path.with_name(f"{path.name}.{n + 1}") for n in range(self._keep))]
        for older, newer in zip(names[:0:-1], names[-2::-1], strict=True):
            if newer.exists():
                newer.replace(older)
        path.unlink(missing_ok=True)

    def _print(self, line: bytes) -> None:
        if self._torn:
            line = b"\n" + line
        left, until = memoryview(line), time.monotonic() + UNREAD_S
        while left:
            _await_reader(sys.stdout.fileno(), until)
            self._torn = True  # until all of it is written
            left = left[os.write(sys.stdout.fileno(), left[:AT_ONCE]) :]
        self._torn = False


def _write(descriptor: int, data: bytes) -> None:
    """Write all of it. Raises OSError: perhaps half of it is written."""
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def _await_reader(descriptor: int, until: float) -> None:
    """Wait until so much can be written at once. Raises OSError: nobody reads.

    Otherwise a thread would hang here for ever, and another one after each new config.
    """
    if sys.platform == "win32":  # where only sockets can be waited for
        return
    if not select.select([], [descriptor], [], max(0.0, until - time.monotonic()))[1]:
        raise OSError(f"nobody has read it for {UNREAD_S:g} s")
