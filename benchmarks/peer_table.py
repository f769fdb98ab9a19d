"""The figures of all spotters side by side: a table for a README, and a plot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.peer_figures import MOST_PER_HOUR, RATES, Figures, Heard, Point, Step
from kws.evaluate.drawing.canvas import MUTED, axes, canvas
from kws.evaluate.results import Share
from kws.origin import Strict

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOOKS = {
    "kws": ("#1f5fa8", "o"),
    "pymicro-wakeword": ("#c8501e", "s"),
    "pyopen-wakeword": ("#2e8b57", "^"),
    "openwakeword": ("#8a5a9e", "v"),
    "pocketsphinx": ("#5f6871", "D"),
}
"""Colour and mark of each; the marks tell them apart in black and white."""
TICKS = (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)
PANEL_IN = 2.7
NO_ALARM = 0.13
"""Where no false alarm is drawn: half of one in 3.7 h."""


class Cost(Strict, frozen=True):
    """What a spotter takes. packages: all that its installation holds, with versions."""

    cpu_s_per_s: float
    peak_mib: float
    start_s: float
    install_mib: float
    audio_s: float
    packages: dict[str, str]


class Entry(Strict, frozen=True):
    """One spotter."""

    version: str
    remark: str
    figures: Figures
    cost: Cost | None


class Result(Strict, frozen=True):
    """All spotters on the same streams. absent: those that did not run, and why."""

    command: str
    date: str
    machine: str
    word: str
    said: dict[str, int]
    negative_hours: dict[str, float]
    remarks: list[str]
    spotters: dict[str, Entry]
    absent: dict[str, str]


def table(result: Result) -> str:
    """Return the result as Markdown."""
    return "\n".join(
        [*_heading(result), "", *_hearing(result), "", *_costs(result), *_notes(result)]
    )


def _heading(result: Result) -> Iterator[str]:
    said = ", ".join(f"{count} times {name}" for name, count in result.said.items())
    hours = ", ".join(f"{hours:.2f} h {part}" for part, hours in result.negative_hours.items())
    yield f'"{result.word}" said {said}; false alarms over speech without it: {hours}.'
    yield f"{result.date}, {result.machine}."


def _hearing(result: Result) -> Iterator[str]:
    names = list(result.said)
    rates = [
        f"{rate:g}" for rate in RATES if any(f"{rate:g}" in e.figures.matched for e in _all(result))
    ]
    columns = [f"missed at {rate} FA/h, {name}" for rate in rates for name in names]
    columns += ["as shipped: FA/h", *(f"missed, {name}" for name in names), "delay p50 / p95"]
    yield _row(["", *columns])
    yield _row(["---"] * (1 + len(columns)))
    for name, entry in result.spotters.items():
        cells = [f"{name} {entry.version}".strip()]
        for rate in rates:
            point = entry.figures.matched.get(rate)
            cells += [_missed(point, stream) for stream in names]
        shipped = entry.figures.shipped
        cells += [_alarms(shipped), *(_missed(shipped, stream) for stream in names)]
        matched = entry.figures.matched.get(rates[0]) if rates else None
        cells.append(_delay((matched or shipped).streams[names[0]]))
        yield _row(cells)


def _costs(result: Result) -> Iterator[str]:
    yield _row(["", "CPU-s per s", "memory, peak", "start-up", "installed"])
    yield _row(["---"] * 5)
    for name, entry in result.spotters.items():
        cost = entry.cost
        cells = ["not measured"] * 4
        if cost:
            cells = [
                f"{cost.cpu_s_per_s:.4f}",
                f"{cost.peak_mib:.0f} MiB",
                f"{cost.start_s:.2f} s",
                f"{cost.install_mib:.0f} MiB",
            ]
        yield _row([name, *cells])


def _notes(result: Result) -> Iterator[str]:
    yield ""
    for remark in result.remarks:
        yield f"- {remark}"
    for name, entry in result.spotters.items():
        if entry.remark:
            yield f"- {name}: {entry.remark}."
    for name, reason in result.absent.items():
        yield f"- {name} did not run: {reason}"


def _all(result: Result) -> Sequence[Entry]:
    return list(result.spotters.values())


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _missed(point: Point | None, stream: str) -> str:
    return _share(point.streams[stream].misses) if point else "never so few FA"


def _share(found: Share) -> str:
    low, high = 100 * found.low, 100 * found.high
    return f"{100 * found.value:.1f} % ({low:.1f}–{high:.1f})"  # noqa: RUF001 - a range


def _alarms(point: Point) -> str:
    found = point.false_alarms
    return f"{found.per_hour:.2f} ({found.low:.2f}–{found.high:.2f})"  # noqa: RUF001 - a range


def _delay(heard: Heard) -> str:
    if heard.delay_ms_p50 is None or heard.delay_ms_p95 is None:
        return "–"  # noqa: RUF001 - an empty cell
    return f"{heard.delay_ms_p50:.0f} / {heard.delay_ms_p95:.0f} ms"


def plot(result: Result, out: Path) -> None:
    """Draw misses against false alarms per hour, a panel for each stream of words.

    Raises ConfigError: matplotlib is missing, `out` can't be written.
    """
    height, count = PANEL_IN, len(result.said)
    with canvas(out, 4.4, 1.15 + height * count) as figure:
        for number, stream in enumerate(result.said):
            below = count - 1 - number
            place = axes(figure, 0.62, 0.16, 1.25 + height * below, 0.3 + height * number)
            _panel(place, result.spotters, stream)
            place.set_title(f'"{result.word}" {_said(stream)}', loc="left")
            if not below:
                place.set_xlabel("false alarms per hour of speech without it")
                place.legend(
                    title="lines: threshold moved; marks: as shipped", title_fontsize=7.5,
                    alignment="left", loc="upper left", bbox_to_anchor=(-0.14, -0.24), ncols=3,
                    frameon=False, fontsize=7.5, columnspacing=1.0, handletextpad=0.4,
                    borderaxespad=0,
                )  # fmt: skip


def _said(stream: str) -> str:
    return (
        "said in quiet" if stream == "clean" else f"in rooms, with speech or noise {stream} below"
    )


def _panel(place: Axes, spotters: Mapping[str, Entry], stream: str) -> None:
    highest = 0.1
    for name, entry in spotters.items():
        colour, mark = LOOKS[name]
        steps = _telling(entry.figures.curve, stream)
        x = [step.per_hour or NO_ALARM for step in steps]
        y = [step.misses[stream] for step in steps]
        if entry.figures.swept:
            place.plot(x, y, color=colour, linewidth=1.5, drawstyle="steps-post", zorder=2)
        else:
            place.plot(x, y, ".:", color=colour, linewidth=1.2, zorder=2)
        shipped = entry.figures.shipped
        at, missed = shipped.false_alarms.per_hour or NO_ALARM, shipped.streams[stream].misses.value
        place.plot(
            at, missed, mark, color=colour, markersize=7, label=name, zorder=3, clip_on=False
        )
        highest = max([highest, missed, *(value for value in y if value < 0.6)])
    place.set_xscale("log")
    shipped_most = max(one.figures.shipped.false_alarms.per_hour for one in spotters.values())
    right = max(MOST_PER_HOUR, 1.3 * shipped_most)
    place.set_xlim(NO_ALARM * 0.85, right)
    ticks = {NO_ALARM: "none"} | {tick: f"{tick:g}" for tick in TICKS if tick <= right}
    place.set_xticks(list(ticks), list(ticks.values()))
    place.set_xticks([], minor=True)
    place.set_ylim(-0.02 * highest, highest * 1.1)
    place.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    place.set_ylabel("words missed", color=MUTED)
    place.grid(linewidth=0.4, alpha=0.6)


def _telling(curve: Sequence[Step], stream: str) -> list[Step]:
    """Return a step for each rate: the one that missed least."""
    best: dict[int, Step] = {}
    for step in curve:
        other = best.setdefault(step.false_alarms, step)
        if step.misses[stream] < other.misses[stream]:
            best[step.false_alarms] = step
    return list(best.values())
