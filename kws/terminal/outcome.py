"""Outcome: what one `kws eval` measured, shown and drawn."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from kws.evaluate import measurement, results
from kws.evaluate.drawing.excerpt import Excerpt
from kws.evaluate.hearing import Hearing
from kws.evaluate.report.moments import around
from kws.evaluate.report.sections import worst
from kws.spotter import Spotter
from kws.terminal.figures import chosen_lines, clips_lines, streams_lines
from kws.terminal.lines import print_json


@dataclass
class Outcome:
    """What was measured."""

    clips: results.Clips | None = None
    streams: results.Streams | None = None
    chosen: measurement.Chosen | None = None
    tensorflow: str | None = None

    def show(self, *, as_json: bool) -> None:
        """Print it, for people or machines."""
        if as_json:
            given = {name: each for name, each in vars(self).items() if each is not None}
            print_json(msgspec.to_builtins(given))
            return
        lines: list[str] = []
        if self.clips is not None:
            lines += [*clips_lines(self.clips), ""]
        if self.streams is not None:
            lines += [*streams_lines(self.streams), ""]
        if self.chosen is not None:
            lines += [*chosen_lines(self.chosen), ""]
        if self.tensorflow is not None:
            lines += [f"as TensorFlow's tool counts: {self.tensorflow}", ""]
        print("\n".join(lines[:-1]))

    def draw(self, report: Path | None, plot: Path | None, hearing: Hearing | None) -> None:
        """Write the page and the plot that were asked for. hearing: None leaves sounds out."""
        from kws.evaluate.drawing import plots
        from kws.evaluate.report import write as page

        if plot is not None and self.streams is not None:
            plots.det(self.streams, plot)
        elif plot is not None and self.clips is not None:
            plots.confusion(self.clips, plot)
        if report is not None:
            page.write(
                report,
                self.streams,
                self.clips,
                audio=hearing is not None,
                command=shlex.join(["kws", *sys.argv[1:]]),
                scenes=self._scenes(hearing) if hearing is not None else None,
            )

    def _scenes(self, hearing: Hearing) -> Mapping[results.Wrong, Excerpt]:
        """Return what was heard around the worst errors."""
        if self.streams is None:
            return {}
        spotter = Spotter(
            hearing.models, gate=hearing.gate, channel=hearing.channel,
            threshold=hearing.settings.levels, keywords=list(hearing.settings.levels),
            verify=hearing.verifier or "none",
        )  # fmt: skip
        wrong = worst(self.streams)
        return around(spotter, wrong, channel=hearing.channel, rules=hearing.settings.rules)
