"""From the trained verifier to the bundled file: graph, thresholds, card."""

from __future__ import annotations

import datetime as dt
import hashlib
import platform
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

import kws
from export.int8.rows import quantize_rows
from export.training import after_wake, prior, ship
from export.training.recordings import RATE
from export.training.verifier.graph import AFTER, encoder_id, float_graph
from export.training.verifier.network import FastLogMel, Verifier
from export.training.verifier.pretrained import WEIGHTS
from export.training.vocabulary import LABELS
from export.write import write
from kws import card as cards
from kws import origin, selftest
from kws.card import Card, Label, Threshold, Verification
from kws.errors import ParityError
from kws.flow import Samples

FAMILY = "kws-verifier"
FLOAT_DRIFT = 1e-3
"""What a probability of the float32 graph may differ from torch's."""
AGREEMENT = 0.98
"""The share of clips on which int8 must name the label that float32 names."""
SAME = 1e-6
"""What a probability may differ when a file is written again."""
SHIFTS = np.arange(-4, 2.01, 0.5)
"""What is tried for the logits of `_unknown_` and `_silence_`: proposals are background far more
often than clips are."""
HOP_S = 0.16
"""Between two calls where the verifier runs without a first stage."""
DATA = [
    ("whisper-tiny.en: pretrained encoder", "MIT", "OpenAI"),
    ("Kokoro-82M: synthesised words", "Apache-2.0", "hexgrad"),
]


def release(network: Verifier, recipe: dict[str, Any], out: Path, work: Path) -> None:
    """Write the model file: parity proven, thresholds found with the bundled first stage.

    What the thresholds cost in noise is written to trades.json in `work`.

    Raises ParityError: the file differs from the network.
    """
    first = kws.load()
    draft = _draft(network, first, recipe)
    shifts = _set_prior(network, draft, work)
    verification = msgspec.structs.replace(draft.verification or Verification(), shifts=shifts)
    draft = cards.replace(draft, verification=verification)
    graph = float_graph(network)
    write(graph, draft, work / "float.onnx", overwrite=True)
    quantization = quantize_rows(graph)
    draft = cards.replace(draft, quantization=quantization)
    write(graph, draft, work / "draft.onnx", overwrite=True)
    model = kws.load(work / "draft.onnx")
    parity = _parity(network, kws.load(work / "float.onnx"), model)
    print(f"parity: {parity}", flush=True)
    points = ship.points(first, recipe["release"], model, table=work / ship.TRADES)
    after = after_wake.calibrate(first, verify=model)
    verification = msgspec.structs.replace(
        verification,
        thresholds=ship.thresholds(points, recipe["release"]),
        operating_points=points,
        after_wake={
            name: Threshold(level, after_wake=after.wrong)
            for name, level in after.thresholds.items()
        },
    )
    card = cards.replace(
        draft,
        parity=parity,
        verification=verification,
        cost=origin.Cost(_ms_per_call(model), platform.processor() or platform.machine()),
        self_test=selftest.made(model),
    )
    write(graph, card, out, overwrite=True)
    print(f"{out}: {out.stat().st_size / 1e6:.2f} MB, {len(points)} operating points")


def _draft(network: Verifier, first: kws.Model, recipe: dict[str, Any]) -> Card:
    config, known = network.config, {label.name: label for label in first.card.labels}
    return Card(
        version=cards.VERSION,
        kind="window",
        family=FAMILY,
        sample_rate=RATE,
        window=config.window,
        hop=round(HOP_S * RATE),
        min_samples=1,
        max_samples=config.window,
        padded_to=config.window,
        labels=[known.get(name, Label(name)) for name in LABELS],
        activation="softmax",
        producer=kws.__version__,
        date=dt.datetime.now(dt.timezone.utc).date().isoformat(),
        name="kws-en-13-verifier",
        description="verifies the ten commands and three wake words of kws-en-13",
        gate=cards.Gate(name="webrtc"),
        verification=Verification(
            first_stage=hashlib.sha256(first.path.read_bytes()).hexdigest(), **recipe["fusion"]
        ),
        source=origin.Source("openai/whisper-tiny.en", WEIGHTS.sha256, "export.training.verifier"),
        data=[*(origin.Data(*each) for each in [*DATA, *ship.DATA])],
        licence="Apache-2.0",
        languages=["en"],
        encoder=encoder_id(network),
    )


def rewrite(network: Verifier, path: Path, out: Path) -> None:
    """Write a released file again, its card kept, with the graph that the exporter makes now.

    network: the trained network, as it was before its release shifted its logits. path: the
    released file. Raises ParityError: scores change, so these are not its weights.
    """
    released = kws.load(path)
    card = cards.replace(released.card, encoder=encoder_id(network))
    found = card.verification or Verification()
    _shift(network, found.shifts)
    graph = float_graph(network)
    quantize_rows(graph)
    write(graph, card, out, overwrite=True)
    clips, made = ship.parity_clips(), kws.load(out)
    drift = max(float(np.abs(made.scores(c) - released.scores(c)).max()) for c in clips)
    if drift > SAME:
        raise ParityError(f"{out}: scores differ by {drift:.2g} from those of {path}")
    print(f"{out}: scores differ by {drift:.2g} from those of {path} on {len(clips)} clips")


def _set_prior(network: Verifier, card: Card, work: Path) -> dict[str, float]:
    """Shift the background's logits to what calibration clips ask for; return the shifts."""
    path = work / "unshifted.onnx"
    write(float_graph(network), card, path, overwrite=True)
    shifts = prior.fit(kws.load(path), "calibration", SHIFTS)
    _shift(network, shifts)
    print(f"logits shifted: {shifts}", flush=True)
    return shifts


def _shift(network: Verifier, shifts: Mapping[str, float]) -> None:
    """Add to the logits of labels."""
    with torch.no_grad():
        for name, shift in shifts.items():
            network.head.classify.bias[LABELS.index(name)] += shift


def _parity(network: Verifier, float32: kws.Model, int8: kws.Model) -> origin.Parity:
    clips = ship.parity_clips()
    wanted = _reference(network, clips)
    scores = [np.stack([model.scores(clip) for clip in clips]) for model in (float32, int8)]
    drift = float(np.abs(scores[0] - wanted).max())
    same = float((scores[1].argmax(1) == wanted.argmax(1)).mean())
    if drift > FLOAT_DRIFT or same < AGREEMENT:
        raise ParityError(
            f"the float32 graph differs from torch by {drift:.2g}, int8 agrees on {same:.1%} of "
            f"{len(clips)} clips"
        )
    moved = float(np.abs(scores[1] - scores[0]).max())
    return origin.Parity(len(clips), drift, same, quantized_difference=moved)


def _reference(network: Verifier, clips: Sequence[Samples]) -> Samples:
    window, mel, found = network.config.window, FastLogMel(), []
    for clip in clips:
        silence = np.zeros(min(AFTER, max(0, window - len(clip))), np.float32)
        heard = np.concatenate([np.zeros(window, np.float32), clip, silence])[-window:]
        with torch.no_grad():
            found.append(network(mel(torch.from_numpy(heard)[None]))[0].softmax(1).numpy()[0])
    return np.stack(found)


def _ms_per_call(model: kws.Model) -> float:
    audio = np.random.default_rng(1).normal(0, 0.01, model.card.window).astype(np.float32)
    times = []
    for _ in range(30):
        begun = time.perf_counter()
        model.scores(audio)
        times.append(time.perf_counter() - begun)
    return round(float(np.median(times)) * 1e3, 3)
