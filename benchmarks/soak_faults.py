"""What a soaked daemon has to bear: output that nobody reads, and a disk that becomes full."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from kws.terminal.queued_output import QueuedOutput

PIPE_BYTES = 4_096
"""So much a pipe holds here, where the system lets us choose: it is full at once."""
DISK_BYTES = 12_000_000
MOUNTED = "--mounted"
"""The option that says that file systems can be mounted here."""


class UnreadPipe:
    """A pipe that nobody reads until `lines` is called. stream: what is written to."""

    def __init__(self) -> None:
        self._reader, writer = os.pipe()
        if sys.platform == "linux":
            import fcntl

            fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self.stream = open(writer, "w", encoding="utf-8")  # noqa: SIM115 - `lines` closes it

    def lines(self, writers: list[threading.Thread], timeout: float) -> list[str]:
        """Read all, so that the writing threads can end, each in so many seconds; return it."""
        parts: list[bytes] = []

        def read() -> None:
            while part := os.read(self._reader, 1 << 16):
                parts.append(part)

        reader = threading.Thread(target=read)
        reader.start()
        for each in writers:
            each.join(timeout)
        self.stream.close()
        reader.join()
        os.close(self._reader)
        return b"".join(parts).decode().splitlines()


class CountedOutput(QueuedOutput):
    """Queued output that counts the lines it was given."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self.lines = 0

    def write(self, text: str, /) -> int:
        """Queue a text."""
        self.lines += text.count("\n")
        return super().write(text)

    @property
    def writer(self) -> threading.Thread:
        """The thread that writes."""
        return self._thread


class LogCounter(logging.Filter):
    """Remembers how often each of some texts was logged; lets all of it pass."""

    def __init__(self, *texts: str) -> None:
        super().__init__()
        self.counts = dict.fromkeys(texts, 0)

    def filter(self, record: logging.LogRecord) -> bool:
        """Count what a line says; return True."""
        said = record.getMessage()
        for text in self.counts:
            self.counts[text] += text in said
        return True


class SmallDisk:
    """A folder on a file system of its own, which can be made full. is_real: whether there is one.

    Where none can be mounted it is a folder like any other, and never full.
    """

    def __init__(self, folder: Path, *, is_real: bool) -> None:
        self.folder, self.is_real = folder, is_real
        self._ballast = folder / "ballast"

    def fill(self) -> None:
        """Leave no room."""
        if not self.is_real:
            return
        with self._ballast.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(PIPE_BYTES))
            except OSError:
                return

    def free(self) -> None:
        """Give the room back."""
        self._ballast.unlink(missing_ok=True)


@contextmanager
def small_disk(folder: Path, *, is_real: bool) -> Iterator[SmallDisk]:
    """Mount a file system in memory on a new folder; unmount it in the end."""
    folder.mkdir()
    if is_real:
        options = ["-o", f"size={DISK_BYTES}"]
        subprocess.run(["mount", "-t", "tmpfs", *options, "tmpfs", folder], check=True)
    try:
        yield SmallDisk(folder, is_real=is_real)
    finally:
        if is_real:
            subprocess.run(["umount", "--lazy", folder], check=True)


def can_mount() -> bool:
    """Return whether `with_own_mounts` will do."""
    if sys.platform != "linux" or shutil.which("unshare") is None:
        return False
    attempt = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/tmp"]  # noqa: S108 - its own
    return subprocess.run(attempt, capture_output=True, check=False).returncode == 0


def with_own_mounts(module: str, options: list[str]) -> NoReturn:
    """Run a module in place of this one, where what it mounts is seen by nobody else."""
    command = ["unshare", "-rm", sys.executable, "-m", module, *options, MOUNTED]
    os.execvp(command[0], command)  # noqa: S606
