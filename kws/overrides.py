"""Override file: thresholds, sensitivities and decision parameters in place of a card's."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from kws import card
from kws.errors import ConfigError
from kws.files import read_regular, write_private
from kws.origin import Strict
from kws.sensitivity import HIGHEST, LOWEST


class Overrides(Strict, frozen=True):
    """A small JSON file that replaces thresholds and decision parameters of a card.

    sensitivity: by keyword, 0 to 100. Of a threshold and a sensitivity for the same keyword the one
    that differs from the card's is meant; two that differ and contradict each other are refused.
    """

    thresholds: dict[str, float] = msgspec.field(default_factory=dict)
    sensitivity: dict[str, float] = msgspec.field(default_factory=dict)
    decision: dict[str, float] = msgspec.field(default_factory=dict)

    def changed(
        self, thresholds: Mapping[str, float], sensitivity: Mapping[str, float] | None = None
    ) -> Overrides:
        """Return the same with these, each in place of whatever there was for its keyword."""
        sensitivity = sensitivity or {}
        anew = {*thresholds, *sensitivity}
        kept, eager = (
            {name: value for name, value in each.items() if name not in anew}
            for each in (self.thresholds, self.sensitivity)
        )
        return msgspec.structs.replace(
            self, thresholds={**kept, **thresholds}, sensitivity={**eager, **sensitivity}
        )


def read_overrides(path: str | os.PathLike[str] | Overrides | None) -> Overrides:
    """Read an override file; None is an empty one, and what was read is returned as it is.

    Raises ConfigError.
    """
    if isinstance(path, Overrides) or path is None:
        return path or Overrides()
    try:
        found = msgspec.json.decode(read_regular(path), type=Overrides)
    except OSError as error:
        raise ConfigError(f"{path}: can't be read ({error.strerror})") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: is no override file: {error}") from None
    for name, value in found.decision.items():
        if not 0 <= value <= card.DECISION_MOST_S.get(name, -1):
            raise ConfigError(f"{path}: decision parameter {name}={value} makes no sense")
    for name, value in found.sensitivity.items():
        if not LOWEST <= value <= HIGHEST:
            raise ConfigError(f"{path}: sensitivity {name}={value} lies outside 0..100")
    return found


def write_overrides(path: Path, overrides: Overrides) -> None:
    """Write an override file, whole or not at all. Raises ConfigError."""
    content = msgspec.json.format(msgspec.json.encode(overrides), indent=2) + b"\n"
    try:
        write_private(path.resolve(), content)  # a link stays one
    except OSError as error:
        raise ConfigError(f"{path}: can't be written ({error.strerror})") from None
