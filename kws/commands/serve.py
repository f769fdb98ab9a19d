"""`kws serve`: the daemon."""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
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
    check: Annotated[
        bool, typer.Option("--check", help="Only say whether the config is all right.")
    ] = False,
) -> None:
    """Listen for months: a daemon that opens lost microphones again and tells who wants to know.

    SIGHUP reads the config again, SIGTERM ends it. Exit code 4: something in it died.
    """
    from kws.serve.config import existing_path
    from kws.serve.daemon import Daemon
    from kws.serve.notify import Notify
    from kws.sources.devices import portaudio
    from kws.terminal.quiet import quiet_libraries

    path = config or existing_path()
    if path is not None:
        path = path.absolute()
        _go_to(path.parent)
    with quiet_libraries():
        daemon = Daemon(path, _microphone, Notify(os.environ))
        if check:
            daemon.test()
            print(f"{path or 'the defaults'}: all right")
            return
        portaudio()
        faulthandler.enable()  # the watchdog's signal then leaves in the log where it hung
        daemon.handle_signals()
        try:
            daemon.run()
        finally:
            if daemon.stuck:
                _leave_soon(sys.exc_info()[1])


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
