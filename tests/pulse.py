"""A virtual microphone: a private PulseAudio whose null sink is heard by programs of a test.

What is played into the sink is what the microphone hears. A server, a socket and a folder of
its own: the user's sound is left alone.
"""

import os
import shutil
import subprocess
import tempfile
import time

import pytest

SINK = "vmic"
PROGRAMS = ("pulseaudio", "pactl", "paplay")


class Pulse:
    """A running server. `env` is what a program needs to hear it."""

    def __init__(self, folder, *, rate=16_000):
        self.folder = folder
        drop = {"PULSE_SERVER", "PULSE_SINK", "PULSE_RUNTIME_PATH", "DBUS_SESSION_BUS_ADDRESS"}
        self.env = {name: value for name, value in os.environ.items() if name not in drop} | {
            "XDG_RUNTIME_DIR": folder,
            "XDG_CONFIG_HOME": folder,
            "HOME": folder,
            "PULSE_SOURCE": f"{SINK}.monitor",
        }
        sink = f"module-null-sink sink_name={SINK} rate={rate} channels=1 format=s16le"
        self._server = subprocess.Popen(
            [
                *["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1"],
                *["--use-pid-file=no", "-L", "module-native-protocol-unix", "-L", sink],
            ],
            env=self.env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._wait()

    def play(self, path):
        """Play an audio file into the microphone, to its end."""
        self._call("paplay", f"--device={SINK}", str(path))

    def remove_source(self):
        """Pull the microphone's plug."""
        self._call("pactl", "unload-module", "module-null-sink")

    def close(self):
        """End the server."""
        self._server.terminate()
        self._server.wait(10)

    def _call(self, *command):
        subprocess.run(command, env=self.env, check=True, capture_output=True, timeout=60)

    def _wait(self):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            sinks = subprocess.run(
                ["pactl", "list", "short", "sinks"],
                env=self.env, capture_output=True, text=True, check=False,
            )  # fmt: skip
            if SINK in sinks.stdout:
                return
            time.sleep(0.1)
        self.close()
        raise RuntimeError("PulseAudio does not start")


@pytest.fixture
def pulse(request):
    """A virtual microphone, or a reason why this test was left out."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        reason = f"{request.node.nodeid} needs {', '.join(missing)}: apt install pulseaudio-utils"
        if os.environ.get("CI"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    folder = tempfile.mkdtemp(prefix="kws-")  # a socket's path must be short
    server = Pulse(folder)
    yield server
    server.close()
    shutil.rmtree(folder, ignore_errors=True)
