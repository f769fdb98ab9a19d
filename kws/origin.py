"""Origin: where a model file came from, how close it is to that, what was measured of it."""

from __future__ import annotations

import msgspec


class Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A part of the card: immutable, an unknown field is an error."""


class Source(Strict, frozen=True):
    """The checkpoint that the file was made from; `way`: the exporter, with its version."""

    name: str
    sha256: str
    way: str = ""


class Data(Strict, frozen=True):
    """A corpus that the network was trained on."""

    name: str
    licence: str
    by: str = ""


class Quantization(Strict, frozen=True):
    """How weights are stored, e.g. scheme `int8-storage`; what stayed in float."""

    scheme: str
    excluded: list[str] = []


class Variant(Strict, frozen=True):
    """One of the forms that were compared: `source`, `float32`, `int8`.

    ms: of a window, one thread, on the CPU that exported the file. accuracy: top-1, on `labelled`
    clips.
    """

    name: str
    bytes: int
    ms: float
    accuracy: float | None = None
    labelled: int = 0


class Parity(Strict, frozen=True):
    """How close the file is to its source, on `clips` recordings.

    max_difference: of a probability, the float32 graph from its source. quantized_difference: this
    file from that graph. top1_agreement: the share of clips on which both name the same label;
    decided_agreement: of the `decided` clips where float32 puts its own 0.1 ahead. forced: it was
    written although these are bad. variants: figures of source, float32 and this file, each.
    """

    clips: int
    max_difference: float
    top1_agreement: float
    forced: bool = False
    quantized_difference: float | None = None
    decided: int | None = None
    decided_agreement: float | None = None
    variants: list[Variant] = []


class Accuracy(Strict, frozen=True):
    """One figure with its interval, what it was measured on, and the command that gives it."""

    name: str
    value: float
    low: float
    high: float
    count: int
    corpus: str
    command: str = ""


class Cost(Strict, frozen=True):
    """Milliseconds per call, one thread, on the CPU that exported the file."""

    ms_per_call: float
    cpu: str
