"""`kws record`: recordings of a word, said at the microphone, to train from."""

from __future__ import annotations

import signal
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from kws.terminal import options


def record(
    *,
    word: Annotated[str, typer.Argument(metavar="WORD", help="The word, or the phrase.")],
    count: Annotated[
        int, typer.Option("-n", min=1, metavar="N", help="How many good recordings are made.")
    ] = 20,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="They go to DIR/WORD.")
    ] = Path("recordings"),
    device: Annotated[
        str | None, typer.Option(metavar="NAME", help="Part of the microphone's name.")
    ] = None,
    channel: options.Channel = None,
    json: options.Json = False,
) -> None:
    """Record a word at the microphone, to train from.

    It asks for the word until N recordings are good: loud enough, not clipped, said once. They
    are numbered on from those that DIR/WORD holds. Ctrl-C ends it; what was made stays.
    """
    from kws.recording.session import Session
    from kws.recording.shelf import Shelf
    from kws.recording.shelf import word as checked
    from kws.recording.told import Told
    from kws.sources.microphone import Microphone
    from kws.terminal.quiet import quiet_libraries

    word, heard = checked(word), options.parse_channel(channel)
    for ending in (signal.SIGINT, signal.SIGTERM):  # a shell's `&` has set SIGINT to be ignored
        signal.signal(ending, signal.default_int_handler)
    with quiet_libraries():
        microphone = Microphone(device, channel=heard)
        with closing(microphone), Shelf(out / word) as shelf:
            told = Told(word, as_json=json)
            told.begin(shelf.folder, shelf.there, str(microphone.input), microphone.rate)
            session = Session(microphone, heard, shelf, told)
            try:
                session.record(count)
            except KeyboardInterrupt:
                pass  # a good end: what was made is written
            finally:
                told.end(shelf.folder, shelf.there, session.made, session.refused)
