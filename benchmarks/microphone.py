"""A virtual microphone: PulseAudio's null sink, into which a recording can be played."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NAME = "vmic"
MODULE = ["module-null-sink", f"sink_name={NAME}", "rate=16000", "channels=1", "format=s16le"]


class VirtualMicrophone:
    """A sound server of its own in the folder `runtime`, with a microphone.

    env: environment in which PortAudio finds it as the device `pulse`, and as the default.
    """

    def __init__(self, runtime: str) -> None:
        self._socket = f"{runtime}/native"
        self.env = {
            **os.environ,
            "XDG_RUNTIME_DIR": runtime,
            "XDG_CONFIG_HOME": runtime,
            "PULSE_RUNTIME_PATH": runtime,
            "PULSE_SERVER": f"unix:{self._socket}",
            "PULSE_SOURCE": f"{NAME}.monitor",
        }
        self._server: subprocess.Popen[bytes] | None = None
        self._listener: subprocess.Popen[bytes] | None = None

    def play(self, wav: Path) -> subprocess.Popen[bytes]:
        """Begin to play a recording into the microphone."""
        return subprocess.Popen(["paplay", f"--device={NAME}", wav], env=self.env)

    def plug(self) -> None:
        """Bring the microphone back."""
        subprocess.run(
            ["pactl", "load-module", *MODULE], env=self.env, check=True, stdout=subprocess.DEVNULL
        )
        self._keep_awake()

    def unplug(self) -> None:
        """Take the microphone away; the sound server lives on."""
        subprocess.run(["pactl", "unload-module", MODULE[0]], env=self.env, check=True)

    def start_server(self) -> None:
        """Run the sound server, with the microphone. Raises OSError: it does not start."""
        self._server = self._run(
            *["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1"],
            *["-L", f"module-native-protocol-unix socket={self._socket}", "-L", " ".join(MODULE)],
        )
        self._wait_until_up()
        self._keep_awake()

    def stop_server(self) -> None:
        """Let the sound server stand still: it answers nobody, until `continue_server`."""
        if self._server is not None:
            self._server.send_signal(signal.SIGSTOP)

    def continue_server(self) -> None:
        """Let the sound server go on."""
        if self._server is not None:
            self._server.send_signal(signal.SIGCONT)

    def kill_server(self) -> None:
        """End the sound server."""
        self.continue_server()
        for process in filter(None, (self._listener, self._server)):
            process.terminate()
            process.wait(10)

    @contextmanager
    def asleep(self) -> Iterator[None]:
        """Let nobody else listen for a while, as at most desks.

        Who listens sooner than others wakes all of them as often.
        """
        self._stop_listener()
        try:
            yield
        finally:
            self._keep_awake()

    def _stop_listener(self) -> None:
        if self._listener is not None:
            self._listener.terminate()
            self._listener.wait(10)

    def _keep_awake(self) -> None:
        # A null sink sleeps for two seconds at a time unless somebody listens who wants it
        # sooner; a real microphone does not.
        self._stop_listener()
        self._listener = self._run("parec", "--latency-msec=10", "-d", f"{NAME}.monitor")
        time.sleep(2.5)

    def _run(self, *command: str) -> subprocess.Popen[bytes]:
        nowhere = subprocess.DEVNULL
        return subprocess.Popen(command, env=self.env, stdout=nowhere, stderr=nowhere)

    def _wait_until_up(self) -> None:
        for _ in range(100):
            done = subprocess.run(["pactl", "info"], env=self.env, capture_output=True, check=False)
            if done.returncode == 0:
                return
            time.sleep(0.1)
        raise OSError("pulseaudio did not start within ten seconds")


@contextmanager
def virtual_microphone() -> Iterator[VirtualMicrophone]:
    """Run a sound server with a microphone that hears what is played into it.

    Raises OSError: PulseAudio is not installed, or does not start.
    """
    with tempfile.TemporaryDirectory() as runtime:
        microphone = VirtualMicrophone(runtime)
        try:
            microphone.start_server()
            yield microphone
        finally:
            microphone.kill_server()
