"""Progress: what a run tells while it lasts, when it saves, and when it has learned enough."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from export.training.finetuning.folder import full_disk
from export.training.finetuning.windows import Windows

TOLD_EVERY_S, SAVED_EVERY_S = 30.0, 300.0
WARM, MEASURED = 1, 4
"""Steps that are not measured, being slower; the step after which a time is told."""
EVALUATED = 0.35
"""What hearing a recording costs, of what learning from it costs."""
CHOSEN_BY = "eval_accuracy"


class Watch:
    """Hears what the Trainer does, and tells it what to do."""

    def __init__(
        self,
        training: Windows,
        evaluations: int,
        best: Path,
        patience: int,
        say: Callable[[str], None],
    ) -> None:
        self._training, self._evaluations = training, evaluations
        self._best, self._patience, self._say = best, patience, say
        self._begun = self._told = self._saved = time.monotonic()
        self._first, self._step_s = 0, 0.0

    def begin(self, state: Any) -> None:
        """The run begins, or goes on."""
        self._first = state.global_step
        self._told = self._saved = self._begun = time.monotonic()

    def epoch(self, state: Any) -> None:
        """An epoch begins, or goes on in its midst."""
        steps = max(1, state.max_steps // max(1, int(state.num_train_epochs)))
        self._training.epoch = state.global_step // steps

    def step(self, args: Any, state: Any, control: Any) -> None:
        """A step was done."""
        now, done = time.monotonic(), state.global_step - self._first
        if done == WARM:
            self._begun = now
        if done > WARM:
            self._step_s = (now - self._begun) / (done - WARM)
        if done == MEASURED:
            self._estimate(args, state)
            self._told = now
        elif now - self._told > TOLD_EVERY_S and done > WARM:
            self._told = now
            left = (state.max_steps - state.global_step) * self._step_s
            self._say(f"step {state.global_step} of {state.max_steps}, at most {span(left)} to go")
        if now - self._saved > SAVED_EVERY_S:
            control.should_save = True

    def saved(self) -> None:
        """A state was saved."""
        self._saved = time.monotonic()

    def evaluated(self, state: Any, control: Any, model: Any) -> None:
        """An epoch has ended and was measured: keep the best, stop when nothing gets better."""
        scores = history(state.log_history)
        newest = scores[-1]
        best = best_of(scores, self._evaluations)
        lead = best == len(scores) - 1
        accuracy, loss = newest
        self._say(
            f"epoch {len(scores)} of {int(state.num_train_epochs)}: validation accuracy "
            f"{accuracy:.1%}, loss {loss:.3f}{', the best so far' if lead else ''}"
        )
        if lead:
            keep(model, self._best)
        control.should_save = True
        control.should_training_stop = len(scores) - 1 - best >= self._patience

    def _estimate(self, args: Any, state: Any) -> None:
        """Tell how long this takes on this machine."""
        epochs = int(state.num_train_epochs)
        learned = state.max_steps / epochs * self._step_s
        heard = EVALUATED * self._step_s * self._evaluations / args.train_batch_size
        left = (learned + heard) * (1 - state.global_step / state.max_steps) * epochs
        device = (
            "the GPU" if torch.cuda.is_available() else f"{torch.get_num_threads()} CPU threads"
        )
        self._say(
            f"on {device} an epoch takes about {span(learned + heard)}; {epochs} epochs at most, "
            f"{span(left)} to go"
        )


def history(log: Sequence[dict[str, Any]]) -> list[tuple[float, float]]:
    """Return accuracy and loss on the validation split, epoch by epoch."""
    return [(entry[CHOSEN_BY], entry["eval_loss"]) for entry in log if CHOSEN_BY in entry]


def best_of(scores: Sequence[tuple[float, float]], count: int) -> int:
    """Return the number of the best epoch, of accuracies on `count` recordings and losses.

    The loss decides between accuracies that differ by less than a standard error.
    """
    best = 0
    for number, (accuracy, loss) in enumerate(scores):
        ahead, lead = accuracy - scores[best][0], scores[best]
        error = math.sqrt(max(lead[0] * (1 - lead[0]), 1 / count) / count)
        if ahead > error or (ahead >= -error and loss < lead[1]):
            best = number
    return best


def learned_enough(state: Path, patience: int, count: int) -> bool:
    """Tell whether a saved state is of a run that had stopped."""
    found = json.loads((state / "trainer_state.json").read_text(encoding="utf-8"))
    scores = history(found["log_history"])
    done = bool(scores) and len(scores) - 1 - best_of(scores, count) >= patience
    return done or found["global_step"] >= found["max_steps"]


def keep(model: Any, folder: Path) -> None:
    """Save weights in the place of earlier ones; a kill leaves these or those."""
    partial = folder.with_name(folder.name + ".partial")
    with full_disk(folder.parent.parent):
        shutil.rmtree(partial, ignore_errors=True)
        model.save_pretrained(partial)
        (partial / "model.safetensors").stat()  # one file, as it will be read
        folder.mkdir(exist_ok=True)
        (partial / "model.safetensors").replace(folder / "model.safetensors")
        shutil.rmtree(partial, ignore_errors=True)


def span(seconds: float) -> str:
    """Return a time as people say it."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"
