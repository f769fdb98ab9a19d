"""Spotting, drawn: the sound, the gate, every keyword's score with its threshold, what fired."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kws.evaluate.drawing.canvas import MUTED, SOFT, Out, axes, canvas, drawable
from kws.evaluate.drawing.excerpt import Excerpt, Shot
from kws.evaluate.match import Fired, Word, match
from kws.evaluate.results import Wrong

WIDTH = 11.0
LEFT, RIGHT, TOP, BOTTOM, LINE_HIGH = 1.15, 0.6, 0.36, 0.3, 0.155
"""Inches: of the whole, of its margins, of a line of the note."""
LOW = 0.1
"""Keywords that never rise so high share one row."""
CHARACTER = 0.059
"""How wide a character of the note is, in inches."""


@dataclass(frozen=True)
class _Shown:
    """What is drawn of an excerpt.

    tall: keywords with a row of their own; low: the others. alarms: detections of nothing that
    was said. heard, missed: words that armed keywords mean; others: words that none does.
    """

    tall: list[str]
    low: list[str]
    alarms: set[Shot]
    heard: list[Word]
    missed: list[Word]
    others: list[Word]


def spotting(
    excerpt: Excerpt,
    out: Out,
    *,
    said: Sequence[Word] = (),
    awake: Sequence[tuple[float, float]] | None = None,
    about: Wrong | None = None,
    brief: bool = False,
    width: float = WIDTH,
    kind: str | None = None,
) -> None:
    """Draw what a spotter heard, to explain why it fired or missed.

    Rows share the time: words that were said, detections, the sound, the gate, and every armed
    keyword's smoothed score, as it was compared, over its threshold. said: every word of the
    recording. awake: when commands counted, in seconds, where a wake word is asked for. about: a
    moment to be marked. brief: without the recording's name and the note below. width:
    inches. kind: None is by `out`'s suffix.
    Raises ConfigError: matplotlib is missing, `out` can't be written.
    """
    shown = _shown(excerpt, said, set() if about is None else {about.keyword})
    note = [] if brief else _note(excerpt, shown, width)
    top = 0.05 if brief else TOP
    foot = BOTTOM + LINE_HIGH * len(note)
    rows = len(shown.tall) + bool(shown.low)
    with canvas(out, width, 1, kind=kind) as figure:
        from kws.evaluate.drawing.strips import (  # once matplotlib is known to be there
            Strips,
            height,
        )

        tall = height(rows, 1 + bool(said), 1 + (awake is not None))
        whole = top + tall + foot
        figure.set_figheight(whole)
        place = axes(figure, LEFT, RIGHT, foot, top)
        strips = Strips(place, excerpt, width - LEFT - RIGHT, tall)
        if about is not None:
            place.axvspan(about.start_s, about.end_s, color=SOFT, alpha=0.4, linewidth=0, zorder=0)
        if said:
            strips.words(shown.heard, shown.missed, shown.others)
        strips.shots(excerpt.fired, shown.alarms)
        strips.wave()
        strips.gate()
        if awake is not None:
            strips.listening(awake)
        for name in shown.tall:
            strips.score(name, shown.alarms, [w for w in shown.missed if w.label == name])
        if shown.low:
            strips.others(shown.low)
        strips.finish()
        name = "" if brief else drawable(Path(excerpt.name).name)
        figure.text(LEFT / width, 1 - 0.2 / whole, name, weight="bold", va="center")
        for number, line in enumerate(reversed(note)):
            y = (0.06 + number * LINE_HIGH) / whole
            figure.text(LEFT / width, y, line, color=MUTED, size=7.5, va="bottom")


def _shown(excerpt: Excerpt, said: Sequence[Word], wanted: set[str]) -> _Shown:
    armed = [word for word in said if word.label in excerpt.thresholds]
    found = match([Fired(shot.keyword, shot.time_s) for shot in excerpt.fired], armed)
    wrong = {(event.keyword, event.time_s) for event in found.false_alarms + found.duplicates}
    alarms = {shot for shot in excerpt.fired if (shot.keyword, shot.time_s) in wrong}
    words = [word for word in said if excerpt.within(word.start_s, word.end_s)]
    missed = [word for word in words if any(word is lost for lost in found.missed)]
    meant = [word for word in words if word.label in excerpt.thresholds]
    wanted = wanted | {word.label for word in words}
    wanted |= {shot.keyword for shot in excerpt.fired if excerpt.within(shot.at_s, shot.time_s)}
    inside = (excerpt.ends_s >= excerpt.start_s) & (excerpt.ends_s <= excerpt.end_s)
    # NaN is not high: there the gate was closed.
    high = {name for name in excerpt.thresholds if (excerpt.score(name)[inside] >= LOW).any()}
    high |= {name for name in excerpt.verified if (excerpt.first(name)[inside] >= LOW).any()}
    return _Shown(
        tall=[name for name in excerpt.thresholds if name in high | wanted],
        low=[name for name in excerpt.thresholds if name not in high | wanted],
        alarms=alarms if said else set(),
        heard=[word for word in meant if word not in missed],
        missed=missed,
        others=[word for word in words if word.label not in excerpt.thresholds],
    )


def _note(excerpt: Excerpt, shown: _Shown, width: float) -> list[str]:
    lines = [
        (
            "Dashes: threshold. Triangle: fired, at the score that passed. "
            "Gate, light: let through from before it opened; closed: no score."
        )
    ]
    if excerpt.verified & set(shown.tall):
        lines[0] += " Dots: what the first stage alone gave; the line is what was compared."
    if shown.alarms:
        lines[0] += " Cross: fired, but nothing of that name was said."
    if shown.missed:
        lines[0] += " Hollow bar: said, but missed."
    if not any(np.isfinite(excerpt.score(name)).any() for name in excerpt.thresholds):
        lines.append("The gate was closed throughout: nothing was scored.")
    elif shown.low:
        lines.append(f"Under {LOW:g} throughout: {', '.join(shown.low)}.")
    across = round((width - LEFT) / CHARACTER)
    return [part for line in lines for part in textwrap.wrap(line, across)]
