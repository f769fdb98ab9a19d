"""Commands after a wake word: `python -m benchmarks.after_wake` -> benchmarks/after_wake.json.

Simulates wakes from the validation recordings, in quiet and with noise 10 dB under the wake word
(see `export.training.wake_scenes`), and hears them as `kws listen --wake` would. Of the commands
that follow a wake word which was heard: how many were heard, with nothing wrong beside them; after
how many came another word; how many were missed. Of what else follows a wake word: after how many
came a command that nobody said. --option gives what `Spotter` takes, as in --option verify=bundled;
--threshold NAME=T,... other thresholds than the card's. Needs KWS_DATA.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

import kws
from export.training.after_wake import TOGETHER
from export.training.recordings import RATE
from export.training.vocabulary import COMMANDS, WAKE_WORDS
from export.training.wake_scenes import KINDS, PER_WORD, scenes
from kws.evaluate import results
from kws.evaluate.simulation.after_wake import Scene
from kws.flow import Detection, Event
from kws.steps import together
from kws.terminal.options import parse_levels

RESULT = Path(__file__).with_suffix(".json")
LATE_S = 0.75
"""Longest delay, in seconds after a wake word's end, at which its event still counts."""


def hear(
    models: Any, wakes: Sequence[Scene], *, wake: Sequence[str] = WAKE_WORDS, **options: Any
) -> list[list[Detection]]:
    """Return what is detected in each scene. models, wake, options: as `Spotter` takes them."""
    found: list[list[Detection]] = []
    spotters = [kws.Spotter(models, wake=wake, **options) for _ in wakes[:TOGETHER]]
    for at in range(0, len(wakes), TOGETHER):
        heard: list[list[Event]] = []
        works = []
        for spotter, each in zip(spotters, wakes[at:], strict=False):
            spotter.reset()
            heard.append([])
            works.append(spotter.push_steps(each.audio, RATE, heard[-1]))
        failures = [failure for failure in together(works) if failure is not None]
        if failures:
            raise failures[0]
        found += [[e for e in events if isinstance(e, Detection)] for events in heard]
    return found


def outcome(wake: Scene, detections: Sequence[Detection]) -> str:
    """Return what became of a scene: `asleep`, `wrong`, `heard`, `missed`, or `quiet`.

    asleep: the wake word was not heard. wrong: a command that nobody said, whatever else was heard.
    quiet: nothing was said, and nothing heard.
    """
    words = [each.keyword for each in detections if each.role != "wake"]
    awake = [each.time_s for each in detections if each.role == "wake"]
    if not any(at <= wake.wake_end_s + LATE_S for at in awake):
        return "asleep"
    if words not in ([], [wake.said]):
        return "wrong"
    if wake.said:
        return "heard" if words else "missed"
    return "quiet"


def figures(wakes: Sequence[Scene], outcomes: Sequence[str]) -> dict[str, Any]:
    """Return the figures of one condition, shares with their intervals."""
    kinds = {
        kind: Counter(o for w, o in zip(wakes, outcomes, strict=True) if w.kind == kind)
        for kind in KINDS
    }
    awake = {kind: counts.total() - counts["asleep"] for kind, counts in kinds.items()}
    commands = kinds["command"]
    missed = Counter(w.said for w, o in zip(wakes, outcomes, strict=True) if o == "missed")
    found = {
        "wakes": len(wakes),
        "asleep": results.share(sum(c["asleep"] for c in kinds.values()), len(wakes)),
        "heard": results.share(commands["heard"], awake["command"]),
        "wrong": results.share(commands["wrong"], awake["command"]),
        "missed": results.share(commands["missed"], awake["command"]),
        "missed_by_word": dict(missed.most_common()),
        "invented": {kind: results.share(kinds[kind]["wrong"], awake[kind]) for kind in KINDS[1:]},
        "wrong_or_invented": results.share(
            sum(c["wrong"] for c in kinds.values()), sum(awake.values())
        ),
    }
    built: dict[str, Any] = msgspec.to_builtins(found)
    return built


def main() -> int:
    """Simulate, hear, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="another model file than the bundled one")
    parser.add_argument("--split", default="validation", choices=["calibration", "validation"])
    parser.add_argument("--per-word", type=int, default=PER_WORD, help="recordings of a command")
    parser.add_argument("--threshold", type=parse_levels, help="other thresholds than the card's")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--out", type=Path, default=RESULT)
    args = parser.parse_args()
    options = dict(each.split("=", 1) for each in args.option)
    model = kws.load(args.model)
    spotter = kws.Spotter(model, wake=WAKE_WORDS, threshold=args.threshold, **options)
    window_s = model.card.decision.wake_window_s
    wakes = list(scenes(args.split, COMMANDS, window_s=window_s, per_word=args.per_word))
    heard = hear(model, wakes, threshold=args.threshold, **options)
    told = [outcome(*each) for each in zip(wakes, heard, strict=True)]
    result: dict[str, Any] = {
        "command": " ".join(["python -m benchmarks.after_wake", *sys.argv[1:]]),
        "model": model.card.source and model.card.source.sha256,
        "thresholds": spotter.thresholds,
    }
    for name, noisy in {"quiet": False, "noise 10 dB below": True}.items():
        chosen = [pair for pair in zip(wakes, told, strict=True) if pair[0].noisy == noisy]
        result[name] = figures([w for w, _ in chosen], [o for _, o in chosen])
        print(name, {key: result[name][key] for key in ("heard", "wrong", "missed")})
    args.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
