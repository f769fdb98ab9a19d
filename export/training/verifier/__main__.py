"""`python -m export.training.verifier`: recordings and a pretrained encoder in, the verifier out.

Seeded and resumable: run it again after a kill and it goes on. Voices, windows' features (some
gigabytes) and the run's state lie in --work. The bundled first stage must be there already.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tomli
import torch

from export.training import augment, lessons
from export.training.strips import Word, find_word
from export.training.verifier import features, renderings, train
from export.training.verifier.network import Config, Verifier
from export.training.verifier.pretrained import encoder_state
from export.training.verifier.windows import Miner, WordComposer
from export.training.vocabulary import KEYWORDS, LABELS, UNKNOWN
from kws.errors import KwsError
from kws.session import BUNDLED

HERE = Path(__file__).parent
OUT = BUNDLED.with_name("verifier.onnx")
HOP, HOPS = 1280, 76
"""Samples of a hop, and hops of a strip."""
TAPS = 8000
"""Samples of a room's response that are used."""
STRIPS = 16
"""In a batch."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Train what is left to train, then write the model file with its card."""
    parser = argparse.ArgumentParser(prog="python -m export.training.verifier", description=__doc__)
    parser.add_argument("--recipe", type=Path, default=HERE / "verifier.toml")
    parser.add_argument("--work", type=Path, default=Path(".training"), help="state and log")
    parser.add_argument(
        "--out", type=Path, default=OUT, help="the model file; else the bundled one"
    )
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    from export.training.verifier.release import release

    try:
        recipe = tomli.loads(args.recipe.read_text(encoding="utf-8"))
        work = args.work / "verifier"
        work.mkdir(parents=True, exist_ok=True)
        release(_trained(recipe, args.work, work), recipe, args.out, work)
    except KwsError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _trained(recipe: dict[str, Any], decoded: Path, work: Path) -> Verifier:
    """Return the trained network. decoded: where the first stage's training keeps recordings."""
    config = Config(len(LABELS))
    torch.manual_seed(recipe["seed"])  # the head's first weights
    network = Verifier(config).eval()
    network.encoder.load_state_dict(encoder_state(work, config.positions))
    material: dict[bool, tuple[WordComposer, torch.Tensor]] = {}  # with and without voices

    def miner(number: int) -> Miner:
        settings = recipe["windows"]
        shard = settings["shards"][number]
        if (voices := shard["voices"]) not in material:
            material[voices] = _composer(recipe, decoded, work, voices=voices)
        composer, rooms = material[voices]
        composer = dataclasses.replace(composer, stretch=shard["stretch"])
        shares = {kind: settings[kind] for kind in ("words", "speech", "noise")}
        seed = recipe["seed"], shard["seed"]
        return Miner(
            composer, BUNDLED, rooms, shares, shard["batches"], STRIPS, config.window, seed
        )

    shards = features.shards(network, miner, recipe, work)
    train.train_head(network, shards, recipe, work)
    for phase in range(len(recipe["tuning"])):
        network = train.Tuner(network, shards, recipe, work, phase).run()
    return network


def _composer(
    recipe: dict[str, Any], decoded: Path, work: Path, *, voices: bool
) -> tuple[WordComposer, torch.Tensor]:
    """Return what composes strips, of recordings and of what voices said; and rooms' spectra."""
    base = tomli.loads((HERE.parent / "bundled.toml").read_text(encoding="utf-8"))
    taught = lessons.bundled(decoded, base)
    words, near = [list(group) for group in taught.corpus.words], list[Word]()
    for text, said in (renderings.rendered(recipe["voices"], work) if voices else {}).items():
        for audio in said:
            word = find_word(audio, text)
            if text in KEYWORDS:
                words[word.label].append(word)
            else:
                near.append(dataclasses.replace(word, label=UNKNOWN))
    corpus, samples = taught.corpus, HOPS * HOP
    composer = WordComposer(words, corpus.speech, corpus.noise, samples, HOP, near=near)
    return composer, augment.room_spectra(torch.stack([_taps(r) for r in taught.rooms]), samples)


def _taps(response: np.ndarray) -> torch.Tensor:
    taps = np.zeros(TAPS, np.float32)
    taps[: len(response)] = response[:TAPS]
    return torch.from_numpy(taps)


if __name__ == "__main__":
    sys.exit(main())
