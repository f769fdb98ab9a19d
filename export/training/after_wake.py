"""Thresholds for commands after a wake word: `python -m export.training.after_wake`.

Wakes are simulated from a split's recordings: in equal parts a command follows, another word,
nothing, or speech that goes on, half of each in quiet and half with noise 10 dB under the wake
word. Thresholds are chosen so that a wrong or an invented command follows at most 1 % of all
wakes, while as many commands as possible are heard. What a command scores where it was not said
is extrapolated in log-odds, so that no single event sets a threshold; see `search.thresholds`.
One number is fitted to the count of wrong wakes, by cross-validation: what that search may spend.

Prints what was found; --out writes a copy of the model with it in the card. Needs KWS_DATA.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

import kws
from export.training.recordings import RATE
from export.training.wake_scenes import PER_WORD, scenes
from kws import card as cards
from kws.card import Card, Threshold, WrongCommands
from kws.errors import DataError
from kws.evaluate import search
from kws.evaluate.cardfile import write_card
from kws.evaluate.intervals import wilson
from kws.evaluate.peaks import LOWEST
from kws.evaluate.simulation.after_wake import Scene
from kws.flow import Event, Scores
from kws.steps import Steps, together

SHARE = 0.01
"""The largest share of wakes that a wrong or an invented command may follow."""
BEGINS_S, LATE_S = 0.2, 0.3
"""From so long after the wake word a score can be a command's, to so long after the window."""
LEAST = 0.5
"""The lowest threshold: that a command scores low in a few hundred scenes, where it was not said,
doesn't show that it never rises among other noises."""
FOLDS = 5
"""Wrong commands are counted on each of so many parts, at thresholds found on the others."""
SPEND, TIGHTER = 8.0, 0.93
"""The search may spend so many times the share at first, for it sums over commands that rise
together, and is cut to this part while more wakes than allowed have wrong commands."""
TOGETHER = 16
"""Scenes that are heard at once."""


@dataclass(frozen=True)
class Chosen:
    """Thresholds; how many commands they heard, of those that they were chosen on.

    wrong: counted on scenes that took no part in the choice of the thresholds.
    """

    thresholds: dict[str, float]
    heard: int
    commands: int
    wrong: WrongCommands


def peaks(
    models: Any, wakes: Sequence[Scene], commands: Sequence[str], **options: Any
) -> NDArray[np.float64]:
    """Return how high each command's score rises after each wake, [wakes, commands].

    The scores are those that the decision compares, with the gate open. models, options: as
    `Spotter` takes them.
    """
    found = np.zeros((len(wakes), len(commands)))
    options = {"gate": "none", **options, "keywords": list(commands), "wake": None}
    spotters = [kws.Spotter(models, **options) for _ in wakes[:TOGETHER]]
    window_s = max(model.card.decision.wake_window_s for model in spotters[0].models)
    for at in range(0, len(wakes), TOGETHER):
        works = []
        for row, (spotter, each) in enumerate(zip(spotters, wakes[at:], strict=False), at):
            spotter.reset()
            works.append(_rise(spotter, each, window_s, commands, found[row]))
        failures = [failure for failure in together(works) if failure is not None]
        if failures:
            raise failures[0]
    return found


def _rise(
    spotter: kws.Spotter,
    wake: Scene,
    window_s: float,
    commands: Sequence[str],
    highest: NDArray[np.float64],
) -> Steps:
    """Hear a scene hop by hop; note the highest scores within the wake window."""
    hop = max(model.card.hop for model in spotter.models)
    first, last = wake.wake_end_s + BEGINS_S, wake.wake_end_s + window_s + LATE_S
    for at in range(0, len(wake.audio), hop):
        events: list[Event] = []
        yield from spotter.push_steps(wake.audio[at : at + hop], RATE, events)
        ends = [event.end / RATE for event in events if isinstance(event, Scores)]
        if ends and first <= ends[-1] <= last:
            scores = spotter.scores
            np.maximum(highest, [scores[name] for name in commands], out=highest)


def choose(
    wakes: Sequence[Scene],
    found: NDArray[np.float64],
    commands: Sequence[str],
    *,
    share: float = SHARE,
) -> Chosen:
    """Return thresholds by which at most such a share of wakes has a wrong or invented command.

    found: as `peaks` returns it. Raises DataError: a command was never said; too few wakes.
    """
    if share * len(wakes) < 1:
        raise DataError(f"{len(wakes)} wakes can't support a share of {share:g}; simulate more")
    own = np.array([[each.said == name for name in commands] for each in wakes])
    part = np.arange(len(wakes)) % FOLDS
    spend = SPEND * share
    while True:
        wrong = 0
        for fold in range(FOLDS):
            levels = _search(found[part != fold], own[part != fold], commands, spend)
            passed = found[part == fold] >= [levels[name] for name in commands]
            wrong += int((passed & ~own[part == fold]).any(1).sum())
        if wrong <= share * len(wakes) or spend * len(wakes) * TIGHTER < 2:
            break
        spend *= TIGHTER
    levels = _search(found, own, commands, spend)
    heard = int(((found >= [levels[name] for name in commands]) & own).sum())
    low, high = (round(bound, 5) for bound in wilson(wrong, len(wakes)))
    counted = WrongCommands(round(wrong / len(wakes), 5), wrong, len(wakes), low, high)
    return Chosen(levels, heard, int(own.sum()), counted)


def _search(
    found: NDArray[np.float64], own: NDArray[np.bool_], commands: Sequence[str], spend: float
) -> dict[str, float]:
    """Return thresholds that spend so much for all commands, as if none rose with another."""
    said = {name: found[own[:, at], at] for at, name in enumerate(commands)}
    others = {name: found[~own[:, at], at] for at, name in enumerate(commands)}
    alarms = {name: each[each >= LOWEST] for name, each in others.items()}
    levels = search.thresholds(said, alarms, hours=len(found), per_hour=spend)
    return {name: max(level, LEAST) for name, level in levels.items()}


def calibrate(
    models: Any, *, split: str = "calibration", per_word: int = PER_WORD, **options: Any
) -> Chosen:
    """Choose thresholds on a split. models, options: as `Spotter` takes them."""
    loaded = kws.Spotter(models, **options).models
    commands = [label.name for one in loaded for label in one.card.keywords if label.role != "wake"]
    window_s = max(one.card.decision.wake_window_s for one in loaded)
    wakes = list(scenes(split, commands, window_s=window_s, per_word=per_word))
    return choose(wakes, peaks(loaded, wakes, commands, **options), commands)


def with_after_wake(card: Card, chosen: Chosen) -> Card:
    """Return the card with these thresholds, for those of its own keywords."""
    names = {label.name for label in card.keywords}
    changed = {
        name: Threshold(level, after_wake=chosen.wrong)
        for name, level in chosen.thresholds.items()
        if name in names
    }
    return cards.replace(card, after_wake=changed)


def main() -> int:
    """Choose thresholds, print them, write them where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="another model file than the bundled one")
    parser.add_argument("--split", default="calibration", choices=["train", "calibration"])
    parser.add_argument("--per-word", type=int, default=PER_WORD, help="recordings of a command")
    parser.add_argument("--out", type=Path, help="a copy of the model with them in its card")
    args = parser.parse_args()
    model = kws.load(args.model)
    chosen = calibrate(model, split=args.split, per_word=args.per_word)
    print(json.dumps(msgspec.to_builtins(chosen), indent=1))
    if args.out is not None:
        shutil.copyfile(model.path, args.out)
        write_card(args.out, with_after_wake(model.card, chosen))
    return 0


if __name__ == "__main__":
    sys.exit(main())
