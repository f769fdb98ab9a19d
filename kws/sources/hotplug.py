"""Hotplug: cheap signs that a sound device or a sound server came or went."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

CARDS = Path("/proc/asound/cards")
NODES = Path("/dev/snd")

Signs = tuple[object, ...]


def signs(environ: Mapping[str, str] | None = None) -> Signs:
    """Return what differs when a sound card or a sound server has come or gone since.

    It costs a few calls of the kernel; PortAudio's own search opens every device. What comes and
    goes inside a sound server, such as a Bluetooth headset, shows nowhere here. environ: None: the
    process's own. Never raises; where there are no such signs it is always the same.
    """
    environ = os.environ if environ is None else environ
    return _text(CARDS), _state(NODES), *(_state(path) for path in _sockets(environ))


def _sockets(environ: Mapping[str, str]) -> list[Path]:
    """Return where PulseAudio and PipeWire may listen."""
    found = []
    if (server := environ.get("PULSE_SERVER", "")).startswith(("unix:", "/")):
        found.append(Path(server.removeprefix("unix:")))
    if runtime := environ.get("PULSE_RUNTIME_PATH"):
        found.append(Path(runtime, "native"))
    if runtime := environ.get("XDG_RUNTIME_DIR"):
        found += [Path(runtime, "pulse", "native"), Path(runtime, "pipewire-0")]
    return found


def _text(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _state(path: Path) -> tuple[int, int] | None:
    """Return what changes when a file is made anew, or something in a folder; None: not there."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_ino, found.st_mtime_ns
