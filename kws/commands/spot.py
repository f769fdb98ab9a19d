"""`kws spot`: keywords in recordings."""

from __future__ import annotations

import sys
from contextlib import closing, nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from kws.errors import AudioError
from kws.terminal import options

if TYPE_CHECKING:
    from kws.spotter import Spotter
    from kws.terminal.scorefile import ScoreFile


def spot(
    audio: Annotated[list[str], typer.Argument(help="Recordings; `-` is stdin: WAV or raw.")],
    *,
    model: options.Models = None,
    keywords: options.Keywords = None,
    threshold: options.Threshold = None,
    false_alarms: options.FalseAlarms = None,
    wake: options.Wake = None,
    channel: options.Channel = None,
    gate: options.Gate = None,
    overrides: options.Overrides = None,
    scores: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Write every hop's scores, to a .csv or .npz file."),
    ] = None,
    rate: Annotated[int, typer.Option(min=1, help="Hz of raw samples on stdin.")] = 16_000,
    channels: Annotated[int, typer.Option(min=1, help="Channels of raw samples on stdin.")] = 1,
    json: options.Json = False,
) -> None:
    """Find keywords in recordings.

    Prints one JSON line a detection, with --json or without.

    Recordings are streamed, at any rate, with any number of channels, of any length.
    Raw samples on stdin are 16-bit little-endian.
    """
    from kws.terminal.scorefile import ScoreFile

    spotter = options.make_spotter(
        model,
        keywords=keywords,
        threshold=threshold,
        false_alarms=false_alarms,
        wake=wake,
        channel=channel,
        gate=gate,
        overrides=overrides,
    )
    labels = [each.labels for each in spotter.models]
    with closing(ScoreFile(scores, labels)) if scores else nullcontext() as every:
        try:
            fine = [_spot(spotter, name, every, rate=rate, channels=channels) for name in audio]
        except KeyboardInterrupt:  # the way to end a live pipe
            return
    if not all(fine):
        raise typer.Exit(AudioError.exit_code)


def _spot(
    spotter: Spotter, name: str, every: ScoreFile | None, *, rate: int, channels: int
) -> bool:
    """Print a recording's detections; return whether it could be read to its end."""
    from kws.flow import Detection, Scores
    from kws.sources import open_audio
    from kws.terminal.lines import print_json, record

    spotter.reset()
    try:
        with closing(open_audio(name, rate=rate, channels=channels)) as source:
            for event in spotter.listen(source):
                if isinstance(event, Detection):
                    print_json(record(event, audio=name) or {})
                elif isinstance(event, Scores) and every is not None:
                    every.add(name, event)
    except AudioError as error:  # the other recordings may be fine
        print(f"kws: {error}", file=sys.stderr)
        return False
    return True
