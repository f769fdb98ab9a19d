"""Keys: single keys that a person presses at a terminal, without Enter."""

from __future__ import annotations

import os
import sys
from types import TracebackType

from kws.errors import ConfigError

if sys.platform == "win32":
    import msvcrt
else:
    import select
    import termios
    import tty

MOST = 64
"""Keys that are taken at once."""


class Keys:
    """Reads keys from standard input, which must be a terminal; a context manager.

    Ctrl-C still interrupts. On leaving the terminal is as it was. Raises ConfigError, when
    entered: standard input is no terminal.
    """

    def __enter__(self) -> Keys:  # noqa: PYI034 - Self came with Python 3.11
        if not sys.stdin.isatty():
            raise ConfigError("keys are read from a terminal, and standard input is none")
        if sys.platform != "win32":
            self._file = sys.stdin.fileno()
            self._before = termios.tcgetattr(self._file)
            tty.setcbreak(self._file, termios.TCSANOW)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if sys.platform != "win32":
            termios.tcsetattr(self._file, termios.TCSANOW, self._before)

    def pressed(self) -> str:
        """Return the keys that were pressed since this was last called, without waiting."""
        if sys.platform == "win32":
            found = ""
            while msvcrt.kbhit() and len(found) < MOST:
                found += msvcrt.getwch()
            return found
        if not select.select([self._file], [], [], 0)[0]:
            return ""
        return os.read(self._file, MOST).decode(errors="ignore")
