"""Card file: a model file with other words in its card; the graph stays as it is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from kws import card as cards
from kws.card import KEY, Card, Threshold
from kws.errors import ModelError
from kws.evaluate.extras import need
from kws.files import atomic_write


def with_thresholds(card: Card, levels: Mapping[str, float], measured: cards.Rate) -> Card:
    """Return the card with these thresholds, and the false alarms that they gave together."""
    changed = {name: Threshold(level, measured) for name, level in levels.items()}
    return cards.replace(card, thresholds={**card.thresholds, **changed})


def with_verified(
    card: Card,
    rules: cards.Verification,
    levels: Mapping[str, float],
    measured: cards.Rate,
    first_stage: str,
) -> Card:
    """Return a verifier's card with these thresholds beside a first stage.

    rules: how it judged meanwhile. measured: the false alarms that they gave together.
    first_stage: the SHA-256 of its file.
    """
    changed = {name: Threshold(level, measured) for name, level in levels.items()}
    return cards.replace(
        card,
        verification=msgspec.structs.replace(
            rules, first_stage=first_stage, thresholds={**rules.thresholds, **changed}
        ),
    )


def write_card(path: str | os.PathLike[str], card: Card) -> None:
    """Replace the card in a model file.

    The file is replaced whole or not at all. Raises ModelError: it can't be written;
    ConfigError: onnx is not installed.
    """
    onnx = need("onnx")
    path = Path(path)
    try:
        model = onnx.load(path)
        kept = {entry.key: entry.value for entry in model.metadata_props}
        onnx.helper.set_model_props(model, {**kept, KEY: cards.encode(card)})
        with atomic_write(path) as partial:
            onnx.save(model, partial)
    except OSError as error:
        raise ModelError(f"{path}: can't be written ({error.strerror})") from None
