"""Strips: rows that share the time, drawn one under the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from kws.evaluate.drawing.canvas import ACCENT, DPI, INK, LINE, MUTED, PAPER, SOFT, WARN, short
from kws.evaluate.drawing.envelope import thinned
from kws.evaluate.drawing.excerpt import Excerpt, Shot
from kws.evaluate.match import TOLERANCE_S, Word
from kws.levels import power_db

ROW, WAVE, STRIP, NAMES, GAP = 0.34, 0.8, 0.1, 0.2, 0.13
"""Heights in inches: of a score, the sound, the gate, names; and what lies between."""
CHARACTER = 0.08
"""How wide a character of a name is, in inches."""
CROWDED = 0.7
"""Where names would cover more of a row than this, only bars and triangles are drawn."""
TICKS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400)


def height(rows: int, names: int, strips: int) -> float:
    """Return how high so many rows of scores, of names and strips are, beside the sound."""
    return rows * (ROW + GAP) + names * (NAMES + GAP) + strips * (STRIP + GAP) + WAVE + GAP


class Strips:
    """Rows on axes whose y is inches from the top; x is seconds.

    across: the width in inches.
    """

    def __init__(self, place: Axes, excerpt: Excerpt, across: float, tall: float) -> None:
        self._place, self._excerpt, self._across = place, excerpt, across
        self._y = -GAP / 2
        self._labels: list[tuple[float, str]] = []
        self._seconds = excerpt.end_s - excerpt.start_s
        place.set_xlim(excerpt.start_s, excerpt.end_s)
        place.set_ylim(-tall, 0)
        place.spines[["left", "bottom"]].set_visible(False)
        step = next((s for s in TICKS_S if self._seconds / s <= across), TICKS_S[-1])
        ticks = np.arange(np.ceil(excerpt.start_s / step), excerpt.end_s / step + 1e-9) * step
        place.set_xticks(ticks, [_clock(at, step, excerpt.end_s) for at in ticks.tolist()])
        place.grid(axis="x", color=LINE, linewidth=0.6)
        place.set_axisbelow(True)

    def finish(self) -> None:
        """Write the rows' names."""
        places = [y for y, _ in self._labels]
        self._place.set_yticks(places, [name for _, name in self._labels], color=INK)

    def _row(self, tall: float, label: str) -> float:
        """Begin a row; return where its bottom is."""
        bottom = self._y - tall
        self._labels.append((bottom + tall / 2, label))
        self._y = bottom - GAP
        return bottom

    def _aside(self, y: float, text: str) -> None:
        """Write something right of a row."""
        x = self._excerpt.end_s + 0.06 * self._seconds / self._across
        self._place.text(x, y, text, size=7.5, color=MUTED, va="center")

    def _fitting(self, texts: Iterable[tuple[float, str]]) -> Iterator[tuple[float, str]]:
        """Yield those texts, by their centres, that cover none before them; none of too many."""
        texts = list(texts)
        if sum(len(text) for _, text in texts) * CHARACTER > CROWDED * self._across:
            return
        taken: list[tuple[float, float]] = []
        for centre, text in texts:
            half = len(text) * CHARACTER / 2 * self._seconds / self._across
            if all(centre + half < a or centre - half > b for a, b in taken):
                taken.append((centre - half, centre + half))
                yield centre, text

    def words(self, words: Sequence[Word], missed: Sequence[Word], others: Sequence[Word]) -> None:
        """Draw what was said: heard or not, and what no keyword is."""
        bottom = self._row(NAMES, "said")
        for kind, colour in ((missed, WARN), (words, INK), (others, MUTED)):
            spans = [(word.start_s, word.end_s) for word in kind]
            self._bars(bottom, spans, colour, filled=kind is not missed)
        ranked = [*missed, *words, *others]
        names = [(_middle(word.start_s, word.end_s), short(word.label)) for word in ranked]
        lost = {_middle(word.start_s, word.end_s) for word in missed}
        for centre, name in self._fitting(names):
            colour = WARN if centre in lost else INK
            self._name(centre, bottom, name, colour, style="italic" if centre in lost else "normal")

    def shots(self, shots: Sequence[Shot], alarms: set[Shot]) -> None:
        """Draw where the detected words lie."""
        bottom = self._row(NAMES, "heard")
        for colour, false in ((ACCENT, False), (WARN, True)):
            spans = [(shot.start_s, shot.end_s) for shot in shots if (shot in alarms) == false]
            self._bars(bottom, spans, colour)
        centres = [(_middle(shot.start_s, shot.end_s), short(shot.keyword)) for shot in shots]
        wrong = {_middle(shot.start_s, shot.end_s) for shot in alarms}
        for centre, name in self._fitting(centres):
            self._name(centre, bottom, name, WARN if centre in wrong else ACCENT, weight="bold")

    def _name(self, x: float, bottom: float, name: str, colour: str, **style: Any) -> None:
        self._place.text(
            x, bottom + 0.07, name, color=colour, size=8, ha="center", clip_on=True, **style
        )

    def _bars(
        self,
        y: float,
        spans: Sequence[tuple[float, float]],
        colour: str,
        tall: float = 0.045,
        *,
        filled: bool = True,
    ) -> None:
        # At least a pixel wide, however long the recording is.
        least = 1.5 * self._seconds / (self._across * DPI)
        bars = [(start, max(end - start, least)) for start, end in spans]
        face, line = (colour, 0) if filled else ("none", 0.8)
        self._place.broken_barh(bars, (y, tall), facecolors=face, edgecolors=colour, linewidth=line)

    def wave(self) -> None:
        """Draw the sound, as high as it is loud, and say how loud that is."""
        wave, rate = self._excerpt.wave, self._excerpt.rate
        step, low, high = wave.columns(round(self._across * DPI))
        peak = float(max(-low.min(initial=0), high.max(initial=0)))
        scale = WAVE / 2 / max(peak, 1e-3)
        seconds = (wave.first + np.arange(len(low)) * step) / rate
        bottom = self._row(WAVE, "sound")
        middle = bottom + WAVE / 2
        self._place.fill_between(
            seconds, middle + low * scale, middle + high * scale, color=MUTED, linewidth=0.5
        )
        level = round(power_db(peak * peak))
        self._aside(middle, f"{level} dBFS".replace("-", "\N{MINUS SIGN}") if peak else "zeros")

    def gate(self) -> None:
        """Draw when the gate was open, lighter what it let through from before."""
        bottom = self._row(STRIP, "gate open")
        self._baseline(bottom)
        spans = self._excerpt.open
        self._bars(bottom, [(began, opened) for began, opened, _ in spans], SOFT, STRIP)
        self._bars(bottom, [(opened, closed) for _, opened, closed in spans], ACCENT, STRIP)

    def listening(self, spans: Sequence[tuple[float, float]]) -> None:
        """Draw when commands counted, because a wake word was heard."""
        bottom = self._row(STRIP, "awake")
        self._baseline(bottom)
        self._bars(bottom, spans, INK, STRIP)

    def _baseline(self, y: float) -> None:
        self._place.hlines(y, self._excerpt.start_s, self._excerpt.end_s, color=LINE, linewidth=0.8)

    def score(self, name: str, alarms: set[Shot], missed: Sequence[Word]) -> None:
        """Draw a keyword's score and threshold, where it fired, and how high it rose if not.

        Where a verifier judges it, the first stage's raw score is dotted.
        """
        excerpt, level = self._excerpt, self._excerpt.thresholds[name]
        bottom = self._row(ROW, short(name))
        x, y = thinned(excerpt.ends_s, excerpt.score(name), round(self._across * DPI))
        line, floor = bottom + ROW * y, np.full(len(x), bottom)
        self._baseline(bottom)
        self._place.fill_between(x, floor, line, color=SOFT, linewidth=0)
        over = np.fmax(line, bottom + ROW * level)
        self._place.fill_between(
            x, bottom + ROW * level, over, where=np.isfinite(line), color=ACCENT, linewidth=0
        )
        self._place.plot(x, line, color=INK, linewidth=0.9)
        if name in excerpt.verified:
            x, y = thinned(excerpt.ends_s, excerpt.first(name), round(self._across * DPI))
            self._place.plot(x, bottom + ROW * y, color=WARN, linewidth=0.6, linestyle=":")
        dashed = bottom + ROW * level
        self._place.hlines(
            dashed,
            excerpt.start_s,
            excerpt.end_s,
            color=MUTED,
            linewidth=0.8,
            linestyle=(0, (4, 3)),
        )
        self._aside(dashed, f"{level:.3f}")
        shots = [shot for shot in excerpt.fired if shot.keyword == name]
        for shot in shots:
            mark, colour = ("X", WARN) if shot in alarms else ("v", INK)
            self._place.plot(
                shot.at_s, bottom + ROW * shot.score + 0.035, mark, color=colour, markersize=4.5
            )
        within = [shot for shot in shots if excerpt.within(shot.at_s, shot.at_s)]
        figures = [(shot.at_s, shot.score) for shot in within]
        figures += [self._peak(name, w.start_s, w.end_s + TOLERANCE_S) for w in missed]
        figures = figures or [self._peak(name, excerpt.start_s, excerpt.end_s)]
        self._figures(bottom, figures)
        for keyword, at in excerpt.stuck:
            if keyword == name:
                self._place.text(at, bottom + ROW, "stuck", size=7, color=MUTED, clip_on=True)

    def _peak(self, name: str, start: float, end: float) -> tuple[float, float]:
        """Return where and how high a score rose in this time; NaN where there was none."""
        ends, score = self._excerpt.ends_s, self._excerpt.score(name)
        inside = (ends >= start) & (ends <= end) & np.isfinite(score)
        if not inside.any():
            return float("nan"), float("nan")
        at = np.flatnonzero(inside)[np.argmax(score[inside])]
        return float(ends[at]), float(score[at])

    def _figures(self, bottom: float, figures: Sequence[tuple[float, float]]) -> None:
        """Write scores left of where they were reached: there the curve is still low."""
        inch = self._seconds / self._across
        beside = {at - 0.27 * inch: score for at, score in figures if np.isfinite(score)}
        # None may lie over the rows' names.
        scores = {max(at, self._excerpt.start_s + 0.2 * inch): y for at, y in beside.items()}
        for x, text in self._fitting((at, f"{score:.3f}") for at, score in scores.items()):
            y = bottom + ROW * min(max(scores[x], 0.25), 0.8)
            self._place.text(
                x, y, text, size=7, ha="center", va="center", clip_on=True,
                bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.6},
            )  # fmt: skip

    def others(self, names: Sequence[str]) -> None:
        """Draw the highest of the scores that stayed low."""
        bottom = self._row(ROW, f"{len(names)} more" if len(names) > 1 else short(names[0]))
        highest = np.max([self._excerpt.score(name) for name in names], axis=0)
        x, y = thinned(self._excerpt.ends_s, highest, round(self._across * DPI))
        self._baseline(bottom)
        self._place.plot(x, bottom + ROW * y, color=MUTED, linewidth=0.7)
        self._aside(bottom + ROW / 2, "low")


def _middle(start: float, end: float) -> float:
    return (start + end) / 2


def _clock(seconds: float, step: float, longest: float) -> str:
    """Return a moment as people write it: 4.5 s, 12:05, 1:02:03."""
    if longest <= 120:
        return f"{seconds:.{1 if step < 1 else 0}f} s"
    minutes, rest = divmod(seconds, 60)
    tail = f"{rest:04.1f}" if step < 1 else f"{rest:02.0f}"
    if longest < 3600:
        return f"{minutes:.0f}:{tail}"
    return f"{minutes // 60:.0f}:{minutes % 60:02.0f}:{tail}"
