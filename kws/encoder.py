"""Encoder: the network that the heads of many models share, one in a process."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from threading import Lock
from typing import NamedTuple
from weakref import WeakValueDictionary

import numpy as np

from kws.card import KEY, Card, decode
from kws.errors import CardError, ModelError
from kws.flow import Samples
from kws.foreign import identify
from kws.onnx_graph import OnnxGraph

PACKAGED = Path(__file__).parent / "models" / "verifier.onnx"
"""The file whose encoder the heads were made for."""
REMEMBERED = 16
"""Windows whose features are kept: more than a window model hears when a gate opens."""
STEP = 400
"""Two windows that agree at every so-many-th sample are compared whole."""


class _Window(NamedTuple):
    audio: Samples
    scores: Samples
    features: Samples


class Encoder:
    """Turns windows of audio into what heads hear. Thread-safe.

    Each window is computed once, whoever asks for it: what was asked for lately is remembered.

    id: what names its weights. window: samples; shape: of a window's features, (steps, width).
    """

    def __init__(self, graph: OnnxGraph, card: Card) -> None:
        found = {node.name: node.shape for node in graph.outputs}.get("features", [])
        if card.kind != "window" or len(found) != 3 or not card.labels:
            raise CardError(f"{graph.path}: holds no encoder; install kws again")
        self.graph, self.card, self.id = graph, card, card.encoder
        self.window, self.shape = card.window, tuple(found[1:])
        self._windows: OrderedDict[bytes, _Window] = OrderedDict()
        self._lock = Lock()

    def features(self, audio: Samples) -> Samples:
        """Return the features of windows, float32 [batch, samples] -> [batch, steps, width].

        Raises ModelError: the graph fails.
        """
        return np.stack([window.features for window in self._known(audio)])

    def scores(self, audio: Samples) -> Samples:
        """Return the scores of the encoder's own head: float32 [batch, labels]."""
        return np.stack([window.scores for window in self._known(audio)])

    def _known(self, audio: Samples) -> list[_Window]:
        """Return all that is known of windows; what isn't known yet is computed in one call."""
        keys = [row[::STEP].tobytes() for row in audio]
        with self._lock:
            found = [self._remembered(key, row) for key, row in zip(keys, audio, strict=True)]
        new: dict[bytes, int] = {}  # each once
        for number, row in enumerate(audio):
            if found[number] is None:
                new.setdefault(row.tobytes(), number)
        if new:
            rows = audio[list(new.values())]
            scores, features = self.graph.run(["scores", "features"], {"audio": rows})
            # Copied, or what is remembered of one would hold on to all others'.
            made = {
                content: _Window(audio[number].copy(), scores[n].copy(), features[n].copy())
                for n, (content, number) in enumerate(new.items())
            }
            with self._lock:
                for content, number in new.items():
                    self._remember(keys[number], made[content])
            for number, row in enumerate(audio):
                found[number] = found[number] or made[row.tobytes()]
        return [window for window in found if window is not None]

    def _remembered(self, key: bytes, audio: Samples) -> _Window | None:
        window = self._windows.get(key)
        if window is None or not np.array_equal(window.audio, audio):
            return None
        self._windows.move_to_end(key)
        return window

    def _remember(self, key: bytes, window: _Window) -> None:
        self._windows[key] = window
        self._windows.move_to_end(key)
        while len(self._windows) > REMEMBERED:
            self._windows.popitem(last=False)


_opened: WeakValueDictionary[tuple[Path, int, int], Encoder] = WeakValueDictionary()
"""By path, time of the last change and size."""
_opening = Lock()


def packaged() -> Encoder:
    """Return the encoder that comes with the package, opened once for all that use it.

    Raises ModelError and CardError: it is missing, or can't be read.
    """
    if not PACKAGED.is_file():
        raise ModelError(f"{PACKAGED}: no such file; install kws again")
    status = PACKAGED.stat()
    key = PACKAGED, status.st_mtime_ns, status.st_size
    with _opening:
        found = _opened.get(key)
        if found is None:
            graph = OnnxGraph(PACKAGED)
            found = _opened[key] = Encoder(graph, read_card(graph))
        return found


def read_card(graph: OnnxGraph) -> Card:
    """Return the card in a file. Raises CardError."""
    try:
        text = graph.metadata(KEY)
    except UnicodeDecodeError:
        raise CardError(f"{graph.path}: the model card is not UTF-8; export it again") from None
    if text is None:
        raise CardError(f"{graph.path}: {identify(graph.signature, str(graph.path))}")
    return decode(text, where=str(graph.path))


def encoder_of(path: Path, card: Card) -> Encoder:
    """Return the encoder that a head needs. Raises ModelError: it isn't here, or another one."""
    try:
        encoder = packaged()
    except ModelError as error:
        raise ModelError(f"{path}: needs the encoder that comes with kws: {error}") from None
    if encoder.id != card.encoder:
        raise ModelError(
            f"{path}: was made for another version's encoder; run kws train again on its folder"
        )
    return encoder
