"""`python -m export.training`: recordings in, the bundled model file out.

Seeded and resumable: run it again after a kill and it goes on. The run's state, log and
decoded recordings lie in --work.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import tomli
import torch

from export.training import lessons, ship
from export.training.finish import finish
from export.training.leaving import FOLDS, NOTHING, Leaving
from export.training.train import Trainer
from kws.errors import KwsError

HERE = Path(__file__).parent
BUNDLED = HERE.parent.parent / "kws" / "models" / "bundled.onnx"


def main(arguments: Sequence[str] | None = None) -> int:
    """Train what is left to train, then write the model file with its card."""
    parser = argparse.ArgumentParser(prog="python -m export.training", description=__doc__)
    parser.add_argument("--recipe", type=Path, default=HERE / "bundled.toml")
    parser.add_argument("--work", type=Path, default=Path(".training"), help="state and log")
    parser.add_argument("--out", type=Path, help="the model file; else the bundled one")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--without", metavar="A,B", default="", help="words to leave out")
    parser.add_argument("--fold", type=int, metavar="K", help=f"of {FOLDS}: speakers to leave out")
    parser.add_argument("--epochs", type=int, help="of the first phase, other than the recipe's")
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    try:
        recipe = tomli.loads(args.recipe.read_text(encoding="utf-8"))
        leaving = Leaving(tuple(sorted(filter(None, args.without.split(",")))), args.fold)
        recipe |= leaving.as_recipe()
        recipe["training"]["epochs"] = args.epochs or recipe["training"]["epochs"]
        args.work.mkdir(parents=True, exist_ok=True)
        taught = lessons.bundled(args.work, recipe, leaving)
        trainer = Trainer(recipe, args.work, taught)
        trainer.resume()
        trainer.run()
        checkpoint = finish(trainer.checkpoint, recipe, args.work / "finish", taught)
        if leaving.fold is None:  # a fold's model only serves to judge the recipe
            out = BUNDLED if leaving == NOTHING else args.work / "model.onnx"
            ship.ship(checkpoint, recipe, args.out or out, cache=args.work)
    except KwsError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
