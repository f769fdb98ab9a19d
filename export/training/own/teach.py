"""Teaching: what was gathered, and what synthesisers say, become the corpus of a training."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from export.training import archive, fragments
from export.training.corpus import Corpus
from export.training.own import parts
from export.training.own.gather import Given, Parts, Say
from export.training.own.material import Recording, plain
from export.training.own.substitutes import pcm
from export.training.recordings import Pcm
from export.training.strips import Speech, Word, find_word
from export.training.vocabulary import Vocabulary
from kws.errors import DataError

FRAGMENTS = 300
VOICES_APART = 0.2
"""Share of the voices that is kept aside, to measure where there are no recordings."""
APART = 12
"""Renderings of a word by these voices."""


@dataclass(frozen=True)
class Made:
    """What synthesisers said. apart: by voices that teach nothing. near: by word, near-misses."""

    words: dict[str, list[Pcm]] = field(default_factory=dict)
    apart: dict[str, list[Pcm]] = field(default_factory=dict)
    near: dict[str, list[Pcm]] = field(default_factory=dict)
    speech: list[Pcm] = field(default_factory=list)
    voices: list[str] = field(default_factory=list)

    def background(self, seed: int) -> Parts:
        """Return the synthesised speech in its parts."""
        names = [f"sentence {number}" for number in range(len(self.speech))]
        pieces = [
            Recording(audio, name, name) for audio, name in zip(self.speech, names, strict=True)
        ]
        return parts.in_parts(pieces, seed)


def synthesise(given: Given, settings: dict[str, Any], seed: int, folder: Path, say: Say) -> Made:
    """Return what synthesisers say; from a file in `folder` where it was said before.

    Raises DataError: there is no synthesiser, or none can say a word.
    """
    if not given.texts and given.speech is not None:
        return Made()
    recorded = sorted(label for label, each in given.apart.items() if each)
    asked = json.dumps([settings, seed, given.texts, given.labels, recorded])
    kept = folder / f"made-{hashlib.sha256(asked.encode()).hexdigest()[:12]}.audio"
    if (before := _kept(kept)) is not None:
        return before
    from export import synthesis

    voices = synthesis.installed()
    if not voices:
        what = "--phrase and --synthesise need one" if given.texts else "or give --speech FOLDER"
        raise DataError(f"no speech synthesiser is here; apt install espeak-ng flite, {what}")
    say(f"{len(voices)} voices speak: {', '.join(f'{t!r}' for t in given.texts.values()) or 'on'}")
    if given.texts and not synthesis.pronounces():
        say("warning: without espeak-ng, near-misses are found by spelling, not by sound")
    made = _said(given, voices, settings, seed)
    spoken = synthesis.speech(settings["speech_s"], seed, without=_others(given, ""))
    made.speech.extend(pcm(audio) for audio in spoken)
    _keep(kept, made)
    return made


class _Index(msgspec.Struct):
    """What the pieces of an archive are: how many of each word, the rest is speech."""

    words: dict[str, int]
    apart: dict[str, int]
    near: dict[str, int]
    voices: list[str]


def _keep(path: Path, made: Made) -> None:
    """Write what was said, for the next run. Raises DataError."""
    groups = made.words, made.apart, made.near
    words, apart, near = ({word: len(audio) for word, audio in each.items()} for each in groups)
    pieces = [piece for group in groups for audio in group.values() for piece in audio]
    try:
        archive.write(path, _Index(words, apart, near, made.voices), [*pieces, *made.speech])
    except OSError as error:
        raise DataError(f"{path}: can't be written ({error.strerror}); make room") from None


def _kept(path: Path) -> Made | None:
    """Return what was said at an earlier run; None: nothing. Raises DataError."""
    try:
        found = archive.read(path, _Index)
    except OSError as error:
        raise DataError(f"{path}: can't be read ({error.strerror})") from None
    if found is None:
        return None
    index, pieces = found
    counts = [count for group in (index.words, index.apart, index.near) for count in group.values()]
    if min(counts, default=0) < 0 or sum(counts) > len(pieces):
        return None
    audio: Iterator[Pcm] = iter(pieces)
    words, apart, near = (
        {word: [next(audio) for _ in range(count)] for word, count in group.items()}
        for group in (index.words, index.apart, index.near)
    )
    return Made(words, apart, near, list(audio), index.voices)


def _said(given: Given, voices: list[Any], settings: dict[str, Any], seed: int) -> Made:
    from export import synthesis
    from export.synthesis.renderings import manners, spoken

    rng = np.random.default_rng([seed, 3])
    count = max(1, round(VOICES_APART * len(voices))) if len(voices) > 2 else 0
    chosen = {int(place) for place in rng.permutation(len(voices))[:count]}
    apart = [voice for place, voice in enumerate(voices) if place in chosen]
    teaching = [voice for voice in voices if voice not in apart]

    def say_all(texts: list[str], cast: list[Any]) -> list[Pcm]:
        ways = manners(cast, len(texts), seed) if cast else []
        lines = [(text, *way) for text, way in zip(texts, ways, strict=False)]
        return [pcm(audio) for audio in spoken(lines) if isinstance(audio, np.ndarray)]

    made = Made(voices=[str(voice) for voice in voices])
    for label, text in given.texts.items():
        made.words[label] = say_all([text] * settings["words"], teaching)
        if not made.words[label]:
            raise DataError(f"--phrase {text!r}: no voice here can say it; record it instead")
        if not given.apart.get(label):
            made.apart[label] = say_all([text] * APART, apart)
        near = synthesis.near_misses(text, settings["near"], without=_others(given, label))
        made.near[label] = say_all(near, teaching)
    return made


def corpus(given: Given, made: Made, vocabulary: Vocabulary, seed: int) -> Corpus:
    """Return what the network is taught."""
    rng = np.random.default_rng([seed, 4])
    groups: list[list[Word]] = []
    for label in vocabulary.keywords:
        recorded = [find_word(r.audio, label, vocabulary) for r in given.learnt.get(label, [])]
        said = [find_word(audio, label, vocabulary) for audio in made.words.get(label, [])]
        # People come as often as machines.
        times = max(1, len(said) // len(recorded)) if recorded else 1
        groups.append([*(recorded * times), *said])
    speech, _, _ = given.speech or made.background(seed)
    audio = [piece.audio for piece in speech]
    if given.speech and made.speech:
        # Where machines say nothing but the words, a machine's voice is taken for them.
        audio += made.speech * max(1, len(audio) // (2 * len(made.speech)))
    unknown = vocabulary.unknown
    words = [word for group in groups for word in group]
    some = [words[at] for at in rng.permutation(len(words))[:FRAGMENTS]]
    near = [
        find_word(audio, "", vocabulary)
        for audio in [
            *(r.audio for r in given.others),
            *(audio for said in made.near.values() for audio in said),
        ]
    ]
    others = [
        *near * max(1, FRAGMENTS // max(1, len(near))),
        *fragments.halves(some, unknown, rng),
        *fragments.fragments(audio, FRAGMENTS, unknown, rng),
    ]
    noise = [piece.audio for piece in given.noise[0]]
    return Corpus([*groups, others, []], list(map(Speech, audio)), noise)


def lengths(found: Corpus, vocabulary: Vocabulary) -> dict[str, float]:
    """Return the median length of each word, in seconds."""
    return {
        label: round(float(np.median([word.last - word.first for word in group])) / 16_000, 3)
        for label, group in zip(vocabulary.keywords, found.words, strict=False)
    }


def _others(given: Given, label: str) -> list[str]:
    """Return the other words as they are said: no near-miss may hold them."""
    texts = {name: given.texts.get(name, plain(name).replace("_", " ")) for name in given.labels}
    return [text for name, text in texts.items() if name != label]
