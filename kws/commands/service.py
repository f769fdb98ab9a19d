"""`kws service`: the daemon as a systemd service of its user."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kws.errors import ConfigError
from kws.terminal import options

if TYPE_CHECKING:
    from kws.serve.systemd import Status


RUNNING = ("active", "reloading")


class Action(str, Enum):
    """What is done with the service."""

    install = "install"
    uninstall = "uninstall"
    status = "status"


def service(
    action: Annotated[Action, typer.Argument(metavar="install|uninstall|status")],
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="install: the config that `kws serve` reads."),
    ] = None,
    only_print: Annotated[
        bool, typer.Option("--print", help="install: print the unit, and change nothing.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Run `kws serve` in the background, for good.

    install: a systemd user unit that starts it now, and with every login. uninstall: stops it and
    takes the unit away. status: whether it runs, since when, and what it says of itself; exit code
    1 where it does not run.
    """
    from kws.serve import systemd, unit

    if action is not Action.install and (config is not None or only_print):
        raise ConfigError(f"--config and --print are for `kws service install`, not {action.value}")
    if json and action is not Action.status:
        raise ConfigError(f"--json is for `kws service status`, not {action.value}")
    if only_print:
        print(unit.text(sys.executable, None if config is None else str(config.absolute())), end="")
    elif action is Action.status:
        _tell(systemd.status(), as_json=json)
    else:
        _check(config)
        done = systemd.install(config) if action is Action.install else systemd.uninstall()
        print(*done, sep="\n")


def _check(config: Path | None) -> None:
    """Raise ConfigError for a config with which the service would end at once."""
    from kws.serve.config import existing_path, read

    read(config or existing_path())


def _tell(status: Status, *, as_json: bool) -> None:
    """Print how the service is. Raises typer.Exit: it does not run."""
    from kws.terminal.lines import print_json

    if as_json:
        print_json({**asdict(status), "unit": None if status.unit is None else str(status.unit)})
    else:
        print(*_words(status), sep="\n")
    if status.state not in RUNNING:
        raise typer.Exit(1)


def _words(status: Status) -> list[str]:
    from kws.serve.systemd import LINGER, LOGS

    if status.unit is None:
        return ["not installed; `kws service install` does that"]
    lines = [f"{status.state} ({status.detail})"]
    if status.since is not None:
        lines[0] += f" since {datetime.fromtimestamp(status.since).astimezone():%Y-%m-%d %H:%M:%S}"
    if status.says:
        lines.append(status.says)
    if status.restarts or status.result != "success":
        lines.append(f"started anew {status.restarts} times; it last ended with: {status.result}")
    lines += [f"unit: {status.unit}", f"logs: {LOGS}"]
    return lines if status.lingers else [*lines, LINGER]
