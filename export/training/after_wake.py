"""Thresholds for commands after a wake word: `python -m export.training.after_wake`.

Wakes are simulated from a split's recordings: in equal parts a command follows, another word,
nothing, or speech that goes on, half of each in quiet and half with noise 10 dB under the wake
word. Thresholds are chosen so that a wrong or an invented command follows at most 1 % of all
wakes, while as many commands as possible are heard. What a command scores where it was not said
is extrapolated in log-odds, so that no single event sets a threshold; see `search.thresholds`.
One number is fitted to the count of wrong wakes: how much that search may spend for all commands.

Prints what was found; --out writes a copy of the model with it in the card. Needs KWS_DATA.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

import kws
from export.training import recordings
from export.training.calibrate import float_audio
from export.training.recordings import RATE
from kws import card as cards
from kws.card import Card, Threshold, WrongCommands
from kws.errors import DataError
from kws.evaluate import search
from kws.evaluate.cardfile import write_card
from kws.evaluate.intervals import wilson
from kws.evaluate.peaks import LOWEST
from kws.evaluate.simulation.after_wake import Scene, scene, speech
from kws.flow import Event, Samples, Scores
from kws.steps import Steps, together

KINDS = ("command", "word", "nothing", "speech")
"""What follows a wake word, as often as each other."""
SHARE = 0.01
"""At most so many wakes may be followed by a wrong or an invented command."""
PER_WORD = 12
"""Recordings of each command, in quiet and in noise."""
BEGINS_S, LATE_S = 0.2, 0.3
"""From so long after the wake word a score can be a command's, to so long after the window."""
SPEND, TIGHTER = 8.0, 0.85
"""The search may spend so many times the share at first, for it sums over commands that rise
together, and is cut to this part while more wakes than allowed have wrong commands."""
TOGETHER = 16
"""Scenes that are heard at once."""


@dataclass(frozen=True)
class Chosen:
    """Thresholds, and what they give on the scenes that they were chosen on."""

    thresholds: dict[str, float]
    heard: int
    commands: int
    wrong: WrongCommands


def scenes(
    split: str, commands: Sequence[str], *, window_s: float, per_word: int = PER_WORD, seed: int = 1
) -> Iterator[Scene]:
    """Yield wakes of each kind, in quiet and in noise, in equal parts, from a split's recordings.

    A command of fewer recordings than `per_word` is said as often nevertheless. Raises DataError:
    a command has no recording.
    """
    rng = np.random.default_rng(seed)
    wakes, said, others = _clips(rng, split, commands, per_word)
    utterances = _audio(_draw(rng, recordings.keyword_free(split), 4 * len(said)))
    noise = [clip for clip in recordings.table("noise", split) if clip.label == "noise"]
    noises = _audio(_draw(rng, noise, min(len(noise), 4 * len(commands))))
    for noisy in (False, True):
        for number, (label, clip) in enumerate(said):
            followers: dict[str, Samples | None] = {
                "command": clip,
                "word": others[number],
                "nothing": None,
                "speech": speech(rng, utterances, window_s + 2, RATE),
            }
            for kind in KINDS:
                behind = speech(rng, noises, window_s + 6, RATE) if noisy else None
                yield scene(
                    rng,
                    wakes[int(rng.integers(len(wakes)))],
                    followers[kind],
                    RATE,
                    kind=kind,
                    window_s=window_s,
                    said=label if kind == "command" else "",
                    noise=behind,
                )


def _clips(
    rng: np.random.Generator, split: str, commands: Sequence[str], per_word: int
) -> tuple[list[tuple[str, Samples]], list[tuple[str, Samples]], list[Samples]]:
    """Return all wake words, so many recordings of each command, and as many of other words."""
    table = recordings.table("speech_commands", split)
    labels = [name for name in commands for _ in range(per_word)]
    drawn = [
        clip
        for name in commands
        for clip in _draw(rng, [clip for clip in table if clip.label == name], per_word)
    ]
    others = _draw(rng, [clip for clip in table if clip.label not in commands], len(drawn))
    wakes = recordings.table("wake", split)
    said = list(zip([clip.label for clip in wakes], _audio(wakes), strict=True))
    return said, list(zip(labels, _audio(drawn), strict=True)), _audio(others)


def _draw(
    rng: np.random.Generator, clips: Sequence[recordings.Clip], count: int
) -> list[recordings.Clip]:
    """Return so many clips, each before any of them comes again."""
    if not clips:
        raise DataError("a command, or what is to follow a wake word, has no recording")
    order = np.concatenate([rng.permutation(len(clips)) for _ in range(-(-count // len(clips)))])
    return [clips[at] for at in order[:count]]


def _audio(clips: Sequence[recordings.Clip]) -> list[Samples]:
    return [float_audio(pcm) for pcm in recordings.load_some(clips)]


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
        yield from spotter.steps(wake.audio[at : at + hop], RATE, events)
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
    said = {name: found[own[:, at], at] for at, name in enumerate(commands)}
    others = {name: found[~own[:, at], at] for at, name in enumerate(commands)}
    alarms = {name: each[each >= LOWEST] for name, each in others.items()}
    spend = SPEND * share
    while True:
        levels = search.thresholds(said, alarms, hours=len(wakes), per_hour=spend)
        passed = found >= [levels[name] for name in commands]
        wrong = int((passed & ~own).any(1).sum())
        if wrong <= share * len(wakes) or spend * len(wakes) * TIGHTER < 1:
            low, high = wilson(wrong, len(wakes))
            counted = WrongCommands(
                round(wrong / len(wakes), 5), wrong, len(wakes), round(low, 5), round(high, 5)
            )
            return Chosen(levels, int((passed & own).sum()), int(own.sum()), counted)
        spend *= TIGHTER


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
