"""Verification: source, float32 graph and int8 graph, held against one another on recordings."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import torch

from export import graph, labels, stream
from export.families import Original
from export.recordings import Clip, evenly
from kws.errors import ParityError
from kws.flow import Samples
from kws.origin import Parity, Variant
from kws.session import Model

DRIFT = 1e-3
"""By how much a probability of the float32 graph may differ from its source's."""
AGREEMENT = 0.98
"""The share of clips on which int8 must name the label that float32 names."""
TIE = 0.1
"""Where float32 itself puts its best label no further ahead, the label that wins says little."""
COSINE = 0.98
"""How alike two embeddings must be to count as the same."""
CALLS = 3
PATIENCE_S = 300.0
"""What comparing may take; a slow network is compared on fewer clips."""
FEWEST = 16

Score = Callable[[Samples], Samples]


@dataclass(frozen=True)
class Form:
    """One form of the model: its name, its size, and audio [samples] -> scores [labels]."""

    name: str
    bytes: int
    score: Score


def form(name: str, model: Model, path: Path) -> Form:
    """Return a file as one of the forms; weights that lie beside it count."""
    size = graph.saved_bytes(path)
    if model.card.kind == "stream":
        return Form(name, size, lambda audio: stream.stream_scores(model, audio)[-1])
    return Form(name, size, model.scores)


def compare(original: Original, forms: Sequence[Form], clips: Sequence[Clip]) -> Parity:
    """Run every form on every clip; the first is the source, the second its float32 graph.

    Where there are no labels, embeddings are compared: by the largest difference in relation to
    the largest value, and as alike from a cosine of 0.98.
    """
    audio = [fitted(original, clip.samples) for clip in clips]
    found = {each.name: [each.score(samples) for samples in audio] for each in forms}
    source, float32, *rest = found.values()
    last = rest[0] if rest else float32
    same = np.array([*map(partial(_same, original), float32, last)])
    decided = np.array([_is_decided(original, scores) for scores in float32])
    noise = 0.1 * np.random.default_rng(1).standard_normal(original.window)
    window = noise.astype(np.float32)
    right = {name: _accuracy(original, scores, clips) for name, scores in found.items()}
    return Parity(
        clips=len(clips),
        max_difference=_difference(original, float32, source),
        top1_agreement=float(same.mean()),
        decided=int(decided.sum()),
        decided_agreement=float(same[decided].mean()) if decided.any() else 0.0,
        quantized_difference=_difference(original, last, float32) if rest else None,
        variants=[
            Variant(each.name, each.bytes, _ms(each.score, window), *right[each.name])
            for each in forms
        ],
    )


def affordable(original: Original, clips: Sequence[Clip]) -> list[Clip]:
    """Return as many of the clips, evenly chosen, as are compared within five minutes."""
    longest = max(clips, key=lambda clip: len(clip.samples))
    begun = time.perf_counter()
    original.reference(fitted(original, longest.samples))
    cost = 3 * (time.perf_counter() - begun)  # source, float32 and int8
    return evenly(clips, max(FEWEST, int(PATIENCE_S / cost)))


def judge(parity: Parity, where: str, *, force: bool = False) -> Parity:
    """Return the figures, marked as forced where they are bad and `force` lets them pass.

    Raises ParityError: the float32 graph drifts, or int8 names other labels.
    """
    fault, decided = "", parity.decided_agreement or 0.0
    if not parity.max_difference <= DRIFT:  # NaN is no parity
        fault = (
            f"the graph differs from its source by {parity.max_difference:.2g} in probability "
            f"(at most {DRIFT:g}); nothing was written, --force writes it nevertheless"
        )
    elif max(parity.top1_agreement, decided) < AGREEMENT:
        fault = (
            f"int8 names the label of float32 on {parity.top1_agreement:.1%} of {parity.clips} "
            f"clips, and {_of_decided(parity)} (at least {AGREEMENT:.0%}); nothing was written: "
            "try --quantize none, or --calibration with recordings of what it will hear; --force "
            "writes it nevertheless"
        )
    if fault and not force:
        raise ParityError(f"{where}: {fault}")
    return msgspec.structs.replace(parity, forced=bool(fault))


def _of_decided(parity: Parity) -> str:
    if not parity.decided:
        return f"float32 decides none by {TIE:g}"
    return (
        f"on {parity.decided_agreement:.1%} of the {parity.decided} that float32 decides by {TIE:g}"
    )


def fitted(original: Original, samples: Samples) -> Samples:
    """Return a clip no shorter and no longer than the network can hear."""
    samples = samples[: original.max_samples]
    return np.pad(samples, (0, max(0, original.min_samples - len(samples))))


def _difference(original: Original, found: Sequence[Samples], wanted: Sequence[Samples]) -> float:
    worst = max(float(np.abs(one - other).max()) for one, other in zip(found, wanted, strict=True))
    if original.labels:
        return worst
    return worst / max(float(np.abs(each).max()) for each in wanted)


def _same(original: Original, one: Samples, other: Samples) -> bool:
    if original.labels:
        return bool(one.argmax() == other.argmax())
    return bool(one @ other >= COSINE * np.linalg.norm(one) * np.linalg.norm(other))


def _is_decided(original: Original, scores: Samples) -> bool:
    if len(original.labels) < 2:
        return True
    second, best = np.sort(scores)[-2:]
    return bool(best - second >= TIE)


def _accuracy(
    original: Original, scores: Sequence[Samples], clips: Sequence[Clip]
) -> tuple[float | None, int]:
    """Return the share of labelled clips that are right, and how many are labelled."""
    known = {labels.plain(label): index for index, label in enumerate(original.labels)}
    right = [
        int(each.argmax()) == known[labels.plain(clip.label)]
        for each, clip in zip(scores, clips, strict=True)
        if clip.label is not None and labels.plain(clip.label) in known
    ]
    return (float(np.mean(right)), len(right)) if right else (None, 0)


def _ms(score: Score, window: Samples) -> float:
    """Return what a call costs at best, one thread, in milliseconds."""
    torch.set_num_threads(1)
    costs = []
    for _ in range(CALLS):
        begun = time.perf_counter()
        score(window)
        costs.append(time.perf_counter() - begun)
    return round(1000 * min(costs), 3)
