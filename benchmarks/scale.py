"""What more processes are worth: `python -m benchmarks.scale` -> benchmarks/scale.json.

`kws spot FOLDER --workers N` over files of real speech, the whole command from its start to its
end: hours of audio a minute, by the clock and by the processors; peak memory of each worker.
The speech is that of the validation split, from the recordings that KWS_DATA names.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from benchmarks.cost import machine
from export.training.recordings import RATE, Pcm, keyword_free, load

RESULT = Path(__file__).with_suffix(".json")
WORKERS = (1, 2)
FILE_S = 120.0
"""How long each file is."""
POLL_S = 0.1


def speech(seconds: float) -> Pcm:
    """Utterances of keyword-free speech one after another, as they were recorded: int16 [n]."""
    clips, wanted = [], round(seconds * RATE)
    for clip in sorted(keyword_free("validation"), key=lambda clip: (clip.shard, clip.start)):
        if wanted <= 0:
            break
        clips.append(clip)
        wanted -= clip.samples
    audio = np.concatenate(load(clips))
    return audio[: round(seconds * RATE)]


def write(folder: Path, audio: Pcm) -> int:
    """Write the audio as FLAC files of two minutes; return how many."""
    starts = range(0, len(audio), round(FILE_S * RATE))
    for number, start in enumerate(starts):
        piece = audio[start : start + round(FILE_S * RATE)]
        soundfile.write(folder / f"{number:03}.flac", piece, RATE)
    return len(starts)


def spot(folder: Path, workers: int, output: Path) -> dict[str, Any]:
    """Run the command over the folder; return what it took and the peak of each process."""
    program = str(Path(sys.executable).parent / "kws")
    command = [program, "spot", str(folder), "--workers", str(workers)]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    peaks: dict[int, float] = {}
    with open(output, "wb") as out:
        process = subprocess.Popen(command, stdout=out)
        while process.poll() is None:
            for pid in [process.pid, *_workers(process.pid)]:
                peaks[pid] = _peak_mib(pid) or peaks.get(pid, 0.0)
            time.sleep(POLL_S)
    wall = time.monotonic() - began
    if process.returncode:
        raise OSError(f"kws spot ended with code {process.returncode}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "workers": workers,
        "wall_s": wall,
        "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "peak_mib": peaks.pop(process.pid),
        "worker_peak_mib": sorted(peaks.values()),
    }


def measure(minutes: float, repeats: int) -> dict[str, Any]:
    """Run with each number of workers, in turn; keep of each the run that was done first."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "speech"
        folder.mkdir()
        audio = speech(minutes * 60)
        hours, files = len(audio) / RATE / 3600, write(folder, audio)
        best: dict[int, dict[str, Any]] = {}
        outputs = set()
        for _ in range(repeats):
            for workers in WORKERS:
                output = Path(name) / "output"
                run = spot(folder, workers, output)
                outputs.add(output.read_bytes())
                if workers not in best or run["wall_s"] < best[workers]["wall_s"]:
                    best[workers] = run
    for run in best.values():
        run["hours_per_minute"] = hours / run["wall_s"] * 60
        run["hours_per_cpu_minute"] = hours / run["cpu_s"] * 60
    return {
        "machine": machine(),
        "audio_h": hours,
        "files": files,
        "repeats": repeats,
        "same_output": len(outputs) == 1,
        "speed_up": best[WORKERS[0]]["wall_s"] / best[WORKERS[-1]]["wall_s"],
        "runs": list(best.values()),
    }


def report(result: dict[str, Any]) -> None:
    """Print the figures, a line for each number of workers."""
    print(f"{result['audio_h']:.2f} h of speech in {result['files']} files")
    for run in result["runs"]:
        each = ", ".join(f"{peak:.0f}" for peak in run["worker_peak_mib"]) or "none"
        print(
            f"{run['workers']} workers: {run['hours_per_minute']:.2f} h a minute "
            f"({run['hours_per_cpu_minute']:.2f} a processor minute), "
            f"peak {run['peak_mib']:.0f} MiB, workers {each}"
        )
    print(f"speed-up {result['speed_up']:.2f}, same output: {result['same_output']}")


def main() -> None:
    """Measure, print, write benchmarks/scale.json."""
    parser = argparse.ArgumentParser(description="What more processes are worth.")
    parser.add_argument("--minutes", type=float, default=30.0, help="of speech")
    parser.add_argument("--repeats", type=int, default=2, help="the quickest run counts")
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args()
    result = measure(options.minutes, options.repeats)
    report(result)
    options.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _workers(pid: int) -> list[int]:
    """Return the processes that a command started to work for it."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except OSError:
        return []
    return [int(child) for child in children if b"spawn_main" in _command(int(child))]


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _peak_mib(pid: int) -> float | None:
    """Return a process's peak memory so far; None where it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    peaks = [int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")]
    return peaks[0] if peaks else None


if __name__ == "__main__":
    main()
