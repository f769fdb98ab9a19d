"""wyoming-openwakeword, for benchmarks.serve: PYTHON serve_theirs.py CORE LOG PORT.

Runs its own command in its own virtual environment; needs nothing of ours. Ends when stdin does.
LOG: for every score the timestamp of the newest piece that had come when its spectrogram was
made, as the server passes it on, and when the score was known: noted where the server counts its
activations, once a score.
"""

from __future__ import annotations

import array
import asyncio
import os
import sys
import threading
import time

from wyoming_openwakeword import __main__ as command  # type: ignore[import-not-found]
from wyoming_openwakeword import const, handler

LOG: array.array[float] = array.array("d")


class Noting(const.WakeWordData):  # type: ignore[misc]
    """Notes when scores are known."""

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        if name == "activations" and hasattr(self, "trigger_level"):
            LOG.extend((self.embeddings_timestamp, time.monotonic()))


def _until_stdin_ends(path: str) -> None:
    sys.stdin.read()
    with open(path, "wb") as file:
        LOG.tofile(file)
    os._exit(0)


def main() -> None:
    """Serve until told otherwise."""
    core, path, port = sys.argv[1:]
    os.sched_setaffinity(0, {int(core)})
    handler.WakeWordData = Noting
    threading.Thread(target=_until_stdin_ends, args=(path,), daemon=True).start()
    sys.argv[1:] = ["--uri", f"tcp://127.0.0.1:{port}"]
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    asyncio.run(command.main())


if __name__ == "__main__":
    main()
