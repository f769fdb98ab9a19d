"""`kws serve`: the daemon."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from kws.serve.ears import MicrophoneRequest
    from kws.sources import Source


def serve(
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The config; else the one that `kws config init` wrote."),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Only say whether all is right.")] = False,
) -> None:
    """Listen for months: a daemon that opens lost microphones again and tells who wants to know.

    SIGHUP reads the config again, SIGTERM ends it. Exit code 4: something in it died.

    --check tells all mistakes of the config (exit code 2), then what does not work now (1).
    """
    from kws.serve import logs
    from kws.serve.config import existing_path
    from kws.serve.daemon import Daemon
    from kws.serve.notify import Notify
    from kws.sources.devices import portaudio
    from kws.terminal.queued_output import queued_output
    from kws.terminal.quiet import quiet_libraries

    path = config or existing_path()
    if path is not None:
        path = path.absolute()
        _go_to(path.parent)
    with quiet_libraries(), queued_output("stderr"):
        if check:
            _check(path)
            return
        daemon = Daemon(path, _microphone, Notify(os.environ))
        portaudio()
        warnings.showwarning = lambda message, *_, **__: logs.say("warning", str(message))
        faulthandler.enable()  # the watchdog's signal then leaves in the log where it hung
        daemon.handle_signals()
        try:
            daemon.run()
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            if daemon.stuck:
                _leave_soon(sys.exc_info()[1])


def _check(path: Path | None) -> None:
    """Tell all that is wrong, and what would not work now. Raises typer.Exit: there is some."""
    from kws.serve.build import build
    from kws.serve.check import mistakes, troubles
    from kws.serve.config import read
    from kws.serve.daemon import Daemon
    from kws.serve.notify import Notify

    _tell(mistakes(path) if path is not None else [], 2)
    Daemon(path, _microphone, Notify({})).test()
    _tell(list(troubles(build(read(path), path), path)), 1)
    print(f"{path or 'the defaults'}: all right")


def _tell(wrong: list[str], code: int) -> None:
    """Print a line each. Raises typer.Exit with this code: there was one."""
    for line in wrong:
        print(f"kws: {line}", file=sys.stderr)
    if wrong:
        raise typer.Exit(code)


def _leave_soon(error: BaseException | None) -> None:
    """End this process, whoever hangs in it; error: why, None: it was told to."""
    from kws.serve.daemon import EXIT_S

    code = 0 if error is None else getattr(error, "exit_code", 1)
    leave = threading.Timer(EXIT_S, os._exit, (code,))
    leave.daemon = True
    leave.start()


def _go_to(folder: Path) -> None:
    """Let paths in the config count from its folder."""
    try:
        os.chdir(folder)
    except OSError as error:
        from kws.errors import ConfigError

        raise ConfigError(f"{folder}: can't be entered ({error.strerror})") from None


def _microphone(wanted: MicrophoneRequest) -> Source:
    from kws.sources.microphone import Microphone

    return Microphone(wanted.device or None, channel=wanted.channel, consumer=wanted.consumer)
