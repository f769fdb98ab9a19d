"""The training corpus, decoded once and kept in one file for the next run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from export.training import archive, recordings
from export.training.leaving import NOTHING, Leaving
from export.training.recordings import RATE, Clip, Pcm
from export.training.strips import Speech, Word, find_word
from export.training.vocabulary import LABELS, SPOKEN_AS, Vocabulary
from kws.errors import DataError

SHORTEST = RATE // 10
"""Samples of noise that are too few to be laid behind anything."""
LONGEST_S = 4.0
"""Longer recordings of single words are somebody talking on: left out."""


@dataclass(frozen=True)
class Corpus:
    """Recordings: words by label, running speech, noise."""

    words: list[list[Word]]
    speech: list[Speech]
    noise: list[Pcm]


def gather(cache: Path, leaving: Leaving = NOTHING) -> Corpus:
    """Return what there is to learn from, decoded.

    leaving: what is left out; with nothing left out it is the train split, and lies in `cache`
    for the next time.
    """
    path = cache / "train.audio"
    if leaving == NOTHING and (kept := _kept(path)) is not None:
        return kept
    found = _decoded(leaving)
    if leaving == NOTHING:
        cache.mkdir(parents=True, exist_ok=True)
        words = [[(w.first, w.last, w.label, w.isolated) for w in group] for group in found.words]
        index = _Index(words, [each.ours for each in found.speech])
        pieces = [word.audio for group in found.words for word in group]
        archive.write(path, index, [*pieces, *(s.audio for s in found.speech), *found.noise])
    return found


class _Index(msgspec.Struct):
    """What the pieces of an archive are: the words by label, the speech; the rest is noise.

    words: first, last, label, isolated of each. speech: where each says our words.
    """

    words: list[list[tuple[int, int, int, bool]]]
    speech: list[tuple[tuple[int, int], ...]]


def _kept(path: Path) -> Corpus | None:
    """Return the corpus that an archive holds; None: there is none. Raises OSError."""
    if (found := archive.read(path, _Index)) is None:
        return None
    index, pieces = found
    if sum(map(len, index.words)) + len(index.speech) > len(pieces):
        return None
    audio: Iterator[Pcm] = iter(pieces)
    words = [[Word(next(audio), *each) for each in group] for group in index.words]
    speech = [Speech(next(audio), ours) for ours in index.speech]
    return Corpus(words, speech, list(audio))


def _decoded(leaving: Leaving) -> Corpus:
    def clips(of: Callable[[str], list[Clip]]) -> list[Clip]:
        return [clip for split in leaving.splits for clip in of(split) if not leaving.holds(clip)]

    def table(kind: str) -> Callable[[str], list[Clip]]:
        return lambda split: recordings.table(kind, split)

    said = [clip for kind in ("speech_commands", "wake") for clip in clips(table(kind))]
    said = [clip for clip in said if clip.samples <= LONGEST_S * RATE]
    words: list[list[Word]] = [[] for _ in LABELS]
    for clip, audio in zip(said, recordings.load(said), strict=True):
        word = find_word(audio, SPOKEN_AS.get(clip.label, clip.label))
        words[word.label].append(word)
    noise = recordings.load(clips(table("noise")))
    free = [Speech(audio) for audio in recordings.load(clips(recordings.keyword_free))]
    places = {clip: ours for split in leaving.splits for clip, ours in recordings.located(split)}
    kept = [clip for clip in places if not leaving.holds(clip)]
    held = zip(kept, recordings.load(kept), strict=True)
    return Corpus(
        words,
        [*free, *(Speech(audio, places[clip]) for clip, audio in held)],
        [audio for audio in noise if len(audio) > SHORTEST],
    )


def check(found: Corpus, vocabulary: Vocabulary) -> None:
    """Raise DataError where a word has no recordings."""
    heard = zip(vocabulary.labels[: vocabulary.unknown + 1], found.words, strict=False)
    empty = [label for label, group in heard if not group]
    if empty:
        raise DataError(f"no recordings of {', '.join(empty)}; see KWS_DATA's README")
