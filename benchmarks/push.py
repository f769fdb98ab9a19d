"""A program that pushes audio into a Spotter, measured from inside: prints one line of JSON.

    python -m benchmarks.push cpu FILE RATE      CPU seconds per second of audio
    python -m benchmarks.push hop FILE RATE      how long single inferences take
    python -m benchmarks.push memory FILE RATE   peak memory, the file read as it goes
    python -m benchmarks.push start FILE RATE    the moment the first block was accepted
    python -m benchmarks.push floor FILE RATE    peak memory with numpy and onnxruntime alone

FILE holds int16 samples at RATE; they are pushed 20 ms at a time.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

BLOCK_S = 0.02


def blocks(path: str, rate: int) -> Iterator[NDArray[np.int16]]:
    """Read int16 blocks [n] from a file of samples, one at a time as from a pipe."""
    size = round(BLOCK_S * rate)
    with open(path, "rb") as file:
        while len(data := file.read(2 * size)) == 2 * size:
            yield np.frombuffer(data, np.int16)


def peak_mib() -> float:
    """Return this process's peak resident memory in MB (10^6 bytes)."""
    # Not getrusage: its figure begins with that of the process that started this one.
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise OSError("/proc/self/status has no VmHWM")


def cpu(path: str, rate: int) -> dict[str, float]:
    """CPU seconds per second of audio, all threads; and how long the gate was open."""
    import kws

    spotter = kws.Spotter()
    audio = list(blocks(path, rate))
    for block in audio[:100]:
        spotter.push(block, sample_rate=rate)
    spotter.reset()
    before = time.process_time()
    for block in audio:
        spotter.push(block, sample_rate=rate)
    used = time.process_time() - before
    heard = len(audio) * BLOCK_S
    return {"cpu_s_per_s": used / heard, "gate_open": spotter.stats.open_s / spotter.stats.audio_s}


def hop(path: str, rate: int) -> dict[str, float]:
    """Milliseconds that a push takes when it brings one inference."""
    import kws

    spotter = kws.Spotter()
    took: list[float] = []
    for block in blocks(path, rate):
        done, before = spotter.stats.inferences, time.perf_counter()
        spotter.push(block, sample_rate=rate)
        after = time.perf_counter()
        if spotter.stats.inferences == done + 1:
            took.append((after - before) * 1e3)
    p50, p95, p99 = np.percentile(took, [50, 95, 99])
    return {"hops": len(took), "p50_ms": p50, "p95_ms": p95, "p99_ms": p99}


def memory(path: str, rate: int) -> dict[str, float]:
    """Peak memory of a program that does nothing but push."""
    import kws

    spotter = kws.Spotter()
    for block in blocks(path, rate):
        spotter.push(block, sample_rate=rate)
    return {"peak_mib": peak_mib()}


def start(path: str, rate: int) -> dict[str, float]:
    """The monotonic time at which the first block had been accepted."""
    import kws

    spotter = kws.Spotter()
    spotter.push(next(blocks(path, rate)), sample_rate=rate)
    return {"accepted": time.monotonic()}


def floor(path: str, rate: int) -> dict[str, float]:
    """Peak memory of a process that imports numpy and onnxruntime and does nothing."""
    import onnxruntime  # noqa: F401 - its memory is what is measured

    return {"peak_mib": peak_mib()}


def main() -> None:
    """Measure what the command line names."""
    measures = {"cpu": cpu, "hop": hop, "memory": memory, "start": start, "floor": floor}
    what, path, rate = sys.argv[1:]
    sys.stdout.write(json.dumps(measures[what](path, int(rate))) + "\n")
    sys.stdout.flush()
    os._exit(0)  # what happens at exit is no part of any measure


if __name__ == "__main__":
    main()
