"""Permissions: who may read and write the files that kws trusts, and those that it writes."""

from __future__ import annotations

import os
import shlex
import stat
from pathlib import Path

from kws.errors import ConfigError

OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def refuse_foreign(config: Path) -> None:
    """Raise ConfigError where somebody else could write the commands that we run.

    That is: the file, or a folder above it where names can be exchanged.
    """
    real = config.resolve()
    try:
        owner = real.stat().st_uid
        places = [real, *real.parents, *config.absolute().parents]
        modes = {place: place.stat().st_mode for place in places}
    except OSError as error:
        raise ConfigError(f"{config}: can't be looked at ({error.strerror})") from None
    if owner not in (0, os.geteuid()):
        raise ConfigError(
            f"{config}: belongs to user {owner}, so its commands are not run; "
            f"as root: chown {os.geteuid()} {shlex.quote(str(real))}"
        )
    for place, mode in modes.items():
        if mode & OTHERS_WRITE and not (place != real and mode & stat.S_ISVTX):
            raise ConfigError(
                f"{config}: others can write {place}, so its commands are not run; "
                f"chmod go-w {shlex.quote(str(place))}"
            )
