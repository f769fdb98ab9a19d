"""`kws config`: the file that tells `kws serve` what to do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer


class Action(str, Enum):
    """What is done with the config."""

    init = "init"


def config(
    action: Annotated[Action, typer.Argument(help="What to do.", show_default=False)],
    path: Annotated[
        Path | None,
        typer.Argument(
            metavar="[PATH]", help="The file; else where `kws serve` looks.", show_default=False
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")] = False,
) -> None:
    """Write a config for `kws serve`.

    init: one with every setting, what it does, and what holds without it. Only you can read it,
    for passwords may stand in it.
    """
    from kws.serve.config import TEMPLATE, default_path, existing_path

    path = path or default_path()
    _write(path, TEMPLATE.read_text(encoding="utf-8"), overwrite=force)
    option = "" if path == existing_path() else f" --config {_quoted(path)}"
    print(f"wrote {path}")
    print(f"once you have changed it: kws serve --check{option}")
    print(f"to let it run for good: kws service install{option}")


def _write(path: Path, text: str, *, overwrite: bool) -> None:
    """Write a file for its owner's eyes only. Raises ConfigError."""
    from kws.errors import ConfigError

    try:
        if path.is_dir():
            raise ConfigError(f"{path}: is a folder; name a file in it")
        if path.exists() and not overwrite:
            raise ConfigError(f"{path}: is there already; --force overwrites it")
        with _only_ours():
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_file():
                path.chmod(0o600)
            path.write_text(text, encoding="utf-8")
    except (FileExistsError, NotADirectoryError):
        raise ConfigError(f"{path}: can't be written ({path.parent} is no folder)") from None
    except OSError as error:
        raise ConfigError(f"{path}: can't be written ({error.strerror})") from None


@contextmanager
def _only_ours() -> Iterator[None]:
    """Let what is made meanwhile, folders too, be closed to others."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def _quoted(path: Path) -> str:
    import shlex

    return shlex.quote(str(path))
