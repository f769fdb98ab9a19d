"""Wakes made of a split's recordings: a command follows, another word, nothing, or speech."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from export.training import recordings
from export.training.calibrate import float_audio
from export.training.recordings import RATE
from kws.errors import DataError
from kws.evaluate.simulation.after_wake import Scene, scene, speech
from kws.flow import Samples

KINDS = ("command", "word", "nothing", "speech")
"""What follows a wake word, as often as each other."""
PER_WORD = 12
"""Recordings of each command, in quiet and in noise."""


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
