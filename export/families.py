"""Families: what every file in `export/checkpoints` offers, and how the right one is found."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

from export import checkpoints
from export.checkpoint import Checkpoint
from kws.card import Decision, Gate, Label, Network, Threshold
from kws.errors import ExportError, ModelError
from kws.flow import Samples
from kws.origin import Data, Strict
from kws.session import load

if TYPE_CHECKING:
    import onnx
    from torch import nn

Scheme = Literal["dynamic", "static", "storage"]
"""How int8 is made: of matrices at run time, of a calibrated TDNN, or of stored weights only."""


@dataclass(frozen=True)
class Asked:
    """What the user asked of an export that a family has to know.

    labels, template: of a zero-shot model. kind: of a network that can be both.
    """

    labels: tuple[str, ...] | None = None
    template: str | None = None
    kind: Literal["window", "stream"] | None = None


class Known(Strict, frozen=True):
    """What a training of ours tells of its network; its card says the same.

    labels: with roles and lengths. thresholds: as calibrated. None, empty: it doesn't tell.
    """

    labels: list[Label] = msgspec.field(default_factory=list)
    network: Network | None = None
    thresholds: dict[str, Threshold] = msgspec.field(default_factory=dict)
    decision: Decision | None = None
    gate: Gate | None = None
    gate_model: bytes | None = None
    data: list[Data] = msgspec.field(default_factory=list)
    licence: str = ""
    languages: list[str] = msgspec.field(default_factory=list)


@dataclass(frozen=True)
class Original:
    """A checkpoint, read: what export needs to know of it.

    family: its name in the card. labels: in the order of the scores; none where the network gives
    embeddings only. rate: in Hz.
    front: the front end, float32 [batch, samples] -> what the network hears.
    network: that -> a tuple of tensors, as `outputs` names them: `logits` [batch, labels],
    `embedding` [batch, d].
    activation: what makes probabilities of logits, as the original does.
    reference: the original itself: float32 [samples] at `rate` -> probabilities [labels] (where
    there are no labels: the embedding [d]), float32.
    window: what the runtime hears at a time, in samples; min_samples, max_samples: what the
    original hears at least and at most (None: it has no bound).
    scheme: how int8 is made of it. optimum: the model that optimum can export as `network`.
    padded: samples to which every call is padded, so that a shorter window costs no less.
    spoken: whether labels are words that somebody says; None where the labels tell.
    notes: what the user should know, a line each.
    graph: a ready float32 graph, in place of front and network. finish: what is done to the float32
    graph last, in place. kind, hop: of a stream model, whose hop is the network's own. known: what
    its training tells beside all that.
    """

    family: str
    labels: list[str]
    rate: int
    window: int
    reference: Callable[[Samples], Samples]
    front: nn.Module | None = None
    network: nn.Module | None = None
    outputs: tuple[Literal["logits", "embedding"], ...] = ("logits",)
    activation: Literal["softmax", "sigmoid"] = "softmax"
    scheme: Scheme = "dynamic"
    min_samples: int = 1
    max_samples: int | None = None
    optimum: object | None = None
    padded: int | None = None
    spoken: bool | None = None
    notes: list[str] = field(default_factory=list)
    graph: onnx.ModelProto | None = None
    finish: Callable[[onnx.ModelProto], None] | None = None
    kind: Literal["window", "stream"] = "window"
    hop: int | None = None
    known: Known = field(default_factory=Known)


class Family(Protocol):
    """A module in `export/checkpoints`. SOURCES: what it reads, in a line."""

    SOURCES: str

    def matches(self, checkpoint: Checkpoint) -> bool:
        """Whether it can read this checkpoint; decided by names and JSON, no weights are read."""

    def read(self, checkpoint: Checkpoint, asked: Asked) -> Original:
        """Read it. Raises ExportError."""


def families() -> dict[str, Family]:
    """Return the families by the names of their files."""
    names = [module.name for module in pkgutil.iter_modules(checkpoints.__path__)]
    return {name: importlib.import_module(f"{checkpoints.__name__}.{name}") for name in names}


def find(checkpoint: Checkpoint) -> Family:
    """Return the family that reads this checkpoint. Raises ExportError: there is none."""
    known = families()
    for family in known.values():
        if family.matches(checkpoint):
            return family
    _explain_model(checkpoint.path)
    _explain(checkpoint, list(known.values()))
    what = checkpoint.architecture or "config.json names no class in `architectures`"
    if not checkpoint.config:
        what = "no known layout"
    sources = "; ".join(family.SOURCES for family in known.values())
    raise ExportError(f"{checkpoint.path}: {what}: no family reads it; there are: {sources}")


HEADS = ("ForSequenceClassification", "ForAudioClassification", "ForXVector")
OTHERS = {
    "ForCTC": "is a speech recogniser",
    "ForConditionalGeneration": "is a speech recogniser",
    "ForPreTraining": "was only pre-trained",
    "ForAudioFrameClassification": "labels frames, not clips",
    "Model": "is an encoder without a head",
}
"""What classes of transformers are by their endings, beside those that name sounds."""


def _explain_model(path: Path) -> None:
    """Raise ExportError where a file is a model: say what it is, and which command takes it."""
    if path.suffix not in {".onnx", ".tflite"}:
        return
    try:
        load(path)
    except ModelError as error:
        raise ExportError(str(error)) from None
    raise ExportError(f"{path}: is a kws model already; `kws listen --model {path}` runs it")


def _explain(checkpoint: Checkpoint, known: Sequence[Family]) -> None:
    """Raise ExportError where a network is known, but lacks a head that names sounds."""
    architecture = checkpoint.architecture
    for ending, what in OTHERS.items():
        if not architecture.endswith(ending):
            continue
        twins = (checkpoint.posing_as(architecture.removesuffix(ending) + head) for head in HEADS)
        if any(family.matches(twin) for twin in twins for family in known):
            raise ExportError(
                f"{checkpoint.path}: {architecture} {what}: it has no classification head; "
                "`kws train --from` gives it one"
            )
