"""What spotting costs on this machine: `python -m benchmarks.cost` -> benchmarks/cost.json.

CPU seconds per second of audio, 20 ms int16 blocks, one stream, gate on: silence (noise at
-60 dBFS), keyword-free speech without pauses, room noise at -40 dBFS, and what 48 kHz input adds.
Memory, start-up, single inferences; and on a virtual microphone, the whole process, medians of
several runs: `kws listen`, plain in silence and in speech and on a terminal in speech, and an idle
`kws serve`. All of it takes about five minutes, four of them on the virtual microphone.
Speech and noise come from the recordings that KWS_DATA names.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import soxr

from benchmarks.audio import KINDS, RATE, Pcm
from benchmarks.listening import listen, serve, start_up
from benchmarks.microphone import virtual_microphone

RESULT = Path(__file__).with_suffix(".json")
VERSIONS = ["kws", "numpy", "onnxruntime", "soxr", "webrtcvad-wheels", "sounddevice", "rich"]

LONGER = {"room noise": 10}
"""How many times as long a kind of audio is: in a minute of noise one sound decides the result."""
TARGETS = {
    "push.silence.cpu_s_per_s": 0.0008,
    "push.speech.cpu_s_per_s": 0.008,
    "push.room noise.cpu_s_per_s": 0.002,
    "push.48 kHz adds.cpu_s_per_s": 0.0006,
    "memory.peak_mib": 75,
    "memory.above_numpy_and_onnxruntime_mib": 28,
    "start.pushing_s": 0.25,
    "start.listening_s": 0.35,
    "listen.silence.cpu_s_per_s": 0.004,
    "listen.speech.cpu_s_per_s": 0.012,
    "listen.speech, on a terminal.cpu_s_per_s": 0.025,
    "serve.silence.cpu_s_per_s": 0.005,
    "listen.speech.peak_mib": 125,
    "listen.speech, on a terminal.peak_mib": 125,
}
"""What we want, at most, on two cores of a server of 2023."""


def pushed(what: str, path: Path, rate: int = RATE) -> dict[str, float]:
    """Run benchmarks.push in a process of its own; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.push", what, path, str(rate)],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        check=True,
    )
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def cheapest(path: Path, rate: int, repeats: int) -> dict[str, float]:
    """Return the run that used least CPU: what others do on the machine only adds."""
    runs = [pushed("cpu", path, rate) for _ in range(repeats)]
    return min(runs, key=lambda run: run["cpu_s_per_s"])


def cpu(files: dict[str, Path], folder: Path, repeats: int) -> dict[str, dict[str, float]]:
    """CPU per second of audio for each kind of audio; what resampling from 48 kHz adds."""
    costs = {kind: cheapest(path, RATE, repeats) for kind, path in files.items()}
    wide = folder / "wide"
    soxr.resample(np.fromfile(files["silence"], np.int16), RATE, 48_000).tofile(wide)
    extra = cheapest(wide, 48_000, repeats)["cpu_s_per_s"] - costs["silence"]["cpu_s_per_s"]
    return {**costs, "48 kHz adds": {"cpu_s_per_s": extra}}


def memory(speech: Path) -> dict[str, float]:
    """Peak memory of a pushing program, and over the floor measured in the same run."""
    peak, floor = (pushed(what, speech)["peak_mib"] for what in ("memory", "floor"))
    return {"peak_mib": peak, "above_numpy_and_onnxruntime_mib": peak - floor}


def start_pushing(speech: Path, repeats: int) -> float:
    """Median seconds from process start to the first block accepted, files warm."""
    took = []
    for _ in range(2 * repeats + 1):
        began = time.monotonic()
        took.append(pushed("start", speech)["accepted"] - began)
    return statistics.median(took)


def listening(audio: dict[str, Pcm], repeats: int) -> dict[str, Any]:
    """What runs on the virtual microphone: start-up, then silence and speech played to it."""
    silence, speech = audio["silence"], audio["speech"]
    with virtual_microphone() as mic:
        starts = [start_up(mic) for _ in range(2 * repeats + 1)]
        runs: list[dict[str, dict[str, dict[str, float]]]] = [
            {
                "listen": {
                    "silence": listen(mic, silence, terminal=False),
                    "speech": listen(mic, speech, terminal=False),
                    "speech, on a terminal": listen(mic, speech, terminal=True),
                },
                "serve": {"silence": serve(mic, silence)},
            }
            for _ in range(repeats)
        ]
    return {"listening_s": statistics.median(starts), **_median(runs)}


def _median(runs: list[Any]) -> Any:
    """Return the medians of figures in equal dictionaries."""
    if isinstance(runs[0], dict):
        return {name: _median([run[name] for run in runs]) for name in runs[0]}
    return statistics.median(runs)


def machine() -> dict[str, Any]:
    """What all this ran on."""
    cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    models = [line.split(":")[1].strip() for line in cpuinfo if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in VERSIONS},
        "date": time.strftime("%Y-%m-%d"),
        "load_average": os.getloadavg()[0],
    }


def measure(seconds: float, listen_s: float, repeats: int) -> dict[str, Any]:
    """Run everything."""
    audio = {kind: make(seconds * LONGER.get(kind, 1)) for kind, make in KINDS.items()}
    result: dict[str, Any] = {"machine": machine(), "seconds": seconds, "repeats": repeats}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = {kind: folder / kind for kind in audio}
        for kind, path in files.items():
            audio[kind].tofile(path)
        result["push"] = cpu(files, folder, repeats)
        result["hop"] = pushed("hop", files["speech"])
        result["memory"] = memory(files["speech"])
        result["start"] = {"pushing_s": start_pushing(files["speech"], repeats)}
    if listen_s:
        heard = listening({kind: KINDS[kind](listen_s) for kind in ("silence", "speech")}, repeats)
        result["start"]["listening_s"] = heard["listening_s"]
        result |= {name: heard[name] for name in ("listen", "serve")}
    return result


def report(result: dict[str, Any]) -> None:
    """Print the figures, each beside its target where it has one."""
    for section in ("push", "hop", "memory", "start", "listen", "serve"):
        for name, value in sorted(_flat(result.get(section, {}), section).items()):
            target = TARGETS.get(name)
            verdict = "" if target is None else f"  at most {target}"
            missed = target is not None and value > target
            print(f"{name:52} {value:10.5g}{verdict}{'  MISSED' if missed else ''}")


def main() -> None:
    """Measure, print, write benchmarks/cost.json."""
    parser = argparse.ArgumentParser(description="What spotting costs on this machine.")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each kind; noise: 10 times")
    parser.add_argument("--listen-s", type=float, default=15.0, help="0 leaves listening out")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args()
    result = measure(options.seconds, options.listen_s, options.repeats)
    report(result)
    options.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _flat(figures: dict[str, Any], path: str) -> dict[str, float]:
    flat: dict[str, float] = {}
    for name, value in figures.items():
        inner = f"{path}.{name}"
        flat |= _flat(value, inner) if isinstance(value, dict) else {inner: value}
    return flat


if __name__ == "__main__":
    main()
