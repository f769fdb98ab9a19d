"""Retune: thresholds that hold from the next hop on, and are kept for the next start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from kws.errors import ConfigError
from kws.roles import known
from kws.serve.build import Built
from kws.serve.ears import Ears
from kws.thresholds import read_overrides, write_overrides


@dataclass(frozen=True)
class Retuned:
    """levels: which hold now. note: why some of them will not hold after the next start."""

    levels: dict[str, float]
    note: str | None


def retune(built: Built, ears: Ears, levels: Mapping[str, float]) -> Retuned:
    """Let every microphone hear with these thresholds, without a reset, and keep them.

    Raises ConfigError: there is no such keyword.
    """
    known(levels, built.levels, "keyword")
    built.levels.update(levels)
    ears.do(lambda spotter: spotter.set_threshold(levels))
    try:
        _keep(built.kept, levels)
    except ConfigError as error:
        return Retuned(dict(built.levels), f"not kept: {error}")
    fixed = [name for name in levels if name in built.fixed]
    note = f"the config sets {', '.join(fixed)} itself: this holds until it is read again"
    return Retuned(dict(built.levels), note if fixed else None)


def _keep(path: Path, levels: Mapping[str, float]) -> None:
    """Write thresholds into an override file; what else it says stays said."""
    said = read_overrides(path if path.exists() else None)
    write_overrides(path, msgspec.structs.replace(said, thresholds={**said.thresholds, **levels}))
