"""`kws spot`: keywords in recordings."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from contextlib import closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kws.errors import AudioError, ConfigError
from kws.terminal import options
from kws.text import one_line

if TYPE_CHECKING:
    from kws.evaluate.hearing import Hearing
    from kws.flow import Event
    from kws.spotter import Spotter
    from kws.terminal.scorefile import ScoreFile


def spot(
    audio: Annotated[
        list[str] | None,
        typer.Argument(help="Recordings, and folders of them; `-` is stdin: WAV or raw."),
    ] = None,
    *,
    demo: Annotated[
        bool, typer.Option("--demo", help="Hear the bundled recording, whose path is printed.")
    ] = False,
    model: options.Models = None,
    keywords: options.Keywords = None,
    threshold: options.Threshold = None,
    sensitivity: options.Sensitivity = None,
    false_alarms: options.FalseAlarms = None,
    wake: options.Wake = None,
    channel: options.Channel = None,
    gate: options.Gate = None,
    overrides: options.Overrides = None,
    verify: options.Verify = None,
    scores: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Write every hop's scores, to a .csv or .npz file."),
    ] = None,
    rate: Annotated[int, typer.Option(min=1, help="Hz of raw samples on stdin.")] = 16_000,
    channels: Annotated[int, typer.Option(min=1, help="Channels of raw samples on stdin.")] = 1,
    workers: options.Workers = 1,
    dask: options.Dask = None,
    resume: options.Resume = None,
    json: options.Json = False,
) -> None:
    """Find keywords in recordings.

    Prints one JSON line a detection, with --json or without.

    Recordings are streamed, at any rate, with any number of channels, of any length.
    Raw samples on stdin are 16-bit little-endian. Of a folder, all audio files in it and below
    are heard, sorted by name. Archives can be shared out among processes or machines; what is
    printed is the same.
    """
    names = _names(audio, demo)
    asked = options.read(
        model,
        keywords=keywords,
        threshold=threshold,
        sensitivity=sensitivity,
        false_alarms=false_alarms,
        wake=wake,
        channel=channel,
        gate=gate,
        overrides=overrides,
        verify=verify,
    )
    from kws.terminal.scorefile import ScoreFile

    spotter = asked.spotter()  # what makes no sense is told before anything is written
    labels = [each.labels for each in asked.models]
    apart = workers > 1 or dask is not None or resume is not None
    with closing(ScoreFile(scores, labels)) if scores else nullcontext() as every:
        if apart or any(Path(name).is_dir() for name in names):
            fine = _archive(asked.hearing(workers, dask, resume), names, every, spotter)
        else:
            try:
                fine = [_spot(spotter, name, every, rate, channels) for name in names]
            except KeyboardInterrupt:  # the way to end a live pipe
                return
    if not all(fine):
        raise typer.Exit(AudioError.exit_code)


def _names(audio: list[str] | None, demo: bool) -> list[str]:
    """Return what is to be heard. Raises ConfigError: nothing was named."""
    from kws.sources.demo import RECORDING

    names = [*(audio or []), *([str(RECORDING)] if demo else [])]
    if not names:
        raise ConfigError("name a recording, a folder, or - for stdin; --demo hears a bundled one")
    return names


def _spot(
    spotter: Spotter,
    name: str,
    every: ScoreFile | None,
    rate: int = 16_000,
    channels: int = 1,
) -> bool:
    """Print a recording's detections; return whether it could be read to its end."""
    from kws.sources import open_audio

    spotter.reset()
    try:
        with closing(open_audio(name, rate=rate, channels=channels)) as source:
            _show(name, spotter.events(source), every)
    except AudioError as error:  # the other recordings may be fine
        return _complain(str(error))
    return True


def _archive(
    hearing: Hearing, names: Sequence[str], every: ScoreFile | None, spotter: Spotter
) -> list[bool]:
    """Print the detections of many recordings, in order; return which could be read.

    What could not be shared out, as a file that is cut off, is heard here, as far as it goes.
    """
    files = [file for name in names for file in _files(name)]
    readable = [file for file in files if file]
    fine = [file != "" for file in files]
    for name, (_, heard) in zip(readable, hearing.hear([*map(Path, readable)]), strict=True):
        if isinstance(heard, str):
            fine.append(_spot(spotter, name, every))
        else:
            _show(name, heard.heard.events, every)
    return fine


def _files(name: str) -> list[str]:
    """Return a file's name, or those of all audio files in a folder; "" for what is no audio.

    Raises ConfigError: a pipe, which can't be read in parts.
    """
    from kws.evaluate.tracks import recordings

    path = Path(name)
    if name == "-" or (path.exists() and not path.is_file() and not path.is_dir()):
        raise ConfigError(
            f"{name}: a pipe is heard as it comes; name it without folders, --workers, --dask "
            "and --resume"
        )
    try:
        return [*map(str, recordings(path))] if path.is_dir() else [name]
    except AudioError as error:
        _complain(str(error))
        return [""]


def _show(name: str, events: Iterable[Event], every: ScoreFile | None) -> None:
    import msgspec

    from kws.event_json import detection_event
    from kws.flow import Detection, Scores
    from kws.terminal.lines import print_json

    for event in events:
        if isinstance(event, Detection):
            print_json(msgspec.to_builtins(detection_event(event, audio=name)))
        elif isinstance(event, Scores) and every is not None:
            every.add(name, event)


def _complain(reason: str) -> bool:
    print(f"kws: {one_line(reason)}", file=sys.stderr)
    return False
