"""Learn: transformers' Trainer, set up to go on where it was killed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from export import pretrained
from export.training.finetuning.folder import Folder, full_disk
from export.training.finetuning.network import Network
from export.training.finetuning.options import Options
from export.training.finetuning.progress import Watch, keep, learned_enough
from export.training.finetuning.windows import Features, Windows
from kws.errors import ConfigError

HEAD_RATE = 1e-3
"""Of a head that has learned nothing yet."""
WARM_UP = 0.1
"""Of all steps; the rate then falls to 0."""
WORKERS = 4
"""Processes that read and prepare for a GPU; a CPU has no core to spare."""


class Learner:
    """A network, what it learns from, and the Trainer between them."""

    def __init__(
        self,
        network: Network,
        training: Windows,
        validation: Windows,
        folder: Folder,
        *,
        options: Options,
        say: Callable[[str], None],
    ) -> None:
        self._network, self._folder, self._options = network, folder, options
        self._watch = Watch(training, len(validation), folder.best, options.patience, say)
        self._say, self._heard = say, len(validation)
        self.trainer = _trainer(network, training, validation, options, folder.run)
        self.trainer.add_callback(_listener(self._watch))

    def learn(self) -> int:
        """Train, or go on with it; the network then holds the best weights. Returns epochs done.

        Raises DataError: the disk is full. ConfigError: memory is.
        """
        state = self._folder.state()
        try:
            with pretrained.quiet(), full_disk(self._folder.out):
                if state is None:
                    self.trainer.train()
                else:
                    self._go_on(state)
        except torch.OutOfMemoryError:
            raise ConfigError(
                f"the GPU's memory is too small for {self._options.batch} windows at once; give a "
                "smaller batch or a shorter --window-s"
            ) from None
        epochs = sum("eval_accuracy" in entry for entry in self.trainer.state.log_history)
        self._take_best()
        return epochs

    def hear(self, windows: Windows) -> NDArray[np.int64]:
        """Return which label each window is taken for, as a number."""
        with pretrained.quiet():
            found = self.trainer.predict(windows).predictions
        return np.asarray(found, np.int64)

    def _go_on(self, state: Path) -> None:
        from transformers import TrainerState

        step = int(state.name.split("-")[1])
        if learned_enough(state, self._options.patience, self._heard):
            self.trainer.state = TrainerState.load_from_json(str(state / "trainer_state.json"))
            return
        self._say(f"going on from step {step}")
        self.trainer.train(resume_from_checkpoint=str(state))

    def _take_best(self) -> None:
        from safetensors.torch import load_file

        weights = self._folder.best / "model.safetensors"
        if not weights.is_file():
            keep(self._network.model, self._folder.best)
        self._network.model.load_state_dict(load_file(weights))


def _trainer(
    network: Network, training: Windows, validation: Windows, options: Options, run: Path
) -> Any:
    from transformers import PrinterCallback, Trainer

    trainer = Trainer(
        model=network.model,
        args=_arguments(run, options, len(training)),
        data_collator=Features(network.extractor),
        train_dataset=training,
        eval_dataset=validation,
        optimizers=(_optimizer(network, options.rate), None),
        compute_metrics=_accuracy,
        preprocess_logits_for_metrics=_decided,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _arguments(run: Path, options: Options, recordings: int) -> Any:
    from transformers import TrainingArguments

    gpu = torch.cuda.is_available()
    epochs = options.epochs_for(recordings)
    return TrainingArguments(
        output_dir=str(run),
        num_train_epochs=epochs,
        per_device_train_batch_size=options.batch,
        per_device_eval_batch_size=options.batch,
        warmup_steps=round(WARM_UP * epochs * options.steps(recordings)),
        eval_strategy="epoch",
        save_strategy="no",  # the watch says when
        save_total_limit=1,
        logging_strategy="no",
        bf16=gpu and torch.cuda.is_bf16_supported(),
        dataloader_num_workers=WORKERS if gpu else 0,
        dataloader_pin_memory=gpu,
        remove_unused_columns=False,
        label_names=["labels"],
        disable_tqdm=True,
        report_to="none",
        seed=options.seed,
    )


def _optimizer(network: Network, rate: float) -> torch.optim.Optimizer:
    """Return AdamW; a fresh head learns faster than its encoder."""
    head: list[torch.Tensor] = []
    rest: list[torch.Tensor] = []
    for name, weight in network.model.named_parameters():
        if weight.requires_grad:
            fast = network.fresh and name.startswith("classifier.")
            (head if fast else rest).append(weight)
    groups = [{"params": rest, "lr": rate}, {"params": head, "lr": max(rate, HEAD_RATE)}]
    return torch.optim.AdamW([group for group in groups if group["params"]], weight_decay=0.01)


def _accuracy(found: Any) -> dict[str, float]:
    return {"accuracy": float(np.mean(found.predictions == found.label_ids))}


def _decided(logits: Any, targets: torch.Tensor) -> torch.Tensor:
    first = logits[0] if isinstance(logits, tuple) else logits
    decided: torch.Tensor = first.argmax(-1)
    return decided


def _listener(watch: Watch) -> Any:
    from transformers import TrainerCallback

    class Listener(TrainerCallback):
        """Brings the Trainer's events to the watch."""

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            watch.begin(state)

        def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            watch.epoch(state)

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            watch.step(args, state, control)

        def on_evaluate(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            watch.evaluated(state, control, more["model"])

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            watch.saved()

    return Listener()
