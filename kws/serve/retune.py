"""Retune: thresholds that hold from the next hop on, and are kept for the next start."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kws.errors import ConfigError
from kws.keyword_levels import LevelRequest
from kws.overrides import read_overrides, write_overrides
from kws.serve.build import Built
from kws.serve.ears import Ears


@dataclass(frozen=True)
class Retuned:
    """The levels that hold now. note: why some of them will not hold after the next start."""

    thresholds: dict[str, float]
    sensitivity: dict[str, float]
    note: str | None


def levels_now(built: Built) -> tuple[dict[str, float], dict[str, float]]:
    """Return the thresholds that hold now, and the same as sensitivities, by keyword."""
    sensitivities = built.settings.sensitivities.items()
    return built.settings.levels, {name: round(value, 1) for name, value in sensitivities}


def retune(built: Built, ears: Ears, wanted: LevelRequest) -> Retuned:
    """Let every microphone hear with these levels, without a reset, and keep them.

    What holds already is not kept anew: see `Settings.differences`. Raises ConfigError: there is
    no such keyword, or its threshold and its sensitivity contradict each other.
    """
    wanted = built.settings.differences(wanted)
    names = [*wanted.threshold, *wanted.sensitivity]
    built.settings.set_threshold(wanted.threshold)
    built.settings.set_sensitivity(wanted.sensitivity)
    ears.do(lambda spotter: spotter.set_threshold(wanted.threshold))
    ears.do(lambda spotter: spotter.set_sensitivity(wanted.sensitivity))
    now = levels_now(built)
    if not names:
        return Retuned(*now, None)
    try:
        _keep(built.kept, wanted)
    except ConfigError as error:
        return Retuned(*now, f"not kept: {error}")
    fixed = [name for name in names if name in built.fixed]
    note = f"the config sets {', '.join(fixed)} itself: this holds until it is read again"
    return Retuned(*now, note if fixed else None)


def _keep(path: Path, wanted: LevelRequest) -> None:
    """Write levels into an override file; what else it says stays said."""
    said = read_overrides(path if path.exists() else None)
    write_overrides(path, said.changed(wanted.threshold, wanted.sensitivity))
