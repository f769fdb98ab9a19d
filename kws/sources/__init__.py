"""Sources: where audio comes from, one a file. Each is an iterable of Blocks."""

from __future__ import annotations

import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from kws.errors import AudioError

if TYPE_CHECKING:
    from kws.flow import Block, Event


class Source(Protocol):
    """Audio, block by block, at its own rate, with the channels it has.

    rate: Hz. live: it comes as time goes by and has no end of its own.
    """

    rate: int
    live: bool

    def __iter__(self) -> Iterator[Block]:
        """Deliver blocks until the audio ends or the source is closed."""

    def poll_events(self) -> list[Event]:
        """What the source noticed up to the block just delivered, since it was last asked."""

    def close(self) -> None:
        """Stop, from any thread; the iteration ends. A second time does nothing."""


def open_audio(name: str, *, rate: int = 16_000, channels: int = 1) -> Source:
    """Open recorded audio: a file's path, a named pipe's, or `-` for stdin.

    rate, channels: of raw samples in a pipe, which have no header to tell.

    Raises AudioError: nothing there, or nothing that can be read.
    """
    from kws.sources.pipe import Pipe

    if name == "-":
        if sys.stdin is None or sys.stdin.closed:
            raise AudioError("stdin is closed; pipe audio in: arecord -f S16_LE -r 16000 | kws ...")
        if sys.stdin.isatty():
            raise AudioError("stdin is a terminal; pipe audio in: arecord ... | kws spot -")
        return Pipe(sys.stdin.buffer, name="stdin", rate=rate, channels=channels)
    path = Path(name)
    if _is_stream(path):
        return Pipe(open(path, "rb"), name=name, rate=rate, channels=channels)
    from kws.sources.file import AudioFile

    return AudioFile(path)


def _is_stream(path: Path) -> bool:
    """Whether it has no beginning to go back to: a FIFO, `<(...)`, /dev/stdin."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)
