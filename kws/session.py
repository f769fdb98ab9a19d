"""Model: an ONNX file with its card, ready to score audio."""

from __future__ import annotations

import hashlib
import math
import os
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kws.card import Card
from kws.encoder import PACKAGED, Encoder, encoder_of, packaged, read_card
from kws.errors import ModelError
from kws.flow import Samples
from kws.graph_checks import check_graph, check_head
from kws.onnx_graph import OnnxGraph, reason

State: TypeAlias = list[NDArray[Any]]
"""A stream model's memory, in the order of its inputs; empty for a window model."""

STATE_MOST = 1 << 26
"""Numbers in a stream model's state at most."""

BUNDLED = Path(__file__).parent / "models" / "bundled.onnx"


def load(path: str | os.PathLike[str] | None = None) -> Model:
    """Open a model file; None is the model that comes with the package.

    >>> "yes" in kws.load().keywords
    True

    Raises ModelError (no such file, not ONNX, no such inputs and outputs) and CardError (no
    card, or one that contradicts the graph).
    """
    return Model.load(path)


class Model:
    """An opened model file. Immutable: many spotters and threads can share one.

    card: what the file says about itself. path: where it lies. gate: the network that it holds for
        its gate, itself a model, or None.
    encoder: the one that it shares with other models, None where it has a network of its own.
    takes_many: whether a call with many streams is a gain, and gives each what it would get alone.
    initial_state: a stream model's state after `window` zeros, silent history; empty for a
        window model. Not to be written to.
    """

    def __init__(
        self,
        graph: OnnxGraph,
        card: Card,
        path: Path,
        content: bytes | None = None,
        encoder: Encoder | None = None,
    ) -> None:
        self.card, self.path, self._content = card, path, content
        self._session, self.encoder = graph, encoder
        inputs = {node.name for node in graph.inputs}
        self.is_head = "features" in inputs
        self._states = [node for node in graph.inputs if node.name not in {"audio", "features"}]
        self._outputs = ["scores"] if card.labels else ["embedding"]
        self._outputs += [f"{node.name}.next" for node in self._states]
        heard_by = (graph, card) if encoder is None else (encoder.graph, encoder.card)
        self.takes_many = _takes_many(*heard_by)
        self._embeds = "embedding" in {node.name for node in graph.outputs}
        self._shape_wanted = len(card.labels) or None
        self.initial_state = self._after_silence()
        self.gate = None if card.gate_model is None else Model.load(path, card.gate_model)

    @classmethod
    def load(
        cls, path: str | os.PathLike[str] | None = None, content: bytes | None = None
    ) -> Model:
        """Open a model file; see `kws.load`. content: what it holds, where it isn't to be read."""
        if not isinstance(path, str | os.PathLike | None):
            raise ModelError(f"{path!r} is no path; give that of an .onnx file")
        file = BUNDLED if path is None else Path(path)
        encoder = packaged() if content is None and file.absolute() == PACKAGED else None
        graph = OnnxGraph(file, content) if encoder is None else encoder.graph
        try:
            card = read_card(graph) if encoder is None else encoder.card
            check_graph(graph, card)
            if "features" in {node.name for node in graph.inputs}:
                encoder = encoder_of(file, card)
                check_head(graph, card, encoder)
            return cls(graph, card, file, content, encoder)
        except ModelError:
            raise
        except Exception as error:  # noqa: BLE001 - onnxruntime's errors have no base of their own
            raise ModelError(f"{file}: can't be run: {reason(error)}") from None

    @property
    def name(self) -> str:
        """What the card calls the model, else the file's name without its ending."""
        return self.card.name or self.path.stem

    @property
    def labels(self) -> list[str]:
        """Every label, in the order of the scores."""
        return [label.name for label in self.card.labels]

    @property
    def keywords(self) -> list[str]:
        """The labels that can be spotted: keywords and wake words."""
        return [label.name for label in self.card.keywords]

    @cached_property
    def sha256(self) -> str:
        """The file's SHA-256, as hexadecimal digits."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()

    def run(self, audio: Samples, state: State | None = None) -> tuple[Samples, State]:
        """Score audio once.

        audio: float32 [batch, samples]; a stream model takes exactly `hop` samples.
        state: what the last call returned; None is silent history.
        Returns scores float32 [batch, labels] (where the card names no labels: the embedding), and
        the state for the next call. Raises ModelError: the graph fails, or gives something else.
        """
        if state is None:
            state = [_repeat(tensor, len(audio)) for tensor in self.initial_state]
        if self.encoder is not None and not self.is_head:
            return self.encoder.scores(audio), []
        feed = self._heard(audio)
        for node, tensor in zip(self._states, state, strict=True):
            feed[node.name] = tensor
        scores, *after = self._session.run(self._outputs, feed)
        if self._shape_wanted is not None and scores.shape != (len(audio), self._shape_wanted):
            raise ModelError(
                f"{self.path}: gives scores of shape {scores.shape} for {len(audio)} streams and "
                f"{self._shape_wanted} labels; export it again"
            )
        return scores, after

    def _heard(self, audio: Samples) -> dict[str, NDArray[Any]]:
        """Return what the graph takes, for audio [batch, samples]."""
        if self.is_head and self.encoder is not None:
            return {"features": self.encoder.features(audio)}
        return {"audio": audio}

    def scores(self, audio: Samples) -> Samples:
        """Score one clip, float32 [samples] at the card's rate, in one call of a window model."""
        scores: Samples = self.run(audio[np.newaxis])[0][0]
        return scores

    def embedding(self, audio: Samples) -> Samples:
        """Return what the network makes of one clip, float32 [samples], before naming it: [d].

        Raises ModelError: this model has no embedding.
        """
        if not self._embeds:
            raise ModelError(f"{self.path}: gives no embedding, only scores")
        found: Samples = self._session.run(["embedding"], self._heard(audio[np.newaxis]))[0][0]
        return found

    def _after_silence(self) -> State:
        """Return the state after `window` zeros."""
        shapes = [_shape(node.shape) for node in self._states]
        if sum(math.prod(shape) for shape in shapes) > STATE_MOST:
            raise ModelError(f"{self.path}: its state is too large; export it again")
        state = [
            np.zeros(shape, _dtype(node.type))
            for shape, node in zip(shapes, self._states, strict=True)
        ]
        if state:
            silence = np.zeros((1, self.card.hop), np.float32)
            for _ in range(-(-self.card.window // self.card.hop)):
                _, state = self.run(silence, state)
        return state

    def __copy__(self) -> Model:
        """Return one that shares the session; a copy by `pickle` opens the file again."""
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        return twin

    def __reduce__(self) -> tuple[object, ...]:
        return _again, (self.path.absolute(), self._content, self.card)

    def __repr__(self) -> str:
        return f"Model({str(self.path)!r}, {self.card.kind}, {len(self.labels)} labels)"


def _again(path: Path, content: bytes | None, card: Card) -> Model:
    """Return a model that was pickled, opened in this process. Raises ModelError: it is gone."""
    model = Model.load(path, content)
    model.card = card  # it may say another hop than the file
    return model


def _takes_many(graph: OnnxGraph, card: Card) -> bool:
    """Whether streams can be heard in one call.

    Int8 that is scaled as it comes would scale one stream by what is loud in another.
    """
    scheme = "" if card.quantization is None else card.quantization.scheme
    batch = next(node.shape[0] for node in graph.inputs if node.name == "audio")
    return "dynamic" not in scheme and not isinstance(batch, int)


def _shape(dimensions: list[int | str | None]) -> list[int]:
    return [size if isinstance(size, int) else 1 for size in dimensions]


def _dtype(name: str) -> np.dtype[Any]:
    names = {"tensor(float)": "float32", "tensor(double)": "float64", "tensor(bool)": "bool"}
    return np.dtype(names.get(name) or name.removeprefix("tensor(").removesuffix(")"))


def _repeat(tensor: NDArray[Any], batch: int) -> NDArray[Any]:
    return tensor if batch == 1 else np.repeat(tensor, batch, axis=0)
