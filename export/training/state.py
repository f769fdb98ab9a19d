"""State: what a run keeps on disk, so that it can go on after a kill."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from kws.errors import DataError
from kws.files import atomic_write


def save(state: dict[str, Any], path: Path) -> None:
    """Write a checkpoint, whole or not at all. Raises DataError: no space, most of all."""
    try:
        with atomic_write(path) as partial:
            torch.save(state, partial)
    except (OSError, RuntimeError) as error:  # torch has an error of its own for a full disk
        reason = " ".join(str(error).split())[:120]
        raise DataError(
            f"{path}: can't be written ({reason}); make room and run the same again: it goes on"
        ) from None


def fingerprint(recipe: dict[str, Any]) -> str:
    """Return what makes two runs the same: everything but what comes after."""
    after = {"finish", "gate", "shipping"}
    return json.dumps({key: value for key, value in recipe.items() if key not in after})


def check(path: Path, recipe: dict[str, Any], folder: Path) -> None:
    """Raise DataError where `path` is the state of another run, or can't be read."""
    if not path.is_file():
        return
    try:
        before = torch.load(path, map_location="cpu", weights_only=True)["recipe"]
    except Exception as error:  # noqa: BLE001 - whatever a broken file provokes
        reason = " ".join(str(error).split())[:120]
        raise DataError(f"{path}: can't be read ({reason}); remove it") from None
    if before != fingerprint(recipe):
        raise DataError(
            f"{folder}: holds a training from other recordings or options; choose another -o, or "
            "remove it"
        )
