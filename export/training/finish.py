"""Finish: a last, milder phase of training, so that the network fits closer what it learnt."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from export.checkpoints import xvector
from export.training.lessons import Lessons
from export.training.train import Trainer


def finish(checkpoint: Path, recipe: dict[str, Any], folder: Path, taught: Lessons) -> Path:
    """Train what is left of the recipe's second phase; return the path of its checkpoint.

    It goes on from the averaged weights of `checkpoint`. Raises DataError: `folder` holds a run
    of another recipe.
    """
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    changed = {name: recipe[name] | recipe["finish"][name] for name in ("strips", "training")}
    folder.mkdir(exist_ok=True)
    begun = replace(taught, start=xvector.averaged(state))
    trainer = Trainer({**recipe, **changed}, folder, begun)
    trainer.resume()
    trainer.run()
    return trainer.checkpoint
