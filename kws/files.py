"""Files: read regular ones only; write private ones, whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

MOST_BYTES = 16_000_000
"""Of a file that people write: no config, token or override file is as long."""
PRIVATE, PRIVATE_FOLDER = 0o600, 0o700
# Opening a pipe to which nobody writes would never end otherwise.
READING = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
WRITING = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)


def read_regular(path: str | os.PathLike[str], most: int = MOST_BYTES) -> bytes:
    """Return what a file holds, `most` bytes at most.

    Raises OSError: it can't be read, is longer, or is a pipe or a device, which might never end.
    """
    with os.fdopen(os.open(path, READING), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        if found.st_size > most:
            raise OSError(errno.EFBIG, f"it has more than {most} bytes", str(path))
        return file.read(most)


@contextmanager
def atomic_write(path: Path, *, tag: str = "") -> Iterator[Path]:
    """Yield a path beside `path` to write to, whose file then takes its name: whole, or not at all.

    Where something is raised, `path` stays as it was, and what was written goes. tag: tells apart
    what several processes may write at the same time.
    """
    partial = path.with_name(f"{path.name}{tag}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_private(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all; a new one is its owner's alone. Raises OSError.

    One that is replaced keeps its permissions: somebody may have chosen them.
    """
    with atomic_write(path) as partial:
        create_private(partial, content)
        with suppress(FileNotFoundError):
            partial.chmod(stat.S_IMODE(path.stat().st_mode))


def create_private(path: Path, content: bytes) -> None:
    """Write a new file, its owner's alone; what lies there goes, and no link is followed.

    Raises OSError: it can't be written, and may be there in part.
    """
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, WRITING, PRIVATE), "wb") as file:
        file.write(content)


def make_private_folder(path: Path) -> list[Path]:
    """Make a folder and those above it that are missing; new ones are their owner's alone.

    Returns those that were made, the innermost first. Raises OSError.
    """
    missing = [each for each in (path, *path.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(PRIVATE_FOLDER, exist_ok=True)
    path.mkdir(exist_ok=True)  # raises where a file lies there
    return missing
