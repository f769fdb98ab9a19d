"""Runs: what each spotter said of each stream, kept beside the streams; and what it costs."""

from __future__ import annotations

import hashlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.peer_installs import PEERS, PROGRAMS, packages, size_mib, state

Job = tuple[str, str, Path]
"""A spotter's name, its program's option, and the stream it hears."""
STARTS = 7


class RunError(Exception):
    """A spotter's program failed; the message is its last word."""


def hear(job: Job, python: Path, runs: Path) -> dict[str, Any]:
    """Return what a spotter's program said of a stream: scores and events.

    What was said before of the same audio by the same program stays. Raises RunError.
    """
    name, option, stream = job
    file = kept(job, runs)
    if file.exists():
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return found
    said = _run(name, python, stream, "--scores", "--option", option)
    runs.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(".part")
    unfinished.write_text(json.dumps(said), encoding="utf-8")
    unfinished.replace(file)
    return said


def kept(job: Job, runs: Path) -> Path:
    """Return the file that holds what is said of a job, once it was run."""
    name, option, stream = job
    heard = f"{name}{option and '-' + option}-{stream.stem}"
    return runs / f"{heard}-{state(name)}-{_hash(stream)}.json"


def hear_all(
    jobs: Iterable[Job], pythons: dict[str, Path], runs: Path, workers: int
) -> dict[Job, dict[str, Any] | RunError]:
    """Run several jobs, `workers` at a time; a job that fails has its error instead."""

    def one(job: Job) -> dict[str, Any] | RunError:
        try:
            began = time.monotonic()
            said = hear(job, pythons[job[0]], runs)
        except RunError as error:
            return error
        took = f"{time.monotonic() - began:6.0f} s"
        print(f"{' '.join(job[:2]):24} {job[2].stem:12} {took}", file=sys.stderr, flush=True)
        return said

    jobs = list(jobs)
    with ThreadPoolExecutor(workers) as pool:
        return dict(zip(jobs, pool.map(one, jobs), strict=True))


def cost(name: str, python: Path, stream: Path, repeats: int) -> dict[str, Any]:
    """Return what a spotter takes, set as it ships: processor, memory, start-up, disk.

    The cheapest of `repeats` runs counts: what others do on the machine only adds. Start-up is
    the median from process start to the first block heard, files warm.
    """
    option = PEERS[name].options[0]
    runs = [_run(name, python, stream, "--option", option) for _ in range(repeats)]
    starts = []
    for _ in range(STARTS):
        began = time.monotonic()
        said = _run(name, python, stream, "--option", option, "--part", "0.02")
        starts.append(said["accepted"] - began)
    return {
        "cpu_s_per_s": round(min(run["cpu_s_per_s"] for run in runs), 5),
        "peak_mib": round(statistics.median(run["peak_mib"] for run in runs), 1),
        "start_s": round(statistics.median(starts), 3),
        "install_mib": round(size_mib(python), 1),
        "packages": packages(python),
        "audio_s": runs[0]["audio_s"],
    }


def _run(name: str, python: Path, stream: Path, *options: str) -> dict[str, Any]:
    # -P and -I would hide the modules beside the program; -s keeps the user's packages away.
    command = [str(python), "-s", str(PROGRAMS / "feed.py"), PEERS[name].program, str(stream)]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    if done.returncode:
        wrong = [line for line in done.stderr.splitlines() if line.strip()]
        raise RunError(wrong[-1].strip() if wrong else f"exit code {done.returncode}")
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


@cache
def _hash(stream: Path) -> str:
    digest = hashlib.sha256()
    with open(stream, "rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()[:12]
