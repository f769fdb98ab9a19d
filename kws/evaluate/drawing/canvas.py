"""Canvas: pictures in one quiet style, drawn without a screen: PNG, SVG, PDF, or for a page."""

from __future__ import annotations

import io
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias

from kws.errors import ConfigError
from kws.evaluate.extras import need

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Out: TypeAlias = str | os.PathLike[str] | IO[bytes]

INK, MUTED, LINE, PAPER = "#1c2126", "#5f6871", "#d3d8dd", "#ffffff"
ACCENT, SOFT, WARN = "#1f5fa8", "#b9cce3", "#a8421c"
COLOURS = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    LINE: "var(--line)",
    PAPER: "var(--paper)",
    ACCENT: "var(--accent)",
    SOFT: "var(--soft)",
    WARN: "var(--warn)",
}
"""Every colour, with the page's name for it. They differ in lightness: black and white will do."""

DPI = 150
KINDS = ("png", "svg", "pdf")
LONGEST = 24
"""Names longer than this are cut."""

_STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Arial"],
    "font.size": 9.0,
    "axes.edgecolor": LINE,
    "axes.labelcolor": INK,
    "axes.titlesize": 9.0,
    "axes.linewidth": 0.8,
    "text.color": INK,
    "text.usetex": False,
    "text.parse_math": False,  # a `$` in a name is a `$`
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "hatch.linewidth": 0.6,
    "svg.hashsalt": "kws",  # the same picture is the same file
    "pdf.fonttype": 42,
}


def kind_of(out: Out) -> str:
    """Return what kind of picture a path's suffix asks for; a buffer holds PNG.

    Raises ConfigError: another suffix.
    """
    if not isinstance(out, str | os.PathLike):
        return "png"
    kind = Path(out).suffix.lower().removeprefix(".")
    if kind not in KINDS:
        raise ConfigError(f"{os.fspath(out)}: the name must end in .png, .svg or .pdf")
    return kind


@contextmanager
def canvas(out: Out, width: float, height: float, *, kind: str | None = None) -> Iterator[Figure]:
    """Yield an empty figure, in inches; once it is drawn, write it to `out`.

    kind: `png`, `svg`, `pdf`, or `html`: SVG to stand within a page, whose colours are the page's
    and whose text is text. None is what the suffix says.

    Raises ConfigError: matplotlib is missing, another suffix, `out` can't be written.
    """
    kind = kind or kind_of(out)
    matplotlib = need("matplotlib")
    figure_module = need("matplotlib.figure")
    with matplotlib.rc_context({**_STYLE, "svg.fonttype": "none" if kind == "html" else "path"}):
        figure: Figure = figure_module.Figure(figsize=(width, height), dpi=DPI)
        yield figure
        picture = _render(figure, kind)
    if not isinstance(out, str | os.PathLike):
        out.write(picture)
        return
    try:
        Path(out).write_bytes(picture)
    except OSError as error:
        raise ConfigError(f"{os.fspath(out)}: can't be written ({error.strerror})") from None


def axes(figure: Figure, left: float, right: float, bottom: float, top: float) -> Axes:
    """Return axes with these margins in inches, framed by two thin lines."""
    width, height = figure.get_size_inches()
    across, up = width - left - right, height - bottom - top
    found = figure.add_axes((left / width, bottom / height, across / width, up / height))
    found.spines[["top", "right"]].set_visible(False)
    found.tick_params(length=0)
    return found


def drawable(name: str) -> str:
    """Return a file's name as text, what is none escaped."""
    return name.encode("utf-8", "backslashreplace").decode()


def short(name: str) -> str:
    """Return a name that is not too long to draw, on one line."""
    name = " ".join(drawable(name).split())
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"


def _render(figure: Figure, kind: str) -> bytes:
    made: dict[str, Any] = {"png": {}, "pdf": {"CreationDate": None}}.get(kind, {"Date": None})
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # Names may be in a script that the font lacks: boxes are drawn, nobody need be told.
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        figure.savefig(buffer, format="svg" if kind == "html" else kind, metadata=made)
    picture = buffer.getvalue()
    return _for_page(picture.decode()).encode() if kind == "html" else picture


def _for_page(svg: str) -> str:
    """Return an SVG file as an element of a page: without header, in the page's colours."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, count=1, flags=re.DOTALL)
    head, rest = svg.split(">", 1)
    box = re.search(r'viewBox="[^"]*"', head)
    svg = f"<svg {box.group() if box else ''}>{rest}".replace("xlink:href", "href")
    svg = svg.replace("*{", "svg *{", 1)  # its style is not the page's
    for colour, name in COLOURS.items():
        svg = svg.replace(colour, name)
    return svg
