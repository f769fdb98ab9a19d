"""Ports: which microphones are open, for PortAudio looks for devices only while none is."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kws.errors import ConfigError, DeviceError
from kws.sources import Source
from kws.sources import devices as inputs
from kws.sources.hotplug import signs

LOOK_EVERY_S = 60.0
"""A microphone that is away, while others are open, is looked for so often in another process."""
LOOK_SOON_S, SOON_S = 5.0, 30.0
"""So often, for so long after a sound card or a sound server came or went."""
LOOK_S = 30.0
LIST = "import json, kws; print(json.dumps([str(each) for each in kws.devices()]))"


class Ports:
    """Opens microphones, one at a time, so that each is found wherever it was plugged in."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: list[Source] = []
        self._looked = time.monotonic()
        self._changed = self._looked - SOON_S
        self._signs = signs()

    @contextmanager
    def opened(self, make: Callable[[], Source]) -> Iterator[Source]:
        """Open a microphone, and let go of it in the end. Raises what `make` raises."""
        with self._lock:
            if not self._open:
                inputs.refresh()
            try:
                source = make()
            except (ConfigError, DeviceError):
                self._look_elsewhere()
                raise
            self._open.append(source)
        try:
            yield source
        finally:
            source.close()
            with self._lock:
                self._open.remove(source)

    def _look_elsewhere(self) -> None:
        """Where others are open: if there is a device that this process can't see, close them.

        They open again at once, and the first of them looks for devices.
        """
        now, found = time.monotonic(), signs()
        if found != self._signs:
            self._signs, self._changed = found, now
        every_s = LOOK_SOON_S if now - self._changed < SOON_S else LOOK_EVERY_S
        if not self._open or now - self._looked < every_s:
            return
        self._looked = now
        if set(_listed()) - {str(each) for each in inputs.devices()}:
            for source in self._open:
                source.close()


def _listed() -> list[str]:
    """Return the devices that another process sees; it costs a start of Python."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", LIST], capture_output=True, check=True, timeout=LOOK_S
        )
    except (OSError, subprocess.SubprocessError):  # another time, then
        return []
    found: list[str] = json.loads(done.stdout)
    return found
