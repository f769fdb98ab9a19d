"""Report: everything that an evaluation found, as one page that needs nothing beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from string import Template

import msgspec

from kws.errors import ConfigError
from kws.evaluate.drawing.excerpt import Excerpt
from kws.evaluate.report import sections
from kws.evaluate.report.page import between, facts, hours, milliseconds, percent, safe, table
from kws.evaluate.results import Clips, Point, Streams, Wrong, is_bounded


def write(
    path: Path,
    streams: Streams | None,
    clips: Clips | None,
    *,
    audio: bool = True,
    command: str,
    scenes: Mapping[Wrong, Excerpt] | None = None,
) -> None:
    """Write the page. It needs no network, and no file beside it.

    audio: with the sound of the worst misses and false alarms, cut from their recordings.
    command: what made these figures. scenes: what was heard around `sections.worst`, from
    `moments.around`; each is drawn.
    Raises ConfigError: nothing was measured, matplotlib is missing, `path` can't be written.
    """
    found = [result for result in (streams, clips) if result is not None]
    if not found:
        raise ConfigError(f"{path}: there is nothing to report; measure a stream or clips first")
    body: list[str] = ["<h2>At a glance</h2>", _headlines(streams, clips)]
    if streams is not None:
        body += sections.misses(streams)
        body += sections.moments(streams, {} if scenes is None else scenes, audio=audio)
    if clips is not None:
        body += sections.labels(clips)
    failed = {name: why for result in found for name, why in result.failed.items()}
    if failed:
        body += ["<h2>What could not be read</h2>", "<p>These count in no figure.</p>"]
        rows = [(safe(name), safe(why)) for name, why in failed.items()]
        body.append(table("Files that failed, and why", ["file", "why"], rows))
    page = Template(files(__package__).joinpath("report.html").read_text("utf-8")).substitute(
        title=safe(f"How well {found[0].model} hears"),
        facts=_facts(streams, clips, command),
        body="\n".join(body),
        data=_data({"command": command, "streams": streams, "clips": clips}),
    )
    try:
        Path(path).write_text(page, "utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: can't be written ({error.strerror})") from None


def _data(results: Mapping[str, object]) -> str:
    """Return JSON that may stand in a page: no `<` can end its element."""
    try:
        text = msgspec.json.encode(results).decode()
    except UnicodeEncodeError:  # a file's name that is no text, which JSON can escape
        text = json.dumps(msgspec.to_builtins(results))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _facts(streams: Streams | None, clips: Clips | None, command: str) -> str:
    pairs = []
    if streams is not None:
        pairs.append(("model", safe(streams.model)))
        pairs.append(("stream", f"{safe(streams.audio)}, {hours(streams.hours)}"))
        free = hours(streams.negative_hours) if streams.negative_hours else "none"
        pairs.append(("without keywords", free))
    if clips is not None:
        if streams is None or clips.model != streams.model:
            pairs.append(("model of the clips", safe(clips.model)))
        pairs.append(("clips", f"{clips.accuracy.count} of {safe(clips.corpus)}"))
        pairs.append(("protocol", safe(clips.protocol)))
    pairs.append(("command", f"<code>{safe(command)}</code>"))
    return facts(pairs)


def _headlines(streams: Streams | None, clips: Clips | None) -> str:
    cards = []
    if streams is not None:
        cards += _stream_headlines(streams.shipped)
    if clips is not None:
        right = clips.accuracy
        told = f"{right.hits} of {right.count} clips most probably what they are, whatever "
        told += f"the thresholds ({between(right)})"
        cards.append((percent(right.value), told))
        cards.append(
            (percent(clips.mean_recall), "of a label's clips recognised, mean over labels")
        )
    items = [
        f"<li><strong>{safe(big)}</strong><span>{safe(told)}</span></li>" for big, told in cards
    ]
    note = "In brackets: where the true figure lies, with 95 % confidence."
    return f'<ul class="headline" role="list">{"".join(items)}</ul><p class="muted">{note}</p>'


def _stream_headlines(point: Point) -> list[tuple[str, str]]:
    missed, rate = point.misses, point.false_alarms
    told = f"missed: {missed.hits} of {missed.count} words ({between(missed)})"
    cards = [(percent(missed.value), told)]
    if rate is None:
        cards.append(("not known", "false alarms: there was no audio without keywords"))
    elif not is_bounded(rate):
        told = f"false alarms: {rate.events} in {hours(rate.hours)}, too short to tell of hours"
        cards.append(("not known", told))
    elif rate.events:
        told = f"false alarms an hour: {rate.events} in {hours(rate.hours)} without a keyword"
        cards.append((f"{rate.per_hour:.2f}", f"{told} ({rate.low:.2f} to {rate.high:.2f})"))
    else:
        told = f"false alarms an hour: none in {hours(rate.hours)} without a keyword"
        cards.append((f"under {rate.high:.2f}", f"{told}, which proves no less"))
    if point.delay_ms_p50 is not None:
        told = "after a word's end it is known: half of them sooner; "
        told += f"95 % within {milliseconds(point.delay_ms_p95)}"
        cards.append((milliseconds(point.delay_ms_p50), told))
    told = "fired again for the same word; "
    told += f"{point.elsewhere} more in the stream match no word of their name"
    cards.append((str(point.duplicates), told))
    return cards
