"""Home: paths in settings, where ~ is a home folder, and a user's folders of configs and data."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from kws.errors import ConfigError


def expanded(path: str) -> Path:
    """Return a path with its ~ replaced. Raises ConfigError: nobody has that home."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ConfigError(f"{path}: there is no such home folder") from None


def config_folder() -> Path:
    """Return where the configs of this user's programs lie.

    Raises ConfigError: there is no home, as where a container runs as a user that it doesn't know.
    """
    name = "APPDATA" if sys.platform == "win32" else "XDG_CONFIG_HOME"
    if told := os.environ.get(name):
        return Path(told)
    try:
        return Path.home() if sys.platform == "win32" else Path.home() / ".config"
    except RuntimeError:
        raise ConfigError(f"this user has no home folder; set HOME or {name}") from None


def data_folder() -> Path:
    """Return where this user's data of kws lie: fetched voices, for instance.

    Raises ConfigError: there is no home.
    """
    name = "LOCALAPPDATA" if sys.platform == "win32" else "XDG_DATA_HOME"
    if told := os.environ.get(name):
        return Path(told) / "kws"
    try:
        home = Path.home()
    except RuntimeError:
        raise ConfigError(f"this user has no home folder; set HOME or {name}") from None
    return home / "kws" if sys.platform == "win32" else home / ".local" / "share" / "kws"
