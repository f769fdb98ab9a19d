"""A program that feeds audio to one spotter, as its own client would: prints one line of JSON.

    python feed.py SPOTTER FILE [--option TEXT] [--part SECONDS] [--scores]

SPOTTER is a module beside this file with `BLOCK`, samples fed at a time, and `spotter(option)`,
which returns `hear(block)`: int16 bytes in; out the highest score that became known, and whether
the spotter, set as it ships, reported the word. FILE holds int16 samples at 16 kHz. Runs with
nothing installed but the spotter, whose processor time and memory it tells:
`accepted`: the monotonic clock when the first block had been heard; `cpu_s_per_s`: processor
seconds, all threads, per second of audio from then on; `peak_mib`: resident memory; `events_s`:
where the audio fed had reached at each report; `scores`: one a block.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import time
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

RATE = 16_000


def blocks(path: str, size: int, part: float | None) -> Iterator[bytes]:
    """Read blocks of `size` samples, one at a time as from a pipe; the last is filled up."""
    left = None if part is None else round(part * RATE)
    with open(path, "rb") as file:
        while data := file.read(2 * size):
            yield data.ljust(2 * size, b"\0")
            if left is not None:
                left -= size
                if left <= 0:
                    return


def peak_mib() -> float:
    """Return this process's peak resident memory in MiB."""
    # Not getrusage: its figure begins with that of the process that started this one.
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise OSError("/proc/self/status has no VmHWM")


def feed(
    hear: Callable[[bytes], tuple[float, bool]], audio: Iterator[bytes], size: int, *, scores: bool
) -> dict[str, Any]:
    """Feed every block; return what came of it."""
    kept, events, count = array("f"), [], 0
    accepted = began = 0.0
    for block in audio:
        score, fired = hear(block)
        count += 1
        if count == 1:
            accepted, began = time.monotonic(), time.process_time()
        if scores:
            kept.append(score)
        if fired:
            events.append(count * size / RATE)
    heard = max(1, count - 1) * size / RATE
    return {
        "accepted": accepted,
        "cpu_s_per_s": (time.process_time() - began) / heard,
        "peak_mib": peak_mib(),
        "audio_s": count * size / RATE,
        "block_s": size / RATE,
        "events_s": events,
        "scores": kept.tolist(),
    }


def main() -> None:
    """Make the spotter that the command line names, and feed it."""
    parser = argparse.ArgumentParser(description="Feed audio to one spotter.")
    parser.add_argument("spotter")
    parser.add_argument("file")
    parser.add_argument("--option", default="")
    parser.add_argument("--part", type=float, default=None)
    parser.add_argument("--scores", action="store_true")
    options = parser.parse_args()
    module = importlib.import_module(options.spotter)
    hear, size = module.spotter(options.option), module.BLOCK
    audio = blocks(options.file, size, options.part)
    sys.stdout.write(json.dumps(feed(hear, audio, size, scores=options.scores)) + "\n")
    sys.stdout.flush()
    os._exit(0)  # what happens at exit is no part of any measure


if __name__ == "__main__":
    main()
