"""Systemd: the daemon as a service of its user: installed, taken away, looked at."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from kws.errors import ConfigError
from kws.home import config_folder
from kws.serve.unit import MARK, text

NAME = "kws.service"
LOGS = "journalctl --user -u kws"
LINGER = (
    "it ends when you log out, and does not start at boot, until you run: loginctl enable-linger"
)
PROPERTIES = (
    "ActiveState,SubState,ActiveEnterTimestamp,StateChangeTimestamp,StatusText,Result,NRestarts"
)
ELSEWHERE = {
    "darwin": "let a launchd agent in ~/Library/LaunchAgents run `kws serve`",
    "win32": "let the Task Scheduler run `kws serve` at log on",
}
OTHERWISE = "let what starts programs here run `kws serve`; in a container, as its command"


@dataclass(frozen=True)
class Status:
    """How the service is.

    unit: its file, None: not installed. state, detail: as systemd calls them, `active`, `running`.
    since: when that began, in seconds since the epoch. says: the daemon's own words. result: how
    it last ended, `success` while all is well. restarts: since it was started by hand. lingers:
    it runs without anybody logged in.
    """

    unit: Path | None
    state: str
    detail: str
    since: float | None
    says: str
    result: str
    restarts: int
    lingers: bool


def path() -> Path:
    """Return where the unit lies: in the user's own folder for such. Raises ConfigError."""
    return config_folder() / "systemd" / "user" / NAME


def install(config: Path | None) -> list[str]:
    """Write the unit and start it, now and at every login; return what to tell the user.

    One that was installed before is replaced and started anew. Raises ConfigError: there is no
    systemd, the unit is not ours or can't be written, or the service does not start.
    """
    _systemctl("show", "--property=Version")  # before anything is written
    unit = path()
    _check_ours(unit)
    _write(unit, text(sys.executable, None if config is None else str(config.absolute())))
    _systemctl("daemon-reload")
    _systemctl("enable", NAME)
    _systemctl("restart", NAME, failed=f"{unit} is installed but does not start; see {LOGS}")
    told = [f"installed {unit}; it runs", f"logs: {LOGS}"]
    return told if _lingers() else [*told, LINGER]


def uninstall() -> list[str]:
    """Stop the service and take its unit away; return what to tell the user.

    Raises ConfigError: there is no systemd, or the unit is not ours or can't be removed.
    """
    unit = path()
    if not unit.exists():
        return [f"not installed: there is no {unit}"]
    _check_ours(unit)
    _systemctl("disable", "--now", NAME)
    with suppress(ConfigError):  # it did not fail: there is nothing to forget
        _systemctl("reset-failed", NAME)
    try:
        unit.unlink()
    except OSError as error:
        raise ConfigError(f"{unit}: can't be removed ({error.strerror})") from None
    _systemctl("daemon-reload")
    return [f"removed {unit}"]


def status() -> Status:
    """Return how the service is. Raises ConfigError: there is no systemd."""
    lines = _systemctl("show", NAME, f"--property={PROPERTIES}").splitlines()
    found = dict(line.split("=", 1) for line in lines if "=" in line)
    state = found.get("ActiveState", "unknown")
    # A reload changes the state too; what runs, runs since it became active.
    began = "ActiveEnterTimestamp" if state == "active" else "StateChangeTimestamp"
    return Status(
        unit=path() if path().exists() else None,
        state=state,
        detail=found.get("SubState", "unknown"),
        since=_seconds(found.get(began, "")),
        says=found.get("StatusText", ""),
        result=found.get("Result", ""),
        restarts=int(found.get("NRestarts") or 0),
        lingers=_lingers(),
    )


def _check_ours(unit: Path) -> None:
    try:
        ours = not unit.exists() or unit.read_text("utf-8", "replace").startswith(MARK)
    except OSError as error:
        raise ConfigError(f"{unit}: can't be read ({error.strerror})") from None
    if not ours:
        raise ConfigError(f"{unit} was not written by `kws service install`; move it away first")


def _write(unit: Path, content: str) -> None:
    unfinished = unit.with_name(f".{NAME}.new")  # systemd reads no such names
    try:
        unit.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(content, encoding="utf-8")
        unfinished.replace(unit)
    except OSError as error:
        raise ConfigError(f"{unit}: can't be written ({error.strerror})") from None


def _systemctl(*arguments: str, failed: str | None = None) -> str:
    """Run a command of the user's systemd, return what it printed; failed: what to say if so."""
    elsewhere = ELSEWHERE.get(sys.platform, OTHERWISE)
    try:
        done = subprocess.run(
            ["systemctl", "--user", *arguments],
            env={**os.environ, "LC_ALL": "C.UTF-8", "TZ": "UTC"},
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
    except OSError:
        raise ConfigError(f"there is no systemd here; {elsewhere}") from None
    if done.returncode == 0:
        return done.stdout
    said = " ".join(done.stderr.split())
    if "Failed to connect to" in said:
        raise ConfigError(
            f"systemctl --user: {said}; log in as this user itself, not by su or sudo; "
            f"without systemd, {elsewhere}"
        )
    raise ConfigError(failed or f"systemctl --user {' '.join(arguments)} failed: {said}")


def _lingers() -> bool:
    """Whether the user's services run without anybody logged in."""
    command = ["loginctl", "show-user", str(os.getuid()), "--property=Linger", "--value"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return False
    return done.stdout.strip() == "yes"


def _seconds(stamp: str) -> float | None:
    """Return the seconds since the epoch of a time as systemd writes it in UTC; "": None."""
    try:
        return datetime.strptime(f"{stamp} +0000", "%a %Y-%m-%d %H:%M:%S UTC %z").timestamp()
    except ValueError:
        return None
