"""Own words: recordings of a word, or its text alone, become one model file.

A small head on the packaged verifier's encoder learns them, against the pack of negatives that
ships with kws. Seeded; run again after a kill it goes on.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import torch

from export.training.own import features, gather, head, pack, renderings
from export.training.own.encoder import Encoder
from export.training.own.features import Planned, Sources
from export.training.own.gather import Given, Options
from export.training.own.head import Examples
from export.training.own.measuring import Measuring
from export.training.own.outcome import Result
from export.training.own.pack import Codes, Pack
from export.training.own.recipe import Recipe
from export.training.own.release import write_model
from export.training.own.renderings import Said
from export.training.own.windows import Mixer
from export.training.own.words import Located, locate
from export.training.recordings import Pcm
from export.training.verifier.network import Head
from kws.errors import DataError

Say = Callable[[str], None]

__all__ = ["Options", "Recipe", "Result", "train"]


def train(
    data: Path | None, out: Path, options: Options, say: Say, recipe: Recipe | None = None
) -> Result:
    """Learn own words from `data`, a folder of <word>/*.wav; write the model file `out`.

    What was computed stays in a folder beside it, `out` with the suffix .train, with report.json.
    say: hears what is going on, a line at a time. Raises DataError, ConfigError: it can't be
    learnt from what was given; ModelError: the packaged encoder is not there.
    """
    begun, recipe = (time.monotonic(), time.process_time()), recipe or Recipe()
    torch.set_num_threads(options.threads or os.cpu_count() or 1)
    given = gather.gather(data, options, say)
    for line in given.warnings:
        say(f"warning: {line}")
    encoder = Encoder()
    negatives = pack.load(encoder.id)
    kept = _folder(out)
    said = renderings.render(
        given.texts, given.pronunciations, recipe, options.seed, folder=kept, say=say
    )
    words = locate(given, said, say)
    planned = _planned(given, said, words, recipe, options.seed)
    codes = features.computed(
        planned,
        encoder,
        negatives,
        folder=kept,
        key=_key(given, said, recipe, encoder, negatives),
        seed=options.seed,
        progress=_Progress(say),
    )
    measuring = Measuring(given, words, encoder, negatives, recipe, options)
    learnt = head.learn(
        _examples(planned, codes, negatives, len(words)), len(words), recipe, options.seed
    )
    levels = measuring.calibrate(learnt)
    say(f"keeping each of {recipe.folds} parts aside in turn")
    missed = measuring.cross_validated(_fold_learner(planned, codes, negatives, words, recipe))
    card = write_model(learnt, levels, measuring, out)
    found = measuring.result(card, levels, missed, out=out, said=said, begun=begun)
    _write_report(found, kept / "report.json")
    return found


def _folder(out: Path) -> Path:
    kept = out.with_suffix(".train")
    try:
        kept.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{kept}: can't be made ({error.strerror}); choose another -o") from None
    return kept


def _planned(
    given: Given, said: Said, words: dict[str, Located], recipe: Recipe, seed: int
) -> list[Planned]:
    """Return every window that is to be mixed."""
    talk = [piece.audio for piece in given.speech[0]]
    talk += [audio for near in said.near.values() for audio in near]
    talk += [recording.audio for recording in given.others]
    if not talk:  # somebody talking backwards is nobody's word
        talk = [word.audio[::-1].copy() for each in words.values() for word in each.words]
    noise = [piece.audio for piece in [*given.noise[0], *given.computed]]
    mixer = Mixer(noise, talk, given.rooms)
    sources = [Sources(each.recorded, each.rendered) for each in words.values()]
    near = [each.near for each in words.values()]
    planned = features.plan(
        sources,
        near,
        mixer,
        positives=recipe.positives,
        negatives=recipe.negatives,
        seed=seed,
    )
    own: list[Pcm] = [p.audio for p in [*given.speech[0], *given.noise[0], *given.others]]
    count = min(recipe.own_negatives, 20 * len(own))
    return planned + features.plan_background(own, mixer, count, len(words), seed)


def _key(given: Given, said: Said, recipe: Recipe, encoder: Encoder, negatives: Pack) -> str:
    """Return what tells these windows' features from any others."""
    found = hashlib.sha256(given.fingerprint().encode())
    for group in (*said.words.values(), *said.near.values()):
        for audio in group:
            found.update(audio.tobytes())
    sizes = [recipe.positives, recipe.negatives, recipe.own_negatives]
    found.update(json.dumps([sizes, given.labels, encoder.id]).encode())
    found.update(negatives.matrix.tobytes())
    return found.hexdigest()


def _examples(
    planned: list[Planned],
    codes: Codes,
    negatives: Pack,
    words: int,
    without: frozenset[int] = frozenset(),
) -> Examples:
    """Return what a head learns from. without: sources that are kept aside."""
    kept = np.array([each.source not in without for each in planned], bool)
    labels = np.array([each.label for each in planned], np.int64)[kept]
    values = negatives.values(np.concatenate([codes[kept], negatives.learning]))
    other = np.full(len(negatives.learning), words, np.int64)
    return Examples(values, np.concatenate([labels, other]))


def _fold_learner(
    planned: list[Planned],
    codes: Codes,
    negatives: Pack,
    words: dict[str, Located],
    recipe: Recipe,
) -> Callable[[frozenset[int], int], Head]:
    def learn(without: frozenset[int], seed: int) -> Head:
        examples = _examples(planned, codes, negatives, len(words), without)
        return head.learn(examples, len(words), recipe, seed)

    return learn


class _Progress:
    """Says how far the features are, now and then."""

    def __init__(self, say: Say) -> None:
        self._say, self._told = say, 0.0

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._told > 10:
            self._told = now
            self._say(f"hearing {total} windows: {done / total:.0%}")


def _write_report(found: Result, path: Path) -> None:
    text = msgspec.json.format(msgspec.json.encode(found), indent=1)
    try:
        path.write_bytes(text + b"\n")
    except OSError as error:
        raise DataError(f"{path}: can't be written ({error.strerror}); make room") from None
