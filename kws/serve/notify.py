"""Notify: what the daemon tells systemd of itself, and the watchdog that systemd sets on it."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping

SEND_S = 0.5
"""So long a full socket is waited for: systemd reads it at once, unless it starts anew."""
STATUS_MOST = 500
"""Characters of a status; systemd drops datagrams over 4096 bytes whole."""


class Notify:
    """One-way messages to systemd, as sd_notify(3) has them. Nothing is raised, ever.

    environ: None: the process's own. Without $NOTIFY_SOCKET, and where there are no such sockets,
    nothing happens. lost: messages that did not arrive.
    """

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        environ = os.environ if environ is None else environ
        address = environ.get("NOTIFY_SOCKET", "")
        known = address.startswith(("/", "@")) and hasattr(socket, "AF_UNIX")
        # A leading @ stands for the zero byte of an abstract address.
        self._address = address.replace("@", "\0", 1) if address[:1] == "@" else address
        self._address = self._address if known else ""
        self._period_s = _period_s(environ)
        self.lost = 0

    @property
    def period_s(self) -> float | None:
        """Seconds between two calls of `watchdog`: half of what systemd allows. None: no watchdog.

        Another process's watchdog, whose variables a child inherits, is none.
        """
        return self._period_s

    def ready(self, status: str) -> None:
        """Tell that it works: after the start, and after each `reloading`."""
        self._send("READY=1", _status(status))

    def status(self, text: str) -> None:
        """Tell in one line what it does; `systemctl status` shows it."""
        self._send(_status(text))

    def reloading(self) -> None:
        """Tell that the config is being read anew; `ready` ends it."""
        # The time tells systemd which of several requests this answers.
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Tell that it ends."""
        self._send("STOPPING=1")

    def watchdog(self) -> None:
        """Tell that it hears: to be called only after audio came and was scored."""
        self._send("WATCHDOG=1")

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        message = "\n".join(lines).encode("utf-8", "replace")
        # A socket for each message: any thread may send, and a systemd that was started anew is
        # found again.
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
                out.settimeout(SEND_S)
                out.connect(self._address)
                out.send(message)
        except (OSError, ValueError):
            self.lost += 1


def _status(text: str) -> str:
    """Return a line of the message; whatever the text holds, it is one line."""
    return "STATUS=" + " ".join(text.split())[:STATUS_MOST]


def _period_s(environ: Mapping[str, str]) -> float | None:
    try:
        allowed_s = int(environ["WATCHDOG_USEC"]) / 1e6
        ours = int(environ.get("WATCHDOG_PID", os.getpid())) == os.getpid()
    except (KeyError, ValueError):
        return None
    return allowed_s / 2 if ours and allowed_s > 0 else None
