"""The exporter: from what the user named to one verified file."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import onnx

from export import assemble, graph, recordings, verify
from export.checkpoint import Checkpoint
from export.describe import Use, describe
from export.families import Asked, Original, find
from export.int8.check import check_storage
from export.int8.quantize import quantize
from export.recordings import Clip
from export.sources import locate
from export.write import check_target, write
from kws import card as cards
from kws import origin, selftest
from kws.card import Card
from kws.errors import ExportError
from kws.flow import Samples
from kws.gates import webrtc
from kws.origin import Parity, Quantization
from kws.session import Model, load

Say = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """What an export does, besides reading a checkpoint.

    quantize: how weights are kept. via: which exporter; None is optimum where it can.
    calibration: a folder of recordings to quantize and compare with, in label folders or not; None
    is the synthesised ones that come with the package. most: recordings taken of either.
    force: write a file that is not faithful, which its card then says.
    """

    quantize: Literal["int8", "none"] = "int8"
    via: assemble.Way | None = None
    asked: Asked = field(default_factory=Asked)
    use: Use = field(default_factory=Use)
    calibration: Path | None = None
    most: int = 100
    overwrite: bool = False
    force: bool = False


def export(source: str, out: Path, options: Options, say: Say) -> Card:
    """Write the model file `out` of the checkpoint `source`; return its card.

    say: hears what is going on, a line at a time. Raises ExportError: it can't be done;
    ParityError: the file would differ from its source, and nothing was written; DataError: the
    recordings can't be used.
    """
    check_target(out, overwrite=options.overwrite)
    try:
        return _export(source, out, options, say)
    except OSError as error:  # most of all, no space for what lies about meanwhile
        raise ExportError(f"{error.filename or out}: {error.strerror or error}") from None


def _export(source: str, out: Path, options: Options, say: Say) -> Card:
    checkpoint = locate(source, say)
    original = find(checkpoint).read(checkpoint, options.asked)
    _check_size(original, out, options)
    way = assemble.way(original, options.via)
    card = describe(checkpoint, original, options.use, assemble.told(way))
    for note in original.notes if options.use.window_s is None else []:
        say(note)
    if not webrtc.hears(card.sample_rate):
        say(f"no gate can hear {card.sample_rate} Hz: the model will be run all the time")
    original = replace(original, window=card.window)
    calibration, clips = _clips(original, options)
    with tempfile.TemporaryDirectory(prefix="kws-export-") as name:
        files = Files(Path(name), card)
        say(f"{original.family}: exporting {checkpoint.name} by {assemble.told(way)}")
        files.float32(assemble.assemble(original, way, files.folder))
        if options.quantize == "int8":
            say(f"quantizing, {original.scheme}")
            card = cards.replace(card, quantization=files.int8(original, calibration))
        clips = verify.affordable(original, clips)
        say(f"comparing with the source on {len(clips)} recordings")
        parity = _compare(checkpoint, original, files, clips)
        parity = verify.judge(parity, str(out), force=options.force)
        cpu = platform.processor() or platform.machine()
        card = cards.replace(
            card,
            parity=parity,
            cost=origin.Cost(parity.variants[-1].ms, cpu),
            self_test=selftest.made(files.model(parity.variants[-1].name)),
        )
        write(files.last(), card, out, overwrite=options.overwrite)
    return card


class Files:
    """The forms of the model while it is made: `float32.onnx` and, where asked for, `int8.onnx`."""

    def __init__(self, folder: Path, card: Card) -> None:
        self.folder, self._card = folder, card
        self.paths: dict[str, Path] = {}

    def float32(self, model: onnx.ModelProto) -> None:
        """Save the float32 graph."""
        self._save("float32", model)

    def int8(self, original: Original, clips: Sequence[Clip]) -> Quantization:
        """Make the int8 graph of the float32 graph; return how that was done."""
        source, target = self.paths["float32"], self.folder / "int8.onnx"
        if original.scheme == "storage":
            model = onnx.load(source)
            graph.store_int8(model)
            check_storage(model)
            self._save("int8", model)
            return Quantization("int8-storage", ["front end", "vectors"])
        windows = (_one_window(clip.samples, original.window) for clip in clips)
        told = quantize(source, target, original.scheme, windows)
        self._save("int8", onnx.load(target))
        return told

    def model(self, name: str) -> Model:
        """Open one of the forms."""
        return load(self.paths[name])

    def last(self) -> onnx.ModelProto:
        """Return the form that was made last."""
        return onnx.load(list(self.paths.values())[-1])

    def _save(self, name: str, model: onnx.ModelProto) -> None:
        self.paths[name] = path = self.folder / f"{name}.onnx"
        graph.save(model, path, {cards.KEY: cards.encode(self._card)})


def _check_size(original: Original, out: Path, options: Options) -> None:
    """Raise ExportError where the file could not hold the network."""
    network = original.network
    if options.quantize == "none" and network and graph.parameters(network) > graph.LIMIT:
        raise ExportError(
            f"{out}: {graph.parameters(network) / 1e9:.1f} GB of float32 weights, but one ONNX "
            "file holds 2 GB; leave --quantize none out"
        )


def _clips(original: Original, options: Options) -> tuple[list[Clip], list[Clip]]:
    """Return what to quantize with and what to compare on; apart where that could flatter."""
    if options.calibration is None:
        clips = recordings.evenly(recordings.default(original.rate), options.most)
    else:
        clips = recordings.read(options.calibration, original.rate, options.most)
    return recordings.halves(clips) if original.scheme == "static" else ([], clips)


def _one_window(samples: Samples, window: int) -> Samples:
    return np.pad(samples[:window], (0, max(0, window - len(samples))))


def _compare(
    checkpoint: Checkpoint, original: Original, files: Files, clips: Sequence[Clip]
) -> Parity:
    forms = [verify.Form("source", checkpoint.weight_bytes(), original.reference)]
    forms += [verify.form(name, files.model(name), path) for name, path in files.paths.items()]
    return verify.compare(original, forms, clips)
