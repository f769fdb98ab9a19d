"""Hours of listening: `python -m benchmarks.soak [--hours H]` -> benchmarks/soak.json.

The daemon hears a scripted microphone, many times as fast as real time: words, noise, silence,
digital zeros. Meanwhile the microphone is lost, configs are read again, sinks and a second
microphone come and go, one sink fails slowly, recordings are kept, the own speaker plays, the
model tests itself. For periods the microphone drops every few seconds, and the disk is full;
nobody reads stdout or stderr, and one program that is run never ends. What is measured is whether
anything grows: memory, threads, open files; and whether anything is lost that is not counted.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import resource
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.soak_counters import DISK
from benchmarks.soak_faults import MOUNTED, can_mount, small_disk, with_own_mounts
from benchmarks.soaked import END_S, Soaked

RESULT = Path(__file__).with_suffix(".json")
MIB = 2**20
WARM_UP = 0.1
"""The share of the time in which memory may still grow: the allocator settles."""
LOOKS, LOOK_S = 1200, 0.05
"""So often, at most, it is looked whether what was replaced is gone: a busy machine takes long."""


@dataclass(frozen=True)
class Sample:
    """What the process held after so many hours of audio. threads, files: how many."""

    hours: float
    rss_mib: float
    threads: int
    files: int


class Samples:
    """What was held, time after time."""

    def __init__(self) -> None:
        self.all: list[Sample] = []

    def take(self, hours: float) -> None:
        """Look once what is held, after what was replaced is gone."""
        gc.collect()
        least = self.all[:1]
        for _ in range(LOOKS):
            threads, files = _held()
            if not least or (threads <= least[0].threads and files <= least[0].files):
                break
            time.sleep(LOOK_S)
        self.all.append(Sample(round(hours, 3), round(_rss_mib(), 2), threads, files))

    def summary(self, warm_up: float) -> dict[str, Any]:
        """Return what was held after the warm-up, a share of the time, and what grew since."""
        warm = [one for one in self.all if one.hours >= warm_up * self.all[-1].hours]
        growth = max(one.rss_mib for one in warm) - warm[0].rss_mib
        return {
            "warm": asdict(warm[0]),
            "end": asdict(warm[-1]),
            "growth_mib": round(growth, 2),
            "samples": [list(asdict(one).values()) for one in self.all],
        }


def measure(hours: float, warm_up: float, *, mounted: bool) -> dict[str, Any]:
    """Run the daemon over `hours` of audio; return the result. mounted: its disk can fill up."""
    samples, began = Samples(), time.monotonic()
    # Bound, but nobody listens: whoever connects is refused.
    with (
        tempfile.TemporaryDirectory() as name,
        small_disk(Path(name) / DISK, is_real=mounted) as disk,
        socket.socket() as nobody,
    ):
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        soaked = Soaked(Path(name), hours, port, disk, lambda: _look(soaked, samples))
        soaked.run()
        if soaked.day.losses < soaked.day.rounds:
            sys.exit("stopped before its end; nothing is written")
        wall = time.monotonic() - began
        left = _left()
        spent = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "audio_h": round(soaked.hours, 2),
            "wall_s": round(wall, 1),
            "cpu_s": round(spent.ru_utime + spent.ru_stime, 1),
            "times_real_time": round(3600 * soaked.hours / wall),
            **samples.summary(warm_up),
            "threads_left": left,
            **_happened(soaked),
            "full_disk": "tmpfs" if mounted else "none: nothing can be mounted here",
            "ticks": soaked.notify.ticks,
            "watchdog_fed": soaked.notify.fed,
            "outlets": soaked.ledger.figures,
        }


def _happened(soaked: Soaked) -> dict[str, Any]:
    """Return what was said and heard, lost and counted."""
    facts = list(soaked.facts())
    read_again, refused, tested = soaked.log.counts.values()
    return {
        "told": Counter(fact["type"] for fact in facts),
        "words": {
            "expected": soaked.day.expected,
            "heard": sum(
                fact["type"] == "detection" and fact["microphone"] == "kitchen" for fact in facts
            ),
        },
        "seconds": soaked.seconds,
        "losses": soaked.day.losses,
        "flaps": soaked.day.flaps,
        "reloads": read_again,
        "reloads_refused": refused,
        "self_tests": tested,
        "recordings": soaked.recordings,
        "facts_on_full_disk": soaked.on_disk,
        "printed": soaked.printed,
    }


def _look(soaked: Soaked, samples: Samples) -> None:
    """Take a sample of memory, threads and files after the replaced sinks have ended."""
    soaked.ledger.settle(LOOKS * LOOK_S)
    samples.take(soaked.hours)


def report(result: dict[str, Any]) -> None:
    """Print the figures."""
    warm, end, told = result["warm"], result["end"], result["told"]
    print(
        f"{result['audio_h']:.1f} h of audio in {result['wall_s'] / 60:.1f} minutes, "
        f"{result['times_real_time']} times real time"
    )
    print(
        f"{sum(told.values())} facts, {told['detection']} of them words; "
        f"{result['words']['heard']} of {result['words']['expected']} said in the kitchen; "
        f"{result['losses']} losses, {result['flaps']} flaps, {result['reloads']} reloads, "
        f"{result['reloads_refused']} refused, "
        f"{result['self_tests']} self-tests"
    )
    for name, each in result["outlets"].items():
        print(f"{name}: {', '.join(f'{count} {what}' for what, count in each.items())}")
    print(f"seconds: {result['seconds']}; printed: {result['printed']}")
    print(f"memory {warm['rss_mib']:.1f} MiB, grew by {result['growth_mib']:.1f} at most")
    print(f"threads {warm['threads']} -> {end['threads']}, files {warm['files']} -> {end['files']}")


def main() -> None:
    """Measure, print, write benchmarks/soak.json."""
    parser = argparse.ArgumentParser(description="Hours of listening, losses and reloads.")
    parser.add_argument("--hours", type=float, default=24.0, help="of audio")
    parser.add_argument("--warm-up", type=float, default=WARM_UP, help="a share of these")
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument(MOUNTED, action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.mounted and can_mount():
        with_own_mounts("benchmarks.soak", sys.argv[1:])
    asked = [each for each in sys.argv[1:] if each != MOUNTED]
    result = {
        "command": " ".join(["python -m benchmarks.soak", *asked]),
        **measure(options.hours, options.warm_up, mounted=options.mounted),
        "machine": _machine(),
    }
    report(result)
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _machine() -> Any:
    if sys.platform != "linux":
        return platform.platform()
    from benchmarks.cost import machine

    return machine()


def _held() -> tuple[int, int]:
    """Return how many threads run, and files are open."""
    files = Path("/proc/self/fd" if sys.platform == "linux" else "/dev/fd")
    return threading.active_count(), len(list(files.iterdir()))


def _left() -> int:
    """Return how many threads are left that do not end."""
    others = [one for one in threading.enumerate() if one is not threading.current_thread()]
    for one in others:
        one.join(END_S)
    return sum(one.is_alive() for one in others)


def _rss_mib() -> float:
    """Return the memory that is held; elsewhere than on Linux the most that was."""
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / MIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MIB


if __name__ == "__main__":
    main()
