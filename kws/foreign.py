"""Foreign files: say what a file without a model card is, and which command takes it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import onnxruntime

Axes: TypeAlias = Sequence[object]
"""A tensor's shape: an int for each axis of known length, anything else for a free one."""

EMBEDDING = 96
"""Numbers in one of Google's speech embeddings, which openWakeWord's heads hear."""
IMPORT = "kws import openwakeword"
RUNS = "kws runs model files with its card, which kws export and kws import make"


@dataclass(frozen=True)
class Signature:
    """What tells an ONNX graph's kind: its tensors' shapes by name, and its metadata."""

    inputs: Mapping[str, Axes]
    outputs: Mapping[str, Axes]
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def first(self) -> Axes:
        """The shape of the first input; empty where there is none."""
        return next(iter(self.inputs.values()), ())


def signature(session: onnxruntime.InferenceSession) -> Signature:
    """Return the signature of an opened graph."""
    return Signature(
        {node.name: node.shape for node in session.get_inputs()},
        {node.name: node.shape for node in session.get_outputs()},
        session.get_modelmeta().custom_metadata_map,
    )


def is_head(one: Signature) -> bool:
    """Whether a graph hears embeddings alone, as openWakeWord's heads do."""
    return len(one.inputs) == 1 and _hears_embeddings(one)


def is_embedding(one: Signature) -> bool:
    """Whether a graph is Google's speech embedding, as openWakeWord and LiveKit use it."""
    return len(one.inputs) == 1 and [*one.first[1:]] == [76, 32, 1]


def is_mel(one: Signature) -> bool:
    """Whether a graph is openWakeWord's mel front end."""
    made = next(iter(one.outputs.values()), ())
    return len(one.inputs) == 1 and len(one.first) == 2 and len(made) == 4 and made[3] == 32


def identify(one: Signature, name: str) -> str:
    """Return what an ONNX graph without a card is, and what to do, to follow the file's name."""
    names = {*one.inputs}
    if is_head(one):
        return (
            "is a head that hears speech embeddings, as openWakeWord's, LiveKit's and "
            f"nanowakeword's do; `{IMPORT} {name} -o mine.onnx` makes a kws model of it"
        )
    if _hears_embeddings(one) and names & {"hidden_in", "cell_in"}:
        return (
            "is a nanowakeword head with a state of its own, which kws can't import; train one "
            "without: its other architectures"
        )
    if is_embedding(one):
        return (
            "is Google's speech embedding, which openWakeWord's heads hear; import such a head: "
            f"`{IMPORT} HEAD.onnx -o mine.onnx`"
        )
    if is_mel(one):
        return (
            "is openWakeWord's mel front end; import one of its heads: "
            f"`{IMPORT} HEAD.onnx -o mine.onnx`"
        )
    return _others(one, names)


def _hears_embeddings(one: Signature) -> bool:
    return len(one.first) == 3 and one.first[2] == EMBEDDING


def _others(one: Signature, names: set[str]) -> str:
    if "sr" in names and names & {"h", "state"}:
        return (
            "is Silero's voice activity detector and spots no keywords; kws has gates of its own: "
            "--gate"
        )
    if one.metadata.get("mode") == "e2e":
        return (
            "is an end-to-end nanowakeword model, which kws can't import; its models that hear "
            "speech embeddings can be"
        )
    if names & {"input_values", "input_features"}:
        return (
            "is a transformers network that somebody exported, without its labels and front end; "
            "`kws export FOLDER -o mine.onnx` makes a kws model of its checkpoint"
        )
    if {"x", "x_lens"} <= names or names & {"encoder_out", "decoder_out"}:
        return f"is a part of a speech recogniser, as sherpa-onnx runs them; {RUNS}"
    told = ", ".join(f"{each} {_shown(axes)}" for each, axes in [*one.inputs.items()][:4])
    made = ", ".join(f"{each} {_shown(axes)}" for each, axes in [*one.outputs.items()][:4])
    return f"has no model card; it hears {told} and gives {made}, which kws does not know; {RUNS}"


def _shown(axes: Axes) -> str:
    return f"[{', '.join(str(axis) if isinstance(axis, int) else '?' for axis in axes)}]"


CHECKPOINTS = frozenset({".pt", ".pth", ".ckpt", ".bin", ".safetensors"})


def identify_bytes(path: str | os.PathLike[str]) -> str | None:
    """Return what a file is that is no ONNX, and what to do; None: it can't be told."""
    file = Path(path)
    try:
        with file.open("rb") as stream:
            begin = stream.read(64)
    except OSError:
        return None
    if begin[4:8] == b"TFL3":
        return _tensorflow_lite(file)
    if begin.startswith(b"version https://git-lfs"):
        return "is a pointer to a file that Git LFS keeps; fetch that: git lfs pull"
    if begin.lstrip().lower().startswith((b"<!doctype", b"<html")):
        return "is a web page; download the file itself (raw)"
    if begin.startswith(b"PK\x03\x04") or file.suffix in CHECKPOINTS:
        return f"is no ONNX; if it is a checkpoint, `kws export {file} -o mine.onnx` reads it"
    return None


def _tensorflow_lite(file: Path) -> str:
    if file.with_suffix(".json").is_file():
        return (
            "is a TensorFlow Lite model with a JSON file, as microWakeWord's are, which kws can't "
            "import"
        )
    return (
        "is a TensorFlow Lite model, which kws can't read; openWakeWord's and LiveKit's trainers "
        f"write the same head as {file.stem}.onnx: `{IMPORT} {file.stem}.onnx -o mine.onnx`"
    )
