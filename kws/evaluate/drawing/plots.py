"""Plots: misses against false alarms, and which label was taken for which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kws.card import Rate
from kws.evaluate.drawing.canvas import (
    ACCENT,
    INK,
    LINE,
    MUTED,
    PAPER,
    SOFT,
    WARN,
    Out,
    axes,
    canvas,
    short,
)
from kws.evaluate.report.page import hours
from kws.evaluate.results import Clips, Share, Step, Streams

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, HEIGHT = 5.0, 3.8
"""Inches of a plot: narrow, so that its text stays readable on a phone."""
TICKS = tuple(lead * 10.0**power for power in range(-3, 4) for lead in (1, 2, 5))
BESIDE = 0.055
"""Names of points are at least so far apart, as a share of the plot's height."""


def det(streams: Streams, out: Out, *, kind: str | None = None) -> None:
    """Draw missed words against false alarms per hour, the DET curve, with 95 % intervals.

    Bands and bars are Wilson's for misses, Poisson's for false alarms. No event in H hours is
    drawn as what it shows: an arrow at the upper bound. kind: None is by `out`'s suffix.
    Raises ConfigError: matplotlib is missing, `out` can't be written.
    """
    marked = _marks(streams)
    curve = _telling(streams.curve)
    with canvas(out, WIDTH, HEIGHT, kind=kind) as figure:
        place = axes(figure, 0.62, 0.2, 0.5, 0.2)
        rates = [step.false_alarms for step in curve] + [mark.rate for mark in marked]
        if not rates:
            _say_nothing(place)
            return
        shares = [step.misses for step in curve] + [mark.share for mark in marked]
        lowest = _frame(place, rates, shares)
        _curve(place, curve, lowest)
        for mark in marked:
            mark.draw(place, lowest)
        _name(place, marked)


@dataclass
class _Mark:
    """A point that is marked on the curve: the thresholds as shipped, or for a rate."""

    names: list[str]
    rate: Rate
    share: Share
    shipped: bool

    @property
    def x(self) -> float:
        """Where it is drawn."""
        return _shown(self.rate)

    def draw(self, place: Axes, lowest: float) -> None:
        """Draw it with its intervals; open, and as an arrow, where nothing fired falsely."""
        rate, share = self.rate, self.share
        line: dict[str, Any] = {"color": MUTED, "linewidth": 0.9, "zorder": 3}
        place.vlines(self.x, share.low, share.high, **line)
        place.hlines(share.value, max(rate.low, lowest), rate.high, **line)
        colour, marker = (WARN, "D") if self.shipped else (ACCENT, "o")
        place.plot(
            self.x, share.value, marker if rate.events else "<", markersize=7, zorder=4,
            color=colour if rate.events else PAPER, markeredgecolor=colour, markeredgewidth=1.4,
        )  # fmt: skip


def _marks(streams: Streams) -> list[_Mark]:
    """Return the points to be marked; one mark where they are the same."""
    marks: list[_Mark] = []
    for point in [streams.shipped, *streams.points]:
        rate, share = point.false_alarms, point.misses
        name = "as shipped" if point.wanted is None else f"asked for {point.wanted:g}/h"
        same = [mark for mark in marks if (mark.rate, mark.share) == (rate, share)]
        if same:
            same[0].names.append(name)
        elif rate is not None:
            marks.append(_Mark([name], rate, share, point.wanted is None))
    return marks


def _telling(curve: Sequence[Step]) -> list[Step]:
    """Return the steps that say something: of those without a false alarm, what missed least."""
    steps = sorted(curve, key=lambda step: step.step)
    none = [step for step in steps if not step.false_alarms.events]
    best = [min(none, key=lambda step: step.misses.value)] if none else []
    return [step for step in steps if step.false_alarms.events] + best


def _shown(rate: Rate) -> float:
    """Return where a rate is drawn: none in so many hours is drawn at the upper bound."""
    return rate.per_hour if rate.events else rate.high


def _frame(place: Axes, rates: Sequence[Rate], shares: Sequence[Share]) -> float:
    """Set the axes' limits and ticks; return the lowest rate of the picture."""
    shown = [_shown(rate) for rate in rates]
    lowest, highest = min(shown) / 2.5, max(shown) * 1.6
    place.set_xscale("log")
    place.set_xlim(lowest, highest)
    ticks = [tick for tick in TICKS if lowest <= tick <= highest]
    place.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    place.set_xticks([], minor=True)
    # To the next 5 %: the curve's own end, not the interval's, decides.
    top = min(1.0, max([share.value for share in shares] + [0.05]) * 1.08)
    place.set_ylim(0, top)
    step = next(s for s in (0.01, 0.02, 0.05, 0.1, 0.2) if top / s <= 7)
    levels = [step * number for number in range(int(top / step + 1e-9) + 1)]
    place.set_yticks(levels, [f"{100 * level:.0f} %" for level in levels])
    place.grid(color=LINE, linewidth=0.6)
    place.set_axisbelow(True)
    place.set_xlabel("false alarms per hour without a keyword")
    place.set_ylabel("words missed")
    return lowest


def _curve(place: Axes, curve: Sequence[Step], lowest: float) -> None:
    real = [step for step in curve if step.false_alarms.events]
    x = [step.false_alarms.per_hour for step in real]
    y = [step.misses.value for step in real]
    place.fill_between(
        x, [s.misses.low for s in real], [s.misses.high for s in real],
        color=SOFT, alpha=0.5, linewidth=0, zorder=1,
    )  # fmt: skip
    place.fill_betweenx(
        y, [max(s.false_alarms.low, lowest) for s in real], [s.false_alarms.high for s in real],
        color=SOFT, alpha=0.3, linewidth=0, zorder=1,
    )  # fmt: skip
    place.plot(x, y, color=ACCENT, linewidth=1.4, zorder=2)
    for step in curve[len(real) :]:
        rate, missed = step.false_alarms, step.misses.value
        place.plot([lowest, rate.high], [missed] * 2, color=ACCENT, linewidth=1, linestyle=":")
        place.plot(rate.high, missed, "<", color=PAPER, markeredgecolor=ACCENT, zorder=3)
        place.annotate(
            f"none in {hours(rate.hours)}: under {rate.high:.2g}/h", (rate.high, missed),
            (6, 5), textcoords="offset points", size=7.5, color=MUTED,
        )  # fmt: skip


def _name(place: Axes, marks: Sequence[_Mark]) -> None:
    """Write the points' names in a column at the right, from the highest down."""
    top, y = place.get_ylim()[1], 0.98
    for mark in sorted(marks, key=lambda mark: -mark.share.value):
        y = min(y - BESIDE, mark.share.value / top + 0.08)
        place.annotate(
            ", ".join(mark.names), (mark.x, mark.share.value), (0.99, y),
            textcoords="axes fraction", size=8, ha="right", va="center", zorder=5,
            arrowprops={"arrowstyle": "-", "color": MUTED, "linewidth": 0.6, "shrinkB": 5},
        )  # fmt: skip


def _say_nothing(place: Axes) -> None:
    place.set_axis_off()
    place.text(
        0.5, 0.5, "No audio without keywords was heard:\nfalse alarms are not known.",
        ha="center", va="center", color=MUTED, transform=place.transAxes,
    )  # fmt: skip


def confusion(clips: Clips, out: Out, *, kind: str | None = None) -> None:
    """Draw how often each label (row) was taken for each (column): counts, darker for more.

    A row's shades are shares of its clips. kind: None is by `out`'s suffix.
    Raises ConfigError: matplotlib is missing, `out` can't be written.
    """
    names, counts = [short(name) for name in clips.labels], clips.confusion
    count = len(names)
    cell = max(0.26, min(0.5, 5.0 / max(1, count)))
    longest = max((len(name) for name in names), default=1) * 0.075 + 0.3
    size = count * cell
    with canvas(out, longest + size + 0.15, longest + size + 0.15, kind=kind) as figure:
        place = axes(figure, longest, 0.15, 0.15, longest)
        place.set_xlim(0, count)
        place.set_ylim(count, 0)
        for row, line in enumerate(counts):
            _cells(place, row, line, 9 if cell > 0.4 else 6.5)
        middles = [place_at + 0.5 for place_at in range(count)]
        place.set_xticks(middles, names, rotation=90, color=INK)
        place.set_yticks(middles, names, color=INK)
        place.xaxis.tick_top()
        place.xaxis.set_label_position("top")
        place.set_xlabel("heard as", color=MUTED)
        place.set_ylabel("said", color=MUTED)
        place.hlines(range(count + 1), 0, count, color=LINE, linewidth=0.5, zorder=0)
        place.vlines(range(count + 1), 0, count, color=LINE, linewidth=0.5, zorder=0)
        place.spines[:].set_visible(False)


def _cells(place: Axes, row: int, line: Sequence[int], size: float) -> None:
    from matplotlib.colors import to_rgba

    found = [column for column, hits in enumerate(line) if hits]
    # Rare mistakes must be seen too.
    strengths = [0.1 + 0.9 * (line[column] / sum(line)) ** 0.5 for column in found]
    colours = [
        to_rgba(ACCENT if row == column else WARN, strength)
        for column, strength in zip(found, strengths, strict=True)
    ]
    place.broken_barh([(column, 1) for column in found], (row, 1), facecolors=colours)
    for column, strength in zip(found, strengths, strict=True):
        text = str(line[column])
        place.text(
            column + 0.5, row + 0.52, text, ha="center", va="center",
            size=size - 0.9 * max(0, len(text) - 2), color=PAPER if strength > 0.5 else INK,
        )  # fmt: skip
