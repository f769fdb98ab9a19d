"""Extras: packages that evaluating needs and spotting does not."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from kws.errors import ConfigError
from kws.install_hint import missing_packages


def need(name: str) -> ModuleType:
    """Import and return a module; raise ConfigError, with what to install, where it is missing."""
    try:
        return import_module(name)
    except ImportError:
        package = name.partition(".")[0]
        raise ConfigError(missing_packages([package], "eval")) from None
