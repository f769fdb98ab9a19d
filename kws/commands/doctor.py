"""`kws doctor`: whether this machine can listen, and what to do where it can't."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from typing import Annotated

import typer

from kws.errors import KwsError
from kws.terminal import options
from kws.text import one_line

LISTENED_S = 2.0
QUIET_DB, LOUD_DB = -75.0, -3.0
"""dBFS between which a room with a working microphone lies."""


class Trouble(Exception):  # noqa: N818 - it is what the doctor looks for, not an error
    """What is wrong, and what to do."""


def doctor(
    model: Annotated[str | None, typer.Option(metavar="FILE", help="A model file.")] = None,
    device: Annotated[
        str | None, typer.Option(metavar="NAME", help="Part of the microphone's name.")
    ] = None,
    json: options.Json = False,
) -> None:
    """Check that this machine can listen.

    Python, PortAudio, the microphone, the model: each line is fine, or says what to do. Speech
    synthesisers are listed too; only `kws train` uses them.
    """
    from kws.terminal.lines import print_json
    from kws.terminal.quiet import quiet_libraries

    checks: dict[str, Callable[[], str]] = {
        "python": _python,
        "portaudio": _portaudio,
        "devices": _devices,
        "recording": lambda: _recording(device),
        "model": lambda: _model(model),
        "inference": lambda: _inference(model),
        "voices": _voices,
    }
    fine = True
    with quiet_libraries():
        for name, check in checks.items():
            try:
                ok, text = True, check()
            except (Trouble, KwsError) as trouble:
                ok, text = False, str(trouble)
            fine = fine and ok
            if json:
                print_json({"check": name, "ok": ok, "text": text})
            else:
                print(f"{'ok' if ok else '!!'}  {name:10} {one_line(text)}", flush=True)
    if not fine:
        raise typer.Exit(1)


def _python() -> str:
    return f"{platform.python_version()} on {platform.system()} {platform.machine()}"


def _portaudio() -> str:
    from kws.sources.devices import portaudio

    version: str = portaudio().get_portaudio_version()[1]
    return version.split(",", maxsplit=1)[0]


def _devices() -> str:
    from kws.sources.devices import devices, find

    default = find()
    return f"{len(devices())}, the default is {default}, {default.rate} Hz"


def _recording(device: str | None) -> str:
    from kws.terminal.levels import level_db, record

    levels = level_db(record(device, LISTENED_S))
    loudest = max(levels)
    text = f"{LISTENED_S:g} s at " + ", ".join(f"{level:.0f} dBFS" for level in levels)
    if loudest == float("-inf"):
        raise Trouble("nothing but zeros: unmute the microphone, or allow programs to use it")
    if loudest < QUIET_DB:
        raise Trouble(f"{text}: almost silent; turn the microphone up, see `kws devices`")
    if loudest > LOUD_DB:
        raise Trouble(f"{text}: too loud, it clips; turn the microphone down")
    return text


def _model(path: str | None) -> str:
    from kws.session import load

    begun = time.perf_counter()
    model = load(path)
    head = f" on the shared encoder {model.card.encoder}" if model.is_head else ""
    return (
        f"{model.path.name} with {len(model.keywords)} keywords{head}, "
        f"loaded in {1000 * (time.perf_counter() - begun):.0f} ms"
    )


def _inference(path: str | None) -> str:
    from kws.session import load
    from kws.terminal.pace import call_seconds

    model = load(path)
    seconds, hop = call_seconds(model), model.card.hop / model.card.sample_rate
    hop *= model.card.stride.hops if model.card.stride else 1
    text = f"{1000 * seconds:.2f} ms for every {1000 * hop:.0f} ms of speech"
    if seconds > hop:
        raise Trouble(f"{text}: this machine is too slow for it; take a smaller model")
    return f"{text}, {seconds / hop:.1%} of one core"


def _voices() -> str:
    """Return the voice engines that are here; having none is no reason not to listen."""
    from export.synthesis import engines

    found = [engine for engine in engines.engines() if not engine.missing()]
    text = ", ".join(engine.name for engine in found)
    if any(engine.neural for engine in found):
        return text
    better = "kws voices add kokoro fetches voices that sound like people"
    return f"{text}; {better}" if found else f"none; only `kws train --phrase` needs some: {better}"
