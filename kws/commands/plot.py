"""`kws plot`: a picture of what was heard in a recording, and why."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kws.errors import ConfigError
from kws.terminal import options

if TYPE_CHECKING:
    from kws.evaluate.drawing.excerpt import Excerpt
    from kws.evaluate.match import Word


def plot(
    audio: Annotated[str, typer.Argument(help="A recording.")],
    *,
    output: Annotated[
        str, typer.Option("-o", "--output", metavar="FILE", help="The picture: png, svg or pdf.")
    ],
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
    start: Annotated[
        float, typer.Option("--from", metavar="S", help="Draw from here on, in seconds.")
    ] = 0,
    end: Annotated[
        float | None, typer.Option("--to", metavar="S", help="Draw up to here, in seconds.")
    ] = None,
    truth: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="A truth file: draw the words that were said."),
    ] = None,
) -> None:
    """Draw what was heard in a recording, to see why it fired or missed.

    The picture shows the sound, when the gate was open, every keyword's score, as it was
    compared, over its threshold, and the detections; of keywords that a verifier judges the first
    stage's score, too. The recording is heard from its start,
    whatever part of it is drawn. An older picture of that name is replaced.
    """
    span = start, math.inf if end is None else end
    _check(output, *span)
    from kws.evaluate.drawing.excerpt import hear
    from kws.evaluate.drawing.spotting import spotting

    said = _said(truth)
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
    rules = asked.thresholds(None).rules
    [excerpt] = hear(asked.spotter(), audio, [span], channel=asked.channel, rules=rules)
    window = max(rule.wake_window_s for rule in rules)
    awake = None if wake is None else _awake(excerpt, window)
    spotting(excerpt, output, said=said, awake=awake)
    drawn = sum(excerpt.within(shot.start_s, shot.time_s) for shot in excerpt.fired)
    print(
        f"{output}: {excerpt.start_s:.2f} to {excerpt.end_s:.2f} s, {drawn} detections",
        file=sys.stderr,
    )


def _check(output: str, start: float, end: float) -> None:
    """Raise ConfigError for what can't work, before anything slow is begun."""
    from kws.evaluate.drawing.canvas import kind_of
    from kws.evaluate.extras import need

    kind_of(output)
    folder = Path(output).parent
    if not folder.is_dir():
        raise ConfigError(f"{output}: there is no folder {os.fspath(folder)}")
    if not 0 <= start < end:  # not so for NaN
        raise ConfigError(
            f"--from {start:g} --to {end:g} is no part of a recording; 0 <= from < to"
        )
    need("matplotlib")


def _said(truth: str | None) -> list[Word]:
    from kws.evaluate.match import Word
    from kws.evaluate.truthfile import read_truth

    if truth is None:
        return []
    return [Word(w.label, w.start_s, w.end_s, w.clear) for w in read_truth(truth).words]


def _awake(excerpt: Excerpt, window: float) -> list[tuple[float, float]]:
    """Return when commands counted."""
    return [(s.end_s, s.end_s + window) for s in excerpt.fired if s.role == "wake"]
