"""Own words: a person's wake words and commands, from the bundled model on.

Recordings of a word, or its text alone, and background without it, become DIR/checkpoint.pt,
which `kws export` reads, and DIR/report.json. Seeded; run again after a kill it goes on.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import tomli
import torch

import kws
from export.training import state
from export.training.lessons import Lessons
from export.training.own import gather, start, teach
from export.training.own.ending import Ending
from export.training.own.gather import Given, Options
from export.training.own.outcome import Result
from export.training.own.teach import Made
from export.training.train import Trainer
from export.training.vocabulary import Vocabulary
from kws.errors import DataError

RECIPE = Path(__file__).with_name("own.toml")
Say = Callable[[str], None]

__all__ = ["Options", "Result", "train"]


def train(data: Path | None, out: Path, options: Options, say: Say) -> Result:
    """Learn own words from `data`, a folder of <word>/*.wav; write checkpoint and report to `out`.

    say: hears what is going on, a line at a time. Raises DataError, ConfigError: it can't be
    learnt from what was given; ModelError: there is nothing to start from.
    """
    begun = time.monotonic()
    torch.set_num_threads(options.threads or os.cpu_count() or 1)
    model = kws.load(options.start)
    given = gather.gather(data, options, say)
    for line in given.warnings:
        say(f"warning: {line}")
    recipe = _recipe(options, given, model)
    kept = _folder(out)
    state.check(kept / "checkpoint.pt", recipe, out)
    made = teach.synthesise(given, recipe["synthesis"], options.seed, kept, say)
    network, lengths = _learn(given, made, model, recipe=recipe, kept=kept, say=say)
    ending = Ending(given, made, options, out, lengths, began=model.card)
    tuned = ending.calibrate(network)
    say("measuring what was kept aside")
    found = ending.measure(tuned, seconds=round(time.monotonic() - begun, 1))
    _write_report(found, out / "report.json")
    return found


def _recipe(options: Options, given: Given, model: kws.Model) -> dict[str, Any]:
    """Return the recipe, with what makes this run another than others."""
    recipe = tomli.loads(RECIPE.read_text(encoding="utf-8"))
    if options.epochs is not None:
        recipe["training"]["epochs"] = options.epochs
    source = model.card.source
    return {
        "seed": options.seed,
        **recipe,
        "given": given.fingerprint(),
        "labels": given.labels,
        "texts": given.texts,
        "start": source.sha256 if source else model.path.name,
    }


def _folder(out: Path) -> Path:
    kept = out / "state"
    try:
        kept.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{out}: can't be made ({error.strerror}); choose another -o") from None
    return kept


def _learn(
    given: Given, made: Made, model: kws.Model, *, recipe: dict[str, Any], kept: Path, say: Say
) -> tuple[dict[str, Any], dict[str, float]]:
    """Train what is left to train; return the state with the network, and the words' lengths."""
    vocabulary = Vocabulary(tuple(given.labels))
    begun = start.read(model)
    network = start.with_labels(begun, model.labels, vocabulary.labels, recipe["seed"])
    corpus = teach.corpus(given, made, vocabulary, recipe["seed"])
    lengths = teach.lengths(corpus, vocabulary)
    heard = network.config.window / kws.load(model.path).card.sample_rate
    for name, length in lengths.items():
        if length > heard - 0.2:
            say(f"warning: {name} lasts {length:.1f} s, the network hears {heard:.1f} s at a time")
    total = recipe["training"]["epochs"]

    def told(line: str) -> None:
        facts = json.loads(line)
        left = facts["seconds"] * (total - facts["epoch"])
        say(
            f"epoch {facts['epoch']} of {total}: {facts['hops_right']:.1%} right, "
            f"about {left:.0f} s left"
        )

    trainer = Trainer(recipe, kept, Lessons(vocabulary, corpus, given.rooms, network), told)
    trainer.resume()
    trainer.run()
    found: dict[str, Any] = torch.load(trainer.checkpoint, map_location="cpu", weights_only=True)
    return {name: found[name] for name in ("config", "labels", "average")}, lengths


def _write_report(found: Result, path: Path) -> None:
    text = msgspec.json.format(msgspec.json.encode(found), indent=1)
    try:
        path.write_bytes(text + b"\n")
    except OSError as error:
        raise DataError(f"{path}: can't be written ({error.strerror}); make room") from None
