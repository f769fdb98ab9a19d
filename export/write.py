"""Writing a model file: graph and card become one file, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import onnx

from export import IR
from kws import card as cards
from kws.card import Card
from kws.errors import ExportError
from kws.files import atomic_write


def check_target(path: Path, *, overwrite: bool) -> None:
    """Raise ExportError where `path` can't be written to."""
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise ExportError(f"{path}: is no file name in an existing folder")
    if path.exists() and not overwrite:
        raise ExportError(f"{path}: exists; choose another name or say --overwrite")


def write(model: onnx.ModelProto, card: Card, path: Path, *, overwrite: bool = False) -> None:
    """Write `model` with `card` in it to `path`, atomically.

    Raises ExportError: the target exists and may not be overwritten, the disk is full, the
    graph is malformed.
    """
    check_target(path, overwrite=overwrite)
    model = onnx.ModelProto.FromString(model.SerializeToString())
    del model.graph.value_info[:]
    del model.metadata_props[:]
    model.ir_version = IR
    model.producer_name, model.producer_version = "kws", card.producer
    model.metadata_props.add(key=cards.KEY, value=cards.encode(card))
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise ExportError(f"{path}: the graph is malformed: {error}") from None
    try:
        with atomic_write(path) as partial:
            partial.write_bytes(model.SerializeToString())
    except OSError as error:
        raise ExportError(f"{path}: can't be written: {error.strerror}") from None
