"""`kws listen` and `kws serve` on the virtual microphone: processor time, memory, start-up."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import soundfile

from benchmarks.audio import RATE, Pcm
from benchmarks.microphone import VirtualMicrophone

SETTLE_S = 5.0

# Runs the very command, and stops it when the first block has gone through the chain.
START = """
import os, signal, sys, time
import kws.spotter
process = kws.spotter.Spotter.process
def first(self, block):
    events = process(self, block)
    os.write(1, f"accepted {time.monotonic()}\\n".encode())
    os._exit(0)
kws.spotter.Spotter.process = first
from kws.cli import main
sys.argv = ["kws", "listen", "--json"]
main()
"""


def listen(microphone: VirtualMicrophone, audio: Pcm, *, terminal: bool) -> dict[str, float]:
    """Play `audio` to `kws listen`; return its CPU share while playing, its memory and events."""
    options = [] if terminal else ["--json"]
    return _measured(["listen", *options], microphone, audio, terminal=terminal)


def serve(microphone: VirtualMicrophone, audio: Pcm) -> dict[str, float]:
    """Play `audio` to `kws serve` with one sink; return the same."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "kws.toml"
        config.write_text('[[sink]]\ntype = "jsonl"\npath = "facts"\n', encoding="utf-8")
        return _measured(["serve", "--config", str(config)], microphone, audio, terminal=False)


def _measured(
    command: list[str], microphone: VirtualMicrophone, audio: Pcm, *, terminal: bool
) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as said:
        wav = Path(folder) / "played.wav"
        soundfile.write(wav, audio, RATE)
        screen, output = pty.openpty() if terminal else os.pipe()
        process = subprocess.Popen(
            [Path(sys.executable).parent / "kws", *command],
            env={**microphone.env, "TERM": "xterm-256color"},
            stdout=output,
            stderr=output if terminal else said,
        )
        os.close(output)
        printed: list[bytes] = []
        reader = threading.Thread(target=_drain, args=(screen, printed), daemon=True)
        reader.start()
        time.sleep(SETTLE_S)
        with microphone.asleep():
            player = microphone.play(wav)
            before, began = _cpu_s(process.pid), time.monotonic()
            player.wait()
            used, took = _cpu_s(process.pid) - before, time.monotonic() - began
        if process.poll() is not None:
            said.seek(0)
            raise OSError(f"kws {command[0]} ended by itself: {said.read().decode()}")
        memory = _memory_mib(process.pid)
        process.send_signal(signal.SIGINT)
        code = process.wait(20)
        reader.join(5)
    detections = b"".join(printed).count(b'"detection"')
    return {"cpu_s_per_s": used / took, "seconds": took, "detections": detections, **memory,
            "exit_code": code}  # fmt: skip


def start_up(microphone: VirtualMicrophone) -> float:
    """Return the seconds from process start to the first block that went through the chain."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", START], env=microphone.env, capture_output=True, check=False
    )
    accepted = [line for line in done.stdout.decode().splitlines() if line.startswith("accepted")]
    if not accepted:
        raise OSError(f"kws listen did not start: {done.stderr.decode()[-500:]}")
    return float(accepted[0].split()[1]) - began


def _drain(screen: int, printed: list[bytes]) -> None:
    """Keep reading, so that the program is never held up by its own output."""
    try:
        while data := os.read(screen, 65_536):
            printed.append(data)
    except OSError:  # how a terminal says that its program has ended
        return


def _cpu_s(pid: int) -> float:
    """Return the processor time of all threads so far, to the microsecond."""
    # Not utime: that is counted by ticks of 10 ms, in which short work hides.
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(one.read_text(encoding="ascii").split()[0]) for one in threads) / 1e9


def _memory_mib(pid: int) -> dict[str, float]:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    kilobytes = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Vm")}
    return {
        "rss_mib": int(kilobytes["VmRSS"]) / 1024,
        "peak_mib": int(kilobytes["VmHWM"]) / 1024,
    }
