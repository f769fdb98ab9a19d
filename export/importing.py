"""Importing: from foreign model files to one file of ours, proven equal to what they gave."""

from __future__ import annotations

import importlib
import pkgutil
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import onnx

from export import importers, recordings
from export.write import check_target, write
from kws import card as cards
from kws import origin, selftest
from kws.card import Card
from kws.errors import ExportError, ParityError
from kws.flow import Samples
from kws.session import Model, load

CLIPS = 40
"""Recordings that source and file are compared on."""
DRIFT = 1e-4
"""By how much a score may differ from its source's: both are the same float32 arithmetic."""
CALLS = 100

Say = Callable[[str], None]


@dataclass(frozen=True)
class ImportRequest:
    """What the user wants imported, and how.

    sources: files, each with its labels where they were named. features: a folder with the parts
    that the format shares among its models; None: from the package index. licence: of the models
    that tell none. gate: `webrtc` or `none`; None: what suits the format.
    """

    sources: Sequence[tuple[Path, tuple[str, ...]]]
    features: Path | None = None
    licence: str | None = None
    gate: str | None = None


@dataclass(frozen=True)
class ImportedModel:
    """A stream model's graph with its card, and what it must equal.

    reference: runs the source as its own engine does: float32 [samples], of which each `hop` gives
    a row of scores [hops, labels], beginning after silence. source_bytes: what the source takes on
    disk.
    """

    graph: onnx.ModelProto
    card: Card
    reference: Callable[[Samples], Samples]
    source_bytes: int


class Importer(Protocol):
    """A module in `export/importers`. SOURCES: what it reads, in a line."""

    SOURCES: str

    def read(self, request: ImportRequest, say: Say) -> ImportedModel:
        """Read the sources. Raises ExportError: a file is another thing, or parts are missing."""


def formats() -> list[str]:
    """Return the names of the formats: of the files in `export/importers`."""
    return [module.name for module in pkgutil.iter_modules(importers.__path__)]


def find_importer(name: str) -> Importer:
    """Return the importer of a format. Raises ExportError: there is none."""
    if name not in formats():
        raise ExportError(f"{name}: no such format; there are: {', '.join(formats())}")
    module: Importer = importlib.import_module(f"{importers.__name__}.{name}")
    return module


def import_model(
    name: str, request: ImportRequest, out: Path, say: Say, *, overwrite: bool = False
) -> Card:
    """Write the model file `out` of foreign files of the format `name`; return its card.

    say: hears what is going on, a line at a time. Raises ExportError: it can't be done;
    ParityError: the file would differ from its source, and nothing was written.
    """
    check_target(out, overwrite=overwrite)
    found = find_importer(name).read(request, say)
    with tempfile.TemporaryDirectory(prefix="kws-import-") as folder:
        path = Path(folder) / "model.onnx"
        write(found.graph, found.card, path)
        model = load(path)
        clips = recordings.evenly(recordings.default(found.card.sample_rate), CLIPS)
        say(f"comparing with the source on {len(clips)} recordings")
        parity = _compare(model, found, [clip.samples for clip in clips])
        if not parity.max_difference <= DRIFT:  # NaN is no parity
            raise ParityError(
                f"{out}: differs from its source by {parity.max_difference:.2g} in score (at most "
                f"{DRIFT:g}); nothing was written"
            )
        cost = origin.Cost(parity.variants[-1].ms, platform.processor() or platform.machine())
        card = cards.replace(found.card, parity=parity, cost=cost, self_test=selftest.made(model))
        write(found.graph, card, out, overwrite=overwrite)
    return card


def _compare(model: Model, found: ImportedModel, clips: Sequence[Samples]) -> origin.Parity:
    """Compare the file with its source at every hop of the clips, heard as one stream."""
    hop = model.card.hop
    audio = np.concatenate(clips)
    audio = audio[: len(audio) // hop * hop]
    begun = time.process_time()
    wanted = found.reference(audio)
    source_ms = 1000 * (time.process_time() - begun) / len(wanted)
    state, got = model.initial_state, []
    for start in range(0, len(audio), hop):
        scores, state = model.run(audio[None, start : start + hop], state)
        got.append(scores[0])
    same = [one.argmax() == other.argmax() for one, other in zip(got, wanted, strict=True)]
    return origin.Parity(
        clips=len(clips),
        max_difference=float(np.abs(np.array(got) - wanted).max()),
        top1_agreement=float(np.mean(same)),
        variants=[
            origin.Variant("source", found.source_bytes, round(source_ms, 3)),
            origin.Variant("float32", model.path.stat().st_size, _ms(model, audio[:hop])),
        ],
    )


def _ms(model: Model, audio: Samples) -> float:
    """Return what a hop costs at best, one thread, in milliseconds."""
    costs = []
    for _ in range(CALLS):
        begun = time.perf_counter()
        model.run(audio[None], model.initial_state)
        costs.append(time.perf_counter() - begun)
    return round(1000 * min(costs), 3)
