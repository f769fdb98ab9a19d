"""Safe output: whatever is printed, no terminal obeys what a model or a file's name says."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from kws.text import harmless


class SafeStream:
    """A text stream that writes control characters as text; in all else it is that `stream`."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write a text, harmless; return its length as it was given."""
        self.stream.write(harmless(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        """Return whatever else the stream has."""
        return getattr(self.stream, name)


def drawable(stream: TextIO) -> TextIO:
    """Return the stream itself, for what draws by control characters."""
    return stream.stream if isinstance(stream, SafeStream) else stream


@contextmanager
def safe_output() -> Iterator[None]:
    """Let all that is printed be harmless."""
    before = sys.stdout, sys.stderr
    # None: there is no such stream, as under pythonw.
    sys.stdout, sys.stderr = (each and SafeStream(each) for each in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
