"""Permissions: who may read and write the files that kws trusts, and those that it writes."""

from __future__ import annotations

import os
import shlex
import stat
from pathlib import Path

from kws.errors import ConfigError

OTHERS_READ = stat.S_IRGRP | stat.S_IROTH
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def refuse_foreign(config: Path) -> None:
    """Raise ConfigError where somebody else could write the commands that we run.

    That is: the file, or a folder above it where names can be exchanged.
    """
    real = config.resolve()
    try:
        owner = real.stat().st_uid
        open_places = _writable(config)
    except OSError as error:
        raise ConfigError(f"{config}: can't be looked at ({error.strerror})") from None
    if owner not in (0, os.geteuid()):
        raise ConfigError(
            f"{config}: belongs to user {owner}, so its commands are not run; "
            f"as root: chown {os.geteuid()} {_quoted(real)}"
        )
    for place in open_places:
        raise ConfigError(
            f"{config}: others can write {place}, so its commands are not run; "
            f"chmod go-w {_quoted(place)}"
        )


def exposures(secret: Path) -> list[str]:
    """Return what to warn of where others can read or exchange a file that holds a secret."""
    if os.name != "posix":
        return []
    try:
        readable = secret.stat().st_mode & OTHERS_READ
        places = _writable(secret)
    except OSError:  # who reads it says why it can't be
        return []
    found = [f"{secret}: others can read this secret; chmod go-rwx {_quoted(secret)}"]
    return found[: bool(readable)] + [
        f"{secret}: others can write {place}, and give their own; chmod go-w {_quoted(place)}"
        for place in places
    ]


def _writable(path: Path) -> list[Path]:
    """Return where others could exchange what a file says: it, and the folders above it.

    Raises OSError: they can't be looked at.
    """
    real = path.resolve()
    places = dict.fromkeys([real, *real.parents, *path.absolute().parents])
    modes = {place: place.stat().st_mode for place in places}
    return [
        place
        for place, mode in modes.items()
        if mode & OTHERS_WRITE and not (place != real and mode & stat.S_ISVTX)
    ]


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
