"""Page: parts of a report as HTML. Whatever comes from outside is escaped here."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable, Iterable, Sequence

from kws.card import Rate
from kws.evaluate.results import Share, is_bounded

THIN = "\N{NARROW NO-BREAK SPACE}"


def safe(what: object) -> str:
    """Return text that stands for itself in HTML, in attributes too."""
    # A file's name may hold bytes that are no text.
    return html.escape(str(what).encode("utf-8", "backslashreplace").decode())


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Return the rows of a list of names and values; values are HTML."""
    return "\n".join(f"<dt>{safe(name)}</dt><dd>{value}</dd>" for name, value in pairs)


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table that scrolls by itself where it is too wide; cells are HTML."""
    heads = "".join(f'<th scope="col">{safe(name)}</th>' for name in head)
    lines = [
        f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'
        for first, *cells in rows
    ]
    return (
        f'<div class="scroll" role="region" aria-label="{safe(caption)}" tabindex="0"><table>'
        f"<caption>{safe(caption)}</caption><thead><tr>{heads}</tr></thead>\n"
        f"<tbody>{chr(10).join(lines)}</tbody></table></div>"
    )


def words(text: str) -> str:
    """Return a cell's content: what comes after a line's end in small print, broken at commas."""
    first, _, rest = text.partition("\n")
    parts = " ".join(f"<span>{safe(part)}</span>" for part in rest.replace(", ", ",\n").split("\n"))
    return f"{safe(first)}<small>{parts}</small>" if rest else safe(first)


def picture(draw: Callable[[io.BytesIO], None], name: str) -> str:
    """Return what `draw` writes into a buffer, an element of the page. name: no other's."""
    buffer = io.BytesIO()
    draw(buffer)
    # Ids within pictures are alike, those of a page must not be.
    return re.sub(r'( id="| href="#|url\(#)', rf"\1{name}-", buffer.getvalue().decode())


def figure(svg: str, label: str, caption: str, *, width_px: int | None = None) -> str:
    """Return a figure. label: what it shows, for who can't see it; the figures stand in tables.

    width_px: it has this width and no other; where it does not fit, it scrolls.
    """
    image = f'<div role="img" aria-label="{safe(label)}">{svg}</div>'
    if width_px is None:
        return f"<figure>{image}<figcaption>{safe(caption)}</figcaption></figure>"
    return (
        f'<figure class="wide" style="--wide: {width_px}px"><div class="scroll" role="region" '
        f'aria-label="{safe(label)}" tabindex="0">{image}</div>'
        f"<figcaption>{safe(caption)}</figcaption></figure>"
    )


def details(summary: str, content: str) -> str:
    """Return something that is shown when asked for; `content` is HTML."""
    return f"<details><summary>{safe(summary)}</summary>{content}</details>"


def percent(value: float) -> str:
    """Return a share as people write it."""
    return f"{100 * value:.1f}{THIN}%"


def known(value: float | None) -> str:
    """Return a share, or that nothing is known of it."""
    return "not known" if value is None else percent(value)


def between(share: Share) -> str:
    """Return a share's interval."""
    return f"{100 * share.low:.1f} to {percent(share.high)}"


def per_hour(rate: Rate | None) -> str:
    """Return false alarms per hour with their interval below; none is told as what it shows."""
    if rate is None:
        return "not known"
    if not is_bounded(rate):
        return f"not known\n{rate.events} in {hours(rate.hours)}, too short to tell"
    if not rate.events:
        return f"under {rate.high:.2f}\nnone in {hours(rate.hours)}"
    told = f"{rate.low:.2f} to {rate.high:.2f}, {rate.events} in {hours(rate.hours)}"
    return f"{rate.per_hour:.2f}\n{told}"


def hours(value: float) -> str:
    """Return a duration in hours, in minutes or seconds if it is short."""
    if value < 1:
        return f"{60 * value:.1f} min" if value >= 1 / 60 else f"{3600 * value:.0f} s"
    return f"{value:.1f} h" if value < 100 else f"{value:.0f} h"


def milliseconds(value: float | None) -> str:
    """Return a delay."""
    return "not known" if value is None else f"{value:.0f}{THIN}ms".replace("-", "\N{MINUS SIGN}")


def moment(seconds: float) -> str:
    """Return a moment of a recording: 1:02:03.4."""
    minutes, rest = divmod(seconds, 60)
    whole, minutes = divmod(int(minutes), 60)
    return f"{whole}:{minutes:02d}:{rest:04.1f}" if whole else f"{minutes}:{rest:04.1f}"
