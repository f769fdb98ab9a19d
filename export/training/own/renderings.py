"""What voices say for own words: the words themselves, and near-words that are taken for them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np

from export.synthesis import engines, near_misses
from export.synthesis.engines import Engine
from export.training import archive
from export.training.own.gather import Say
from export.training.own.recipe import Recipe
from export.training.own.substitutes import pcm
from export.training.recordings import Pcm
from kws.errors import DataError


@dataclass(frozen=True)
class Said:
    """Renderings int16 at 16 kHz, by label: of the words, and of near-words. engines: by name."""

    words: dict[str, list[Pcm]] = field(default_factory=dict)
    near: dict[str, list[Pcm]] = field(default_factory=dict)
    engines: list[str] = field(default_factory=list)


class _Index(msgspec.Struct):
    text: str


def render(
    texts: Mapping[str, str],
    phonemes: Mapping[str, Sequence[str]],
    recipe: Recipe,
    seed: int,
    *,
    folder: Path,
    say: Say,
) -> Said:
    """Let the voices that are here say texts, by label; kept in `folder` for the next time.

    phonemes: pronunciations by label, instead of the voices' own. Raises DataError: no voices are
    here, or none can say a text.
    """
    if not texts:
        return Said()
    cast = engines.available()
    say(f"{', '.join(engine.name for engine in cast)}: saying {', '.join(texts.values())}")
    words, near = {}, {}
    for label, text in texts.items():
        given = phonemes.get(label, ())
        words[label] = _all_say(cast, text, recipe.renderings, seed, given, folder=folder)
        others = [each for name, each in texts.items() if name != label]
        found = near_misses(text, 3 * recipe.near_words, without=others)
        kept = found[: recipe.near_words]
        say(f"{label}: {len(kept)} near-words, such as {', '.join(kept[:4])}")
        near[label] = [
            audio
            for other in kept
            for audio in _all_say(cast, other, recipe.near_renderings, seed, folder=folder)
        ]
    return Said(words, near, [engine.name for engine in cast])


def _all_say(
    cast: Sequence[Engine],
    text: str,
    count: int,
    seed: int,
    phonemes: Sequence[str] = (),
    *,
    folder: Path,
) -> list[Pcm]:
    """Return renderings of a text, shared among the engines by the root of their voices' number."""
    weights = np.sqrt([len(engine.voices()) for engine in cast])
    ends = np.rint(np.cumsum(weights) / weights.sum() * count).astype(int)
    asked = json.dumps([text, count, seed, list(phonemes), [engine.name for engine in cast]])
    path = folder / f"said-{hashlib.sha256(asked.encode()).hexdigest()[:16]}.audio"
    try:
        kept = archive.read(path, _Index)
    except OSError as error:
        raise DataError(f"{path}: can't be read ({error.strerror})") from None
    if kept is not None:
        return kept[1]
    made: list[Pcm] = []
    for engine, share in zip(cast, np.diff([0, *ends]).tolist(), strict=True):
        if share:
            made += [pcm(audio) for audio in engine.render(text, share, seed, phonemes)]
    if not made:
        raise DataError(f"no voice here can say {text!r}; spell it otherwise, or record it")
    try:
        archive.write(path, _Index(text), made)
    except OSError as error:
        raise DataError(f"{path}: can't be written ({error.strerror}); make room") from None
    return made
