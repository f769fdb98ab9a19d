"""The model file of own words: the head's graph with its card."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path

import kws
from export.training.own import calibration, head
from export.training.own.encoder import WINDOW
from export.training.own.material import plain
from export.training.own.measuring import HOP, HOPS_PER_HOUR, Measuring
from export.training.verifier.network import Head
from export.write import write
from kws import card as cards
from kws import origin
from kws.card import Card, Label, OperatingPoint, Stride, Threshold
from kws.evaluate import results

STRIDE = Stride(hops=3, level=0.02)
"""Two of five windows are looked at in running speech, and as many words are heard."""
FAMILY = "kws-own-words"
BACKGROUND = "_unknown_"
RATES = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0)
"""False alarms an hour that the file has thresholds for."""


def write_model(learnt: Head, levels: Mapping[str, float], measuring: Measuring, out: Path) -> Card:
    """Write the model file; return its card. Raises ExportError: it can't be written."""
    words, bundled = measuring.words, kws.load().card
    count = len(measuring.pack.calibration)
    measured = results.rate(measuring.passed(levels), max(1e-6, count / HOPS_PER_HOUR))
    options = measuring.options
    wake = {plain(name) for name in options.wake}
    labels = [
        Label(
            name,
            "wake" if plain(name) in wake else "keyword",
            measuring.given.texts.get(name, plain(name).replace("_", " ")),
            round(located.length_s, 3),
        )
        for name, located in words.items()
    ]
    card = Card(
        version=cards.VERSION,
        kind="window",
        family=FAMILY,
        sample_rate=measuring.encoder.sample_rate,
        window=WINDOW,
        hop=HOP,
        min_samples=1,
        max_samples=WINDOW,
        padded_to=WINDOW,
        labels=[*labels, Label(BACKGROUND)],
        activation="softmax",
        producer=kws.__version__,
        date=dt.datetime.now(dt.timezone.utc).date().isoformat(),
        name=out.stem,
        description=f"own words: {', '.join(words)}",
        thresholds={name: Threshold(level, measured) for name, level in levels.items()},
        operating_points=_points(labels, measuring),
        gate=bundled.gate,
        gate_model=bundled.gate_model,
        data=[origin.Data("recordings and synthesised words of the user's own", "the user's")],
        encoder=measuring.encoder.id,
        stride=STRIDE,
    )
    write(head.exported(learnt, measuring.pack), card, out, overwrite=True)
    return card


def _points(labels: list[Label], measuring: Measuring) -> list[OperatingPoint]:
    """Return thresholds for other rates, of each role."""
    points = []
    hours = max(1e-6, len(measuring.pack.calibration) / HOPS_PER_HOUR)
    for role in ("wake", "keyword"):
        names = [label.name for label in labels if label.role == role]
        tails = {name: measuring.final_tails[name] for name in names}
        for rate in RATES if names else ():
            levels = calibration.thresholds(tails, rate)
            measured = results.rate(measuring.passed(levels), hours)
            points.append(OperatingPoint(rate, role, levels, measured))
    return points
