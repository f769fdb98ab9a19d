"""Model: an ONNX file, opened on one thread."""

from __future__ import annotations

import hashlib
import math
import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kws.card import KEY, Card, decode
from kws.errors import CardError, ModelError
from kws.flow import Samples
from kws.foreign import identify, identify_bytes, signature
from kws.interrupts import begin_call, finish_call

if TYPE_CHECKING:
    import onnxruntime

State: TypeAlias = list[NDArray[Any]]
"""A stream model's memory, in the order of its inputs; empty for a window model."""

STATE_MOST = 1 << 26
"""Numbers in a stream model's state at most."""

BUNDLED = Path(__file__).parent / "models" / "bundled.onnx"


def load(path: str | os.PathLike[str] | None = None) -> Model:
    """Open a model file; None is the model that comes with the package.

    Raises ModelError (no such file, not ONNX, no such inputs and outputs) and CardError (no
    card, or one that contradicts the graph).
    """
    return Model.load(path)


class Model:
    """An opened model file. Immutable: many spotters and threads can share one.

    card: what the file says about itself. path: where it lies. gate: the network that it holds for
        its gate, itself a model, or None.
    takes_many: whether a call with many streams is a gain, and gives each what it would get alone.
    initial_state: a stream model's state after `window` zeros, silent history; empty for a
        window model. Not to be written to.
    """

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        card: Card,
        path: Path,
        content: bytes | None = None,
    ) -> None:
        self.card, self.path, self._content = card, path, content
        self._session, self._options = session, _run_options()
        self._states = [node for node in session.get_inputs() if node.name != "audio"]
        self._outputs = ["scores"] if card.labels else ["embedding"]
        self._outputs += [f"{node.name}.next" for node in self._states]
        self.takes_many = _takes_many(session, card)
        self._embeds = "embedding" in {node.name for node in session.get_outputs()}
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
        session = _open(file, content)
        try:
            card = decode(_card_text(session, file), where=str(file))
            _check(session, card, file)
            return cls(session, card, file, content)
        except ModelError:
            raise
        except Exception as error:  # noqa: BLE001 - as below
            raise ModelError(f"{file}: can't be run: {_reason(error)}") from None

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
        feed = {"audio": audio}
        for node, tensor in zip(self._states, state, strict=True):
            feed[node.name] = tensor
        scores, *after = self._call(self._outputs, feed)
        if self._shape_wanted is not None and scores.shape != (len(audio), self._shape_wanted):
            raise ModelError(
                f"{self.path}: gives scores of shape {scores.shape} for {len(audio)} streams and "
                f"{self._shape_wanted} labels; export it again"
            )
        return scores, after

    def _call(self, outputs: list[str], feed: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Run the graph. Raises ModelError: it fails; a signal or a time limit has ended it."""
        options = begin_call(self._options)
        try:
            found: list[NDArray[Any]] = self._session.run(outputs, feed, options)
        except Exception as error:  # noqa: BLE001 - onnxruntime's errors have no base of their own
            ended = options is not None and options.terminate
            what = "its graph did not end; it was ended" if ended else "can't be run: "
            raise ModelError(f"{self.path}: {what}{'' if ended else _reason(error)}") from None
        finally:
            finish_call(options)
        return found

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
        found: Samples = self._call(["embedding"], {"audio": audio[np.newaxis]})[0][0]
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


def _open(file: Path, content: bytes | None) -> onnxruntime.InferenceSession:
    if content is None and not file.is_file():
        what = "is a directory" if file.is_dir() else "no such file"
        what = "is no regular file" if file.exists() and not file.is_dir() else what
        raise ModelError(f"{file}: {what}; give the path of an .onnx file")
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    onnxruntime.set_default_logger_severity(4)  # errors are told by ours
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # The arena alone off costs memory: patterns would still hold on to it.
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(
            str(file) if content is None else content,
            sess_options=options,
            providers=["CPUExecutionProvider"],
            enable_fallback=0,  # it tries the same once more, and prints to stdout
        )
    except Exception as error:  # noqa: BLE001 - onnxruntime's errors have no base of their own
        what = identify_bytes(file) or f"is not a readable ONNX model: {_reason(error)}"
        raise ModelError(f"{file}: {what}") from None


def _run_options() -> onnxruntime.RunOptions:
    """Return options of calls that can be ended, about which nothing but our errors is said."""
    import onnxruntime

    options = onnxruntime.RunOptions()
    options.log_severity_level = 4
    return options


def _card_text(session: onnxruntime.InferenceSession, file: Path) -> str:
    """Return the card as it stands in the file. Raises CardError."""
    try:
        text = session.get_modelmeta().custom_metadata_map.get(KEY)
    except UnicodeDecodeError:
        raise CardError(f"{file}: the model card is not UTF-8; export it again") from None
    if text is None:
        raise CardError(f"{file}: {identify(signature(session), str(file))}")
    return str(text)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _check(session: onnxruntime.InferenceSession, card: Card, file: Path) -> None:
    """Compare the graph with its card; raise CardError where they differ."""
    inputs = {node.name: node.shape for node in session.get_inputs()}
    outputs = {node.name: node.shape for node in session.get_outputs()}
    states = {name for name in inputs if name.startswith("state.")}
    hop = inputs.get("audio", [None])[-1]
    scored = "scores" if card.labels else "embedding"
    labels = outputs.get("scores", [None])[-1]
    stream = card.kind == "stream"
    types = {node.type for node in session.get_inputs() if node.name == "audio"}
    types |= {node.type for node in session.get_outputs() if node.name == scored}
    wrong = {
        "the graph has no input `audio` [batch, samples]": len(inputs.get("audio", [])) != 2,
        f"the graph has no output `{scored}` of two axes": len(outputs.get(scored, [])) != 2,
        f"unknown inputs {sorted(set(inputs) - states - {'audio'})}": bool(
            set(inputs) - states - {"audio"}
        ),
        f"`audio` and `{scored}` must be float32": types != {"tensor(float)"},
        "a stream model needs `state.*` inputs": stream and not states,
        "a window model has no `state.*` inputs": not stream and bool(states),
        "some `state.*` has no output `state.*.next`": any(
            f"{name}.next" not in outputs for name in states
        ),
        f"the graph hears {hop} samples a hop, the card says {card.hop}": stream
        and isinstance(hop, int)
        and hop != card.hop,
        f"the graph hears {hop} samples at once, the card says {card.window}": not stream
        and isinstance(hop, int)
        and hop != card.window,
        f"the graph gives {labels} scores, the card names {len(card.labels)} labels": isinstance(
            labels, int
        )
        and labels != len(card.labels),
    }
    for message, found in wrong.items():
        if found:
            raise CardError(f"{file}: graph and card contradict each other: {message}")


def _takes_many(session: onnxruntime.InferenceSession, card: Card) -> bool:
    """Whether streams can be heard in one call.

    Int8 that is scaled as it comes would scale one stream by what is loud in another.
    """
    scheme = "" if card.quantization is None else card.quantization.scheme
    batch = next(node.shape[0] for node in session.get_inputs() if node.name == "audio")
    return "dynamic" not in scheme and not isinstance(batch, int)


def _shape(dimensions: list[int | str | None]) -> list[int]:
    return [size if isinstance(size, int) else 1 for size in dimensions]


def _dtype(name: str) -> np.dtype[Any]:
    names = {"tensor(float)": "float32", "tensor(double)": "float64", "tensor(bool)": "bool"}
    return np.dtype(names.get(name) or name.removeprefix("tensor(").removesuffix(")"))


def _repeat(tensor: NDArray[Any], batch: int) -> NDArray[Any]:
    return tensor if batch == 1 else np.repeat(tensor, batch, axis=0)
