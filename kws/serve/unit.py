"""Unit: the text by which systemd runs the daemon for its user."""

from __future__ import annotations

import os
import re
import sys

from kws.errors import ConfigError

MARK = "# Written by `kws service install`"
"""How a unit begins that may be overwritten, and taken away."""

# What is not here, and why: MemoryDenyWriteExecute= breaks the microphone, whose callback needs
# such memory. RestrictRealtime= takes priority from the sound library's own threads. Protect...=,
# Private...= and CapabilityBoundingSet= need user namespaces: depending on systemd and kernel they
# are ignored, or the daemon does not start, and hide what commands look for. RestrictNamespaces=
# breaks commands in flatpak or bubblewrap, SystemCallArchitectures= those for 32 bits.
TEMPLATE = """\
{mark}, which overwrites it.
# Settings of your own belong into: systemctl --user edit kws
[Unit]
Description=kws, the keyword spotter
After=sound.target pipewire.service pipewire-pulse.service wireplumber.service pulseaudio.service
# It never gives up: a microphone that is away for a night is found in the morning.
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
# It is fed only while audio comes and is scored: a daemon that has gone deaf is started anew.
WatchdogSec=30
Restart=on-failure
RestartSec=5
# A wrong config does not get better by itself.
RestartPreventExitStatus=2
# The daemon ends the commands that it has begun; what is then left is killed.
KillMode=mixed
TimeoutStopSec=20

# Commands that the daemon runs live by all of this too. One that needs sudo, or is to outlive the
# daemon: begin it with `systemd-run --user`.
NoNewPrivileges=yes
LockPersonality=yes
RestrictSUIDSGID=yes
# No exotic sockets, the usual way into a kernel; netlink finds devices and addresses.
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_BLUETOOTH
# What only root may do anyway.
SystemCallFilter=~@clock @module @raw-io @reboot @swap
SystemCallErrorNumber=EPERM
# What the microphone heard is nobody else's: neither recordings, nor a core dump.
UMask=0077
LimitCORE=0

[Install]
WantedBy=default.target
"""


def text(python: str, config: str | None) -> str:
    """Return the unit that runs `kws serve` by an interpreter, with a config file or without.

    Both are absolute paths. Raises ConfigError: systemd can't run such an interpreter.
    """
    if not python.startswith("/") or re.search(r"[\x00-\x1f\x7f\"'\\]", python):
        raise ConfigError(
            f"{python!r}: systemd runs only programs whose path is absolute and without quotes or "
            "backslashes; install kws in another folder"
        )
    # The service's folder is the user's home, and -P keeps any queue.py there from being imported.
    words = ["-P"] if sys.version_info >= (3, 11) else []
    words += ["-m", "kws", "serve"]
    if config is not None:
        words += ["--config", quoted(config)]
    # The colon: a $ is a $, also in the name that the program is told to have.
    return TEMPLATE.format(mark=MARK, command=" ".join([f":{quoted(python)}", *words]))


def quoted(word: str) -> str:
    """Return a word of a command line as systemd reads it back, where $ has no meaning."""
    return '"' + re.sub(r'[%"\\\x00-\x1f\x7f\udc80-\udcff]', _escaped, word) + '"'


def _escaped(match: re.Match[str]) -> str:
    match match[0]:
        case "%":
            return "%%"
        case '"' | "\\" as special:
            return f"\\{special}"
        case other:  # also a byte of a name that is no UTF-8
            return "".join(f"\\x{byte:02x}" for byte in os.fsencode(other))
