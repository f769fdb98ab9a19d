"""Metrics: figures as Prometheus reads them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import accumulate
from pathlib import Path

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from kws.flow import VerifierStats
from kws.serve import logs
from kws.serve.http.house import House
from kws.serve.tally import BOUNDS_S, Tally

KIND = "text/plain; version=0.0.4"

VERIFIER = {
    "candidates": "Stretches of audio that the verifier was asked about.",
    "verified": "Keywords that it agreed to.",
    "refused": "Stretches that gave no keyword.",
    "calls": "Calls of the verifier.",
    "skipped": "Calls that its limit did not allow.",
    "failures": "Calls that failed: the first stage decided.",
}

Labels = dict[str, str]
Samples = Iterable[tuple[Labels, float]]


class Metrics:
    """All figures, as they stand at the moment they are asked for."""

    def __init__(self, house: House) -> None:
        self._house = house

    async def text(self, request: Request) -> Response:
        """Answer with all of them."""
        return PlainTextResponse("\n".join([*self._lines(), ""]), media_type=KIND)

    def _lines(self) -> Iterator[str]:
        house = self._house
        tallies = [({"microphone": name}, vital.tally) for name, vital in house.ears.vitals]
        heard = "Audio heard."
        yield from _metric("audio_seconds", heard, ((at, each.audio_s) for at, each in tallies))
        passed = "Audio that the gate let through."
        yield from _metric("open_seconds", passed, ((at, each.open_s) for at, each in tallies))
        lost = "Audio that was lost."
        yield from _metric("lost_seconds", lost, ((at, each.lost_s) for at, each in tallies))
        scored = "Hops scored."
        yield from _metric("inferences", scored, ((at, each.inferences) for at, each in tallies))
        yield from _histogram("kws_hop_seconds", "How long a hop took.", tallies)
        done = [(at, each.verifier) for at, each in tallies if each.verifier is not None]
        remote = house.streams.verifiers.copy()
        yield from _verifier([*done, *(({"stream": by}, remote[by]) for by in sorted(remote))])
        if done:
            took = "Time that hops with calls of the verifier took."
            spent = ((at, each.verifier_s) for at, each in tallies if each.verifier is not None)
            yield from _metric("verifier_seconds", took, spent)
        words = [
            ({"microphone": at, "keyword": word}, float(count))
            for (at, word), count in sorted(house.words.copy().items())
        ]
        yield from _metric("detections", "Keywords heard.", words)
        losses = [({"microphone": at}, float(n)) for at, n in sorted(house.losses.copy().items())]
        yield from _metric("microphone_losses", "Times that a microphone was lost.", losses)
        outlets = [({"sink": f"{n}:{o.name}"}, o) for n, o in enumerate(house.audience.outlets)]
        for name, what in ("sent", "told"), ("failed", "not told"), ("dropped", "dropped"):
            counts = [(at, float(getattr(outlet, name))) for at, outlet in outlets]
            yield from _metric(f"sink_{name}", f"Facts {what}.", counts)
        dropped: list[tuple[Labels, float]] = [({}, float(house.feed.dropped))]
        yield from _metric("followers_dropped", "Facts that a follower was too slow for.", dropped)
        unread: list[tuple[Labels, float]] = [({}, float(logs.dropped()))]
        yield from _metric("log_lines_dropped", "Lines of the log that nobody read.", unread)
        if (resident := _resident()) is not None:
            yield "# TYPE process_resident_memory_bytes gauge"
            yield f"process_resident_memory_bytes {resident}"


def _verifier(done: list[tuple[Labels, VerifierStats]]) -> Iterator[str]:
    """Give what verifiers have done; where there is none, nothing."""
    for name, what in VERIFIER.items() if done else ():
        yield from _metric(
            f"verifier_{name}", what, ((at, float(getattr(each, name))) for at, each in done)
        )


def _metric(name: str, what: str, samples: Samples) -> Iterator[str]:
    full = f"kws_{name}_total"
    yield f"# HELP {full} {what}"
    yield f"# TYPE {full} counter"
    for labels, value in samples:
        yield f"{full}{_labels(labels)} {value:.10g}"


def _histogram(name: str, what: str, tallies: list[tuple[Labels, Tally]]) -> Iterator[str]:
    yield f"# HELP {name} {what}"
    yield f"# TYPE {name} histogram"
    for labels, tally in tallies:
        counts = list(accumulate(tally.hops))
        for bound, count in zip([*map(str, BOUNDS_S), "+Inf"], counts, strict=True):
            yield f"{name}_bucket{_labels({**labels, 'le': bound})} {count}"
        yield f"{name}_sum{_labels(labels)} {tally.took_s:.10g}"
        yield f"{name}_count{_labels(labels)} {counts[-1]}"


def _labels(labels: Labels) -> str:
    each = [f'{name}="{_escaped(value)}"' for name, value in labels.items()]
    return f"{{{','.join(each)}}}" if each else ""


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _resident() -> int | None:
    """Return the bytes of memory that this process holds; None: the system does not tell."""
    if sys.platform == "linux":
        import resource

        with suppress(OSError, ValueError, IndexError):
            return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    return None
