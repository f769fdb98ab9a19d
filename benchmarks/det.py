"""Misses against false alarms: `python -m benchmarks.det` draws det.svg from accuracy.json.

All thresholds moved together, from where they fire too readily to where they miss too much; what
the model ships with is marked. Nothing is drawn where nothing fired falsely.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from kws.evaluate.drawing.canvas import axes, canvas

HERE = Path(__file__).parent
DRAWN = {
    "clean, commands": ("ten commands, in quiet", "#1f6f8b", "-"),
    "clean, commands, first stage alone": ("... first stage alone", "#1f6f8b", ":"),
    "standard, commands": ("ten commands, rooms, 10 dB", "#c2571a", "-"),
    "standard, commands, first stage alone": ("... first stage alone", "#c2571a", ":"),
    "clean, wake words": ("wake words, in quiet", "#5a7d2a", "-"),
    "standard, wake words": ("wake words, rooms, 10 dB", "#8a4fa0", "-"),
}
WIDTH, HEIGHT = 5.2, 3.9


def main() -> None:
    """Draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=HERE / "accuracy.json")
    parser.add_argument("--out", type=Path, default=HERE / "det.svg")
    args = parser.parse_args()
    found = json.loads(args.results.read_text(encoding="utf-8"))
    with canvas(args.out, WIDTH, HEIGHT) as figure:
        place = axes(figure, 0.62, 0.2, 0.5, 0.2)
        for name, (told, colour, line) in DRAWN.items():
            streams = found[name]["streams"]
            steps = [step for step in streams["curve"] if step["false_alarms"]["events"]]
            rates = [step["false_alarms"]["per_hour"] for step in steps]
            missed = [100 * step["misses"]["value"] for step in steps]
            place.plot(rates, missed, line, color=colour, label=told)
            shipped = streams["shipped"]
            if shipped["false_alarms"]["events"]:
                at = shipped["false_alarms"]["per_hour"], 100 * shipped["misses"]["value"]
                place.plot(*at, "D", color=colour, markersize=6)
        place.set_xscale("log")
        place.set_xticks([0.25, 0.5, 1, 2, 5, 10, 20, 50])
        place.set_xticklabels(["0.25", "0.5", "1", "2", "5", "10", "20", "50"])
        place.minorticks_off()
        place.set_ylim(0, 100)
        place.set_xlabel("false alarms an hour, all keywords together")
        place.set_ylabel("missed, %")
        place.legend(frameon=False, loc="upper right", fontsize="small")


if __name__ == "__main__":
    main()
