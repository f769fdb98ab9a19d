"""State dicts: a checkpoint's tensors, read as data, become a network's weights."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from kws.errors import ExportError

Network = TypeVar("Network", bound=nn.Module)


def fill(make: Callable[[], Network], path: Path, settings: Path) -> Network:
    """Make a network with the weights in `path`: float32, in eval mode.

    settings: the file that tells the sizes which `make` uses. Raises ExportError: sizes that make
    no network, weights that are missing, malformed, or of other names or shapes.
    """
    weights = read(path)
    try:
        with torch.device("meta"):  # sizes that a hostile file names take no memory
            network = make()
    except Exception as error:  # noqa: BLE001 - whatever a hostile file provokes
        reason = " ".join(str(error).split())[:200]
        raise ExportError(f"{settings}: makes no network for {path.name}: {reason}") from None
    wanted = network.state_dict()
    if missing := sorted(wanted.keys() - weights.keys()):
        raise ExportError(f"{path}: lacks {_few(missing)}, which {settings.name} tells of")
    if strange := sorted(weights.keys() - wanted.keys()):
        raise ExportError(f"{path}: holds {_few(strange)}, which {settings.name} doesn't tell of")
    for key, value in wanted.items():
        if value.shape != weights[key].shape:
            raise ExportError(
                f"{path}: {key} has the shape {list(weights[key].shape)}, by {settings.name} it "
                f"is {list(value.shape)}"
            )
    network.load_state_dict(weights, assign=True)
    return network.float().eval().requires_grad_(False)


def read(path: Path) -> dict[str, Tensor]:
    """Return the tensors that torch.save has written to `path`; nothing in it is run.

    Raises ExportError: it is missing, malformed, or holds more than tensors.
    """
    if not path.is_file():
        raise ExportError(f"{path}: is missing; the directory is incomplete")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old formats, which are read as well
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - whatever a hostile file provokes
        raise ExportError(f"{path}: {_reason(error)}") from None
    if not isinstance(found, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in found.items()
    ):
        raise ExportError(f"{path}: holds no state dict, which is tensors by name")
    return dict(found)


def _reason(error: Exception) -> str:
    """Tell why torch refuses a file, without its advice to trust it."""
    if named := re.search(r"GLOBAL ([\w.]+)", str(error)):
        return f"holds {named[1]}, which is no tensor; nothing of it was run"
    return "can't be read as tensors that torch.save wrote; nothing of it was run"


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
