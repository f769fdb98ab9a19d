"""Our Wyoming server, for benchmarks.serve: python -m benchmarks.serve_ours CORE LOG.

Prints its port; ends when stdin does. LOG: for every score which stream it is of (the client's
port), the sample that it had to wait for, and when it was known. That is noted by callbacks of
the streams' spotters, which the daemon itself does not have.
"""

from __future__ import annotations

import os
import sys
import time
from array import array
from collections.abc import Callable
from functools import partial

import numpy as np

from kws.flow import GateChanged, Scores
from kws.serve import heap
from kws.serve.build import build
from kws.serve.config import Config
from kws.serve.network import planned
from kws.serve.streams import Ear, Heard, Streams
from kws.serve.wyoming.server import Server
from kws.serve.wyoming.settings import Wyoming
from kws.spotter import Spotter


class Noting(Server):
    """Notes when scores are known."""

    log: array[float]

    def open(self, words: tuple[str, ...], told: Callable[[Heard], None]) -> Ear:
        """Begin a stream whose scores are noted."""
        client = told.__self__._transport  # type: ignore[attr-defined]  # noqa: SLF001
        make = partial(self._noted, client.get_extra_info("peername")[1])
        ear = self._streams.open(make, words, told, protocol="wyoming")
        self._ears.add(ear)
        return ear

    def _noted(self, port: int) -> Spotter:
        spotter, opened = self.offer.spotter(), [0.0]

        @spotter.on(GateChanged)
        def _(changed: GateChanged) -> None:
            opened[0] = changed.time_s

        @spotter.on(Scores)
        def _(hop: Scores) -> None:
            self.log.extend((port, max(hop.end, opened[0] * hop.rate), time.monotonic()))

        return spotter


def main() -> None:
    """Serve until told otherwise."""
    core, path = sys.argv[1:]
    os.sched_setaffinity(0, {int(core)})
    heap.keep_small()
    settings = Wyoming(uri="tcp://127.0.0.1:0", max_streams=2_000)
    offer = planned(build(Config(wyoming=settings))).offer
    if offer is None:
        raise SystemExit("no wake words")
    Noting.log = array("d")
    server = Noting(settings, offer, Streams())
    while server.address is None:
        time.sleep(0.01)
    sys.stdout.write(f"{server.address[1]}\n")
    sys.stdout.flush()
    sys.stdin.read()
    np.save(path, np.array(Noting.log).reshape(-1, 3))
    os._exit(0)


if __name__ == "__main__":
    main()
