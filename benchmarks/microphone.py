"""A virtual microphone: PulseAudio's null sink, into which a recording can be played."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SINK = "vmic"


@dataclass(frozen=True, slots=True)
class VirtualMicrophone:
    """env: environment in which PortAudio finds it as the device `pulse`, and as the default."""

    env: dict[str, str]
    server: subprocess.Popen[bytes]

    def play(self, wav: Path) -> subprocess.Popen[bytes]:
        """Begin to play a recording into the microphone."""
        return subprocess.Popen(["paplay", f"--device={SINK}", wav], env=self.env)

    def unplug(self) -> None:
        """Take the microphone away; the sound server lives on."""
        subprocess.run(["pactl", "unload-module", "module-null-sink"], env=self.env, check=True)

    def kill_server(self) -> None:
        """End the sound server."""
        self.server.terminate()
        self.server.wait(10)


@contextmanager
def virtual_microphone() -> Iterator[VirtualMicrophone]:
    """Run a sound server of its own, with a microphone that hears what is played into it.

    Raises OSError: PulseAudio is not installed, or does not start.
    """
    with tempfile.TemporaryDirectory() as runtime:
        env = {
            **os.environ,
            "XDG_RUNTIME_DIR": runtime,
            "XDG_CONFIG_HOME": runtime,
            "PULSE_RUNTIME_PATH": runtime,
            "PULSE_SERVER": f"unix:{runtime}/native",
            "PULSE_SOURCE": f"{SINK}.monitor",
        }
        sink = f"module-null-sink sink_name={SINK} rate=16000 channels=1 format=s16le"
        modules = ["-L", f"module-native-protocol-unix socket={runtime}/native", "-L", sink]
        server = _run(["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", *modules], env)
        # A null sink sleeps for two seconds at a time unless somebody listens who wants it
        # sooner; a real microphone does not.
        listener = None
        try:
            _wait_until_up(env)
            listener = _run(["parec", "--latency-msec=10", "-d", f"{SINK}.monitor"], env)
            time.sleep(2.5)
            yield VirtualMicrophone(env, server)
        finally:
            for process in filter(None, (listener, server)):
                process.terminate()
                process.wait(10)


def _run(command: list[str], env: dict[str, str]) -> subprocess.Popen[bytes]:
    nowhere = subprocess.DEVNULL
    return subprocess.Popen(command, env=env, stdout=nowhere, stderr=nowhere)


def _wait_until_up(env: dict[str, str]) -> None:
    for _ in range(100):
        done = subprocess.run(["pactl", "info"], env=env, capture_output=True, check=False)
        if done.returncode == 0:
            return
        time.sleep(0.1)
    raise OSError("pulseaudio did not start within ten seconds")
