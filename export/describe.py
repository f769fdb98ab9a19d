"""Description: the card of an exported model, before anything was measured."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

import kws
from export import labels
from export.checkpoint import Checkpoint
from export.families import Original
from kws import card as cards
from kws import origin
from kws.card import Card
from kws.errors import ExportError
from kws.gates import webrtc

HOP_S = 0.1
"""The shortest hop of a window model; else it is a tenth of the window."""


@dataclass(frozen=True)
class Use:
    """How the user means to listen with the model.

    window_s, hop_s: None is what suits the model. wake, background: labels with these roles; the
    others are keywords, but for names such as `unknown`. gate: None is `webrtc` for spoken words,
    at a rate that it can hear.
    """

    window_s: float | None = None
    hop_s: float | None = None
    wake: Sequence[str] = ()
    background: Sequence[str] = ()
    gate: str | None = None


def describe(checkpoint: Checkpoint, original: Original, use: Use, way: str) -> Card:
    """Return the card. Raises ExportError: what is asked does not fit the model."""
    _check_labels(checkpoint, original)
    rate = original.rate
    window = original.window if use.window_s is None else round(use.window_s * rate)
    _check_window(original, window)
    hop = original.hop or _hop(window, rate, use.hop_s)
    told, known = _front_matter(checkpoint), original.known
    named = _labels(original, use)
    gate = _gate(original, use.gate)
    return Card(
        version=cards.VERSION,
        kind=original.kind,
        family=original.family,
        sample_rate=rate,
        window=window,
        hop=hop,
        labels=named,
        activation=original.activation,
        producer=kws.__version__,
        date=dt.datetime.now(dt.timezone.utc).date().isoformat(),
        name=checkpoint.name,
        min_samples=original.min_samples if original.kind == "window" else None,
        max_samples=original.max_samples if original.kind == "window" else None,
        padded_to=original.padded,
        # A window that just holds the word is near several others that do, too.
        decision=known.decision or cards.Decision(smoothing_s=round(2 * hop / rate, 3)),
        gate=gate,
        gate_model=known.gate_model if gate == known.gate else None,
        thresholds={
            label.name: known.thresholds[label.name]
            for label in named
            if label.role != "background" and label.name in known.thresholds
        },
        source=origin.Source(checkpoint.name, checkpoint.sha256(), way),
        data=known.data,
        licence=_text(told.get("license")) or known.licence,
        languages=[_text(each) for each in _list(told.get("language"))] or known.languages,
        network=known.network,
    )


def _check_labels(checkpoint: Checkpoint, original: Original) -> None:
    if len(original.labels) == 1 and original.activation == "softmax":
        raise ExportError(
            f"{checkpoint.path}: knows one label, {original.labels[0]}, which competes with none: "
            "its score would always be 1; train it with a second label, such as unknown"
        )


def _labels(original: Original, use: Use) -> list[cards.Label]:
    """Return the labels with their roles: as asked, else as trained, else by their names."""
    if original.known.labels and not use.wake and not use.background:
        return original.known.labels
    lengths = {label.name: label.median_length_s for label in original.known.labels}
    return [
        msgspec.structs.replace(label, median_length_s=lengths.get(label.name))
        for label in labels.roles(original.labels, use.wake, use.background)
    ]


def _check_window(original: Original, window: int) -> None:
    low, high, rate = original.min_samples, original.max_samples, original.rate
    if original.kind == "stream" and window != original.window:
        raise ExportError("a stream model's window is the network's own; leave --window-s out")
    if window < low:
        raise ExportError(f"this network hears {low / rate:.3g} s at least; raise --window-s")
    if high is not None and window > high:
        raise ExportError(f"this network hears {high / rate:.3g} s at most; lower --window-s")


def _hop(window: int, rate: int, asked_s: float | None) -> int:
    """Return the hop in samples: a tenth of the window, but neither too short nor too long."""
    hop = max(window // 10, round(HOP_S * rate)) if asked_s is None else round(asked_s * rate)
    if asked_s is not None and not 0 < hop <= window / 2:
        raise ExportError(f"--hop-s {asked_s:g} must be above 0 and at most half a window")
    return min(hop, max(1, window // 2))


def _gate(original: Original, asked: str | None) -> cards.Gate:
    known = original.known.gate
    if known is not None and asked in {None, known.name}:
        return known
    if asked not in {None, "webrtc", "none"}:
        raise ExportError(f"--gate {asked}: for this checkpoint there are webrtc and none")
    spoken = original.spoken
    if spoken is None:
        spoken = labels.are_commands(original.labels)
    can = webrtc.hears(original.rate)
    if asked == "webrtc" and not can:
        raise ExportError(f"--gate webrtc can't hear {original.rate} Hz, as the model does")
    if asked == "webrtc" or (asked is None and spoken and can):
        return cards.Gate("webrtc", {"mode": 2}, hangover_s=0.6)
    return cards.Gate("none")


def _front_matter(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return what the head of the folder's README.md says; nothing where there is none."""
    if not checkpoint.has("README.md"):
        return {}
    text = (checkpoint.path / "README.md").read_text(encoding="utf-8", errors="replace")
    if not text.startswith("---\n"):
        return {}
    import yaml

    try:
        found = yaml.safe_load(text[4:].partition("\n---")[0])
    except yaml.YAMLError:
        return {}
    return found if isinstance(found, dict) else {}


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _text(value: object) -> str:
    # YAML takes `no`, Norwegian, for false.
    return {None: "", False: "no"}.get(value, str(value))  # type: ignore[call-overload, no-any-return]
