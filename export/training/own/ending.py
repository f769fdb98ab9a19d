"""Ending: thresholds for a network that learnt own words, its checkpoint, and its figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import torch

import kws
from export.checkpoint import Checkpoint
from export.checkpoints import xvector
from export.describe import Use, describe
from export.families import Asked, Known
from export.training import state
from export.training.own import heldout, material, outcome
from export.training.own.gather import Given, Options
from export.training.own.outcome import Background, Result, WordOutcome
from export.training.own.teach import Made
from export.training.recordings import Pcm
from export.write import write
from kws.card import Card, Label, Threshold


class Ending:
    """Finds thresholds, writes the checkpoint, measures.

    began: the card of the model that it went on from; decision and gate stay as they are there.
    """

    def __init__(
        self,
        given: Given,
        made: Made,
        options: Options,
        out: Path,
        lengths: Mapping[str, float],
        *,
        began: Card,
    ) -> None:
        self.began = began
        self.given, self.made, self.options, self.out = given, made, options, out
        self.lengths = lengths
        self.speech = given.speech or made.background(options.seed)
        self.wake = {material.plain(name) for name in options.wake}

    def calibrate(self, network: dict[str, Any]) -> kws.Model:
        """Find thresholds through the live chain; write the checkpoint; return its model."""
        model = self._written(network, {})
        found = heldout.thresholds(model, self._background(1), self.options.false_alarms)
        return self._written(network, found)

    def _written(self, network: dict[str, Any], thresholds: Mapping[str, Threshold]) -> kws.Model:
        known = Known(
            labels=[self._label(name) for name in network["labels"]],
            thresholds=dict(thresholds),
            decision=self.began.decision,
            gate=self.began.gate,
            gate_model=self.began.gate_model,
        )
        told = {**network, "known": msgspec.json.encode(known).decode()}
        path = self.out / "checkpoint.pt"
        # A checkpoint without thresholds is of no use to anybody: it stays out of sight.
        path = path if thresholds else self.out / "state" / "draft.pt"
        state.save(told, path)
        checkpoint = Checkpoint(path, "own words")
        original = xvector.read(checkpoint, Asked())
        card: Card = describe(checkpoint, original, Use(), "torch")
        graph = xvector.stream_graph(xvector.read_network(told))
        target = self.out / "state" / "draft.onnx"
        write(graph, card, target, overwrite=True)
        return kws.load(target)

    def _label(self, name: str) -> Label:
        if name not in self.lengths:
            return Label(name)
        role = "wake" if material.plain(name) in self.wake else "keyword"
        phrase = self.given.texts.get(name, material.plain(name).replace("_", " "))
        return Label(name, role, phrase, self.lengths[name])  # type: ignore[arg-type]

    def _background(self, part: int) -> list[Pcm]:
        return [piece.audio for piece in [*self.speech[part], *self.given.noise[part]]]

    def measure(self, model: kws.Model, *, seconds: float) -> Result:
        """Return the figures, on what was kept aside."""
        words = self._words(model)
        alarms, events = heldout.false_alarms(model, self._background(2))
        warnings = list(self.given.warnings)
        hours = [
            round(material.hours([*self.speech[part], *self.given.noise[part]]), 3)
            for part in range(3)
        ]
        return outcome.judged(
            Result(
                checkpoint=str(self.out / "checkpoint.pt"),
                words={
                    name: msgspec.structs.replace(word, false_alarms=events.get(name, 0))
                    for name, word in words.items()
                },
                background=Background(
                    learnt=hours[0],
                    calibration=hours[1],
                    aside=hours[2],
                    synthesised_speech=self.given.speech is None,
                    computed_noise=any("--noise" in line for line in warnings),
                ),
                false_alarms=alarms,
                wanted=self.options.false_alarms,
                seconds=seconds,
                device="cuda" if torch.cuda.is_available() else "cpu",
                warnings=warnings,
            )
        )

    def _words(self, model: kws.Model) -> dict[str, WordOutcome]:
        made = self.made
        apart, learnt = (
            {name: [recording.audio for recording in each] for name, each in found.items()}
            for found in (self.given.apart, self.given.learnt)
        )
        machines = {n: each for n, each in made.apart.items() if each and not apart.get(n)}
        missed = heldout.misses(model, {**apart, **machines})
        flattering = heldout.misses(model, learnt)
        return {
            label.name: WordOutcome(
                role=label.role,
                recordings=len(learnt.get(label.name, [])),
                synthesised=len(made.words.get(label.name, [])),
                threshold=model.card.thresholds[label.name].value,
                misses=missed.get(label.name),
                by_machines=label.name in machines,
                learnt_misses=flattering.get(label.name),
            )
            for label in model.card.keywords
        }
