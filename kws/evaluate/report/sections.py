"""Sections of a report: results as tables, plots, and moments to listen to."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from kws.evaluate.drawing import plots
from kws.evaluate.drawing.excerpt import Excerpt
from kws.evaluate.drawing.spotting import spotting
from kws.evaluate.report.moments import BESIDE_S, sound
from kws.evaluate.report.page import (
    between,
    details,
    figure,
    known,
    milliseconds,
    moment,
    per_hour,
    percent,
    picture,
    safe,
    table,
    words,
)
from kws.evaluate.results import Clips, Keyword, Point, Share, Streams, Wrong

MOST = 20
"""So many misses, and so many false alarms, are shown at most."""
CLIPS = (
    "Each clip counts as its most probable label, whatever the thresholds. How many words are "
    "heard in a stream, by thresholds and gate, stands under misses and false alarms; "
    "<code>kws eval --stream</code> measures it."
)
SCENE_IN = 5.0
"""Inches of a moment's picture."""
MISSED = "under"
FEW, FEW_PX, MANY_PX, BESIDE_PX = 12, 40, 23, 90
"""Pixels of the page for each label of a confusion of few, of many, and for their names."""


def misses(streams: Streams) -> list[str]:
    """Return what was missed, and what fired at nothing, at each set of thresholds."""
    told = (
        "Higher thresholds miss more and fire less at nothing. "
        "Rates that the hours without a keyword can't show are left out."
    )
    points = [streams.shipped, *streams.points]
    head = ["thresholds", "missed", "false alarms/h", "again", "elsewhere", "delay p50", "p95"]
    svg = picture(partial(plots.det, streams, kind="html"), "det")
    caption = (
        "Missed words against false alarms an hour as all thresholds move together. Bands and "
        "lines: 95 % intervals. An open arrow: nothing fired, so the rate lies below."
    )
    content = [
        "<h2>Misses and false alarms</h2>",
        f"<p>{told}</p>",
        table(
            "At the thresholds as shipped, and for each rate asked for", head, map(_point, points)
        ),
        figure(svg, "Missed words against false alarms an hour; the table below tells it", caption),
    ]
    if streams.curve:
        rows = [
            (f"{s.step:+.2f}", words(_missed(s.misses)), words(per_hour(s.false_alarms)))
            for s in streams.curve
        ]
        head = ["log-odds added", "missed", "false alarms/h"]
        content.append(
            details("The curve as a table", table("Every step of the curve", head, rows))
        )
    content += ["<h2>Keyword by keyword</h2>", _keywords(streams.shipped)]
    content += [
        details(f"The same for {point.wanted:g} false alarms an hour", _keywords(point))
        for point in streams.points
        if point.wanted is not None
    ]
    return content


def _point(point: Point) -> Sequence[str]:
    name = "as shipped" if point.wanted is None else f"for {point.wanted:g}/h"
    step = f"log-odds {point.step:+.2f}" if point.step else ""
    return (
        words(f"{name}\n{step}"),
        words(_missed(point.misses)),
        words(per_hour(point.false_alarms)),
        str(point.duplicates),
        str(point.elsewhere),
        milliseconds(point.delay_ms_p50),
        milliseconds(point.delay_ms_p95),
    )


def _missed(share: Share) -> str:
    if not share.count:
        return "never said"
    return f"{percent(share.value)}\n{between(share)}, {share.hits} of {share.count}"


def _keywords(point: Point) -> str:
    head = ["keyword", "threshold", "missed", "false alarms/h", "again", "delay p50", "p95"]
    name = "as shipped" if point.wanted is None else f"for {point.wanted:g} false alarms an hour"
    rows = (_keyword(*pair) for pair in point.keywords.items())
    return table(f"Each keyword at its threshold {name}", head, rows)


def _keyword(name: str, found: Keyword) -> Sequence[str]:
    return (
        safe(name),
        f"{found.threshold:.3f}",
        words(_missed(found.misses)),
        words(per_hour(found.false_alarms)),
        str(found.duplicates),
        milliseconds(found.delay_ms_p50),
        milliseconds(found.delay_ms_p95),
    )


def worst(streams: Streams) -> list[Wrong]:
    """Return the misses and false alarms that a report shows."""
    return [*streams.missed[:MOST], *streams.false_alarms[:MOST]]


def moments(streams: Streams, scenes: Mapping[Wrong, Excerpt], *, audio: bool) -> list[str]:
    """Return the worst misses and false alarms, to be listened to and looked at."""
    heard = f"Each sound begins {BESIDE_S:g} s before the moment and ends {BESIDE_S:g} s after it. "
    drawn = "Pictures: dashes are thresholds, a triangle is where a keyword fired."
    content = []
    for title, where, wrongs in (
        ("Missed words", MISSED, streams.missed),
        ("False alarms", "over", streams.false_alarms),
    ):
        content.append(f"<h2>{title}, the worst first</h2>")
        if not wrongs:
            some = where == MISSED or streams.negative_hours
            told = "There were none." if some else "There was no audio without keywords."
            content.append(f"<p>{told}</p>")
            continue
        note = f"{min(MOST, len(wrongs))} of {len(wrongs)} are shown, those furthest {where} "
        note += f"their threshold first. {heard if audio else ''}{drawn if scenes else ''}"
        items = "\n".join(
            _moment(wrong, scenes.get(wrong), f"{where}-{number}", audio=audio)
            for number, wrong in enumerate(wrongs[:MOST])
        )
        content += [f"<p>{note}</p>", f'<ol class="moments" role="list">\n{items}\n</ol>']
    return content


def _moment(wrong: Wrong, scene: Excerpt | None, name: str, *, audio: bool) -> str:
    where = f"{moment(wrong.start_s)} in {wrong.audio}"
    over = wrong.score >= wrong.threshold and name.startswith(MISSED)
    why = (
        "; yet it did not fire in time: gate closed, another word told, or too late" if over else ""
    )
    bar = f"--score: {100 * wrong.score:.1f}%; --threshold: {100 * wrong.threshold:.1f}%"
    parts = [
        f"<h3>{safe(wrong.keyword)}</h3><p>at {safe(where)}</p>",
        f"<p>score {wrong.score:.3f}, threshold {wrong.threshold:.3f}{why}</p>",
        f'<span class="bar" aria-hidden="true" style="{bar}"></span>',
    ]
    if audio and (flac := sound(wrong)) is not None:
        data = base64.b64encode(flac).decode()
        label = safe(f"{wrong.keyword} at {where}")
        source = f"data:audio/flac;base64,{data}"
        parts.append(
            f'<audio controls preload="metadata" aria-label="{label}" src="{source}"></audio>'
        )
    elif audio:
        parts.append("<p>The recording could not be read for its sound.</p>")
    if scene is not None:
        draw = partial(spotting, scene, brief=True, about=wrong, width=SCENE_IN, kind="html")
        svg = picture(draw, name)
        label = safe(f"Sound and scores around {wrong.keyword} at {where}")
        image = f'<div class="scene" role="img" aria-label="{label}">{svg}</div>'
        parts.append(details("What was heard", image))
    return f"<li>{''.join(parts)}</li>"


def labels(clips: Clips) -> list[str]:
    """Return how well each label's clips were recognised, and what they were taken for."""
    head = ["label", "recall", "precision", "F1", "clips"]
    rows = (
        (safe(n), known(x.recall), known(x.precision), known(x.f1), str(x.clips))
        for n, x in clips.labels.items()
    )
    svg = picture(partial(plots.confusion, clips, kind="html"), "confusion")
    caption = "Rows: what was said; columns: what it was taken for; counts, darker for more."
    label = "How often each label was taken for each other; the table below tells the mistakes"
    count = len(clips.labels)
    width = count * (FEW_PX if count <= FEW else MANY_PX) + BESIDE_PX
    mistakes = sorted(_mistakes(clips), key=lambda each: -each[2])
    content = [
        "<h2>Clips</h2>",
        f"<p>{CLIPS}</p>",
        table(f"Each label of {clips.corpus}, by the protocol {clips.protocol}", head, rows),
        figure(svg, label, caption, width_px=width),
    ]
    if mistakes:
        told = ((safe(a), safe(b), str(count)) for a, b, count in mistakes)
        head = ["said", "taken for", "clips"]
        content.append(
            details("Mistakes as a table", table("Mistakes, the most first", head, told))
        )
    return content


def _mistakes(clips: Clips) -> Iterator[tuple[str, str, int]]:
    names = list(clips.labels)
    for said, row in zip(names, clips.confusion, strict=True):
        for heard, count in zip(names, row, strict=True):
            if count and said != heard:
                yield said, heard, count
