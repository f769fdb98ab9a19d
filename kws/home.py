"""Home: paths in settings, where ~ is a home folder."""

from __future__ import annotations

from pathlib import Path

from kws.errors import ConfigError


def expanded(path: str) -> Path:
    """Return a path with its ~ replaced. Raises ConfigError: nobody has that home."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ConfigError(f"{path}: there is no such home folder") from None
