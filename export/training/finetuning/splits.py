"""Splits: what is trained on, what chooses, what reports; a speaker is in one of them only."""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

from export.training.finetuning.audio import Clip
from export.training.finetuning.corpus import TEST, TRAIN, VALIDATION, Corpus, labels_of
from kws.errors import DataError

SHARE = 0.15
"""Of a label's recordings, for validation and for the test each."""
LEAST = 5
"""Recordings of a label; of fewer nothing can be learned and measured apart."""
VOICES = 3
"""Speakers at least, for them to be kept apart."""
MOST_NAMED = 0.9
"""Of a label's recordings, so many must tell a speaker."""
COUNTER = re.compile(r"^(?P<who>.*?)(?:_nohash)?[-_. ]*(?P<count>\d+)$")

Places = list[str | None]


def complete(corpus: Corpus) -> Corpus:
    """Return the corpus with a train and a validation split, and a test split where possible.

    Splits that the data gives stay as they are. What is missing is taken from `train`: by speaker
    where they are known or names tell them (`anna-3`, `anna_nohash_3`), else by the hash of the
    recording's bytes, so that copies stay together; each label is in every split.
    Raises DataError: one label only, too few recordings, a label that is not in `train`.
    """
    _check(corpus)
    train = corpus.splits[TRAIN]
    if VALIDATION in corpus.splits:
        return corpus
    groups, how = _groups(train)
    names = [VALIDATION] if TEST in corpus.splits else [VALIDATION, TEST]
    places = _assign(train, groups, names) or _assign(train, groups, names[:1])
    if places is None:
        groups, how = _bytes(train), "by the hash of the file: the speakers are too few"
        places = _assign(train, groups, names) or _assign(train, groups, names[:1])
    if places is None:
        raise DataError(f"{corpus.name}: most recordings are copies of one another; give others")
    made: dict[str, list[Clip]] = defaultdict(list)
    for clip, place in zip(train, places, strict=True):
        made[place or TRAIN].append(clip)
    notes = [*corpus.notes, f"recordings are split {how}"]
    return replace(corpus, splits={**corpus.splits, **made}, notes=notes)


def _check(corpus: Corpus) -> None:
    labels = corpus.labels
    train = Counter(clip.label for clip in corpus.splits[TRAIN])
    if len(labels) == 1:
        raise DataError(
            f"{corpus.name}: has one label only ({labels[0]}); add a folder of other sounds to "
            "tell it from"
        )
    for split, clips in corpus.splits.items():
        if unknown := sorted(labels_of(clips) - set(train)):
            raise DataError(
                f"{corpus.name}: {', '.join(unknown[:3])} is in {split}, but not in train; nothing "
                "could be learned of it"
            )
    label = min(train, key=lambda name: (train[name], name))
    if train[label] < LEAST:
        raise DataError(
            f"{corpus.name}: {train[label]} recordings of {label} are too few; give at least "
            f"{LEAST} of each label, better 20 and more"
        )


def _groups(clips: Sequence[Clip]) -> tuple[list[str], str]:
    """Return what must stay together with each recording, and how that was found."""
    speakers, how = [clip.speaker for clip in clips], "by speaker"
    if not _tell(clips, speakers):
        speakers = named(clips)
        how = "by speaker, as names tell them (<speaker>-<number>)"
        if not (_tell(clips, speakers) and _several(clips, speakers)):
            return _bytes(clips), (
                "by the hash of the file: neither data nor names tell speakers, so figures may "
                "flatter for other voices"
            )
    count = len({who for who in speakers if who})
    # Who is not named stands for himself.
    groups = [who or f"recording {number}" for number, who in enumerate(speakers)]
    return groups, f"{how}: {count} of them"


def named(clips: Sequence[Clip]) -> list[str]:
    """Return the speaker whom each recording's name tells; empty where it tells none.

    A label in the name is no part of it: `yes_anna_3` and `no_anna_1` are both anna's. Of three
    numbers (speaker, chapter, utterance) the first is the speaker.
    """
    return [_speaker(clip.audio.identity()[0], clip.label) for clip in clips]


def _speaker(stem: str, label: str) -> str:
    parts = [part for part in re.split(r"[-_. ]", stem) if part]
    if len(parts) == 3 and all(part.isdigit() for part in parts) and label not in parts[:1]:
        return parts[0]
    found = COUNTER.match(stem)
    if not found:
        return ""
    bare = re.sub(rf"(?i)(?<![^\W_]){re.escape(label)}(?![^\W_])", "", found["who"])
    return bare.strip("-_. ").lower()


def _tell(clips: Sequence[Clip], speakers: Sequence[str]) -> bool:
    """Tell whether most labels name enough speakers; nobody names those of a folder of noise."""
    named = _labels_named(clips, speakers)
    return 2 * len(named) >= len(labels_of(clips)) and len({*speakers} - {""}) >= VOICES


def _several(clips: Sequence[Clip], speakers: Sequence[str]) -> bool:
    """Tell whether what names seem to tell are speakers: most say several of the labels."""
    named = _labels_named(clips, speakers)
    pairs = {(who, clip.label) for who, clip in zip(speakers, clips, strict=True)}
    said = Counter(who for who, label in pairs if who and label in named)
    several = sum(count > 1 for count in said.values())
    return len(named) == 1 or 2 * several >= len(said)


def _labels_named(clips: Sequence[Clip], speakers: Sequence[str]) -> set[str]:
    """Return the labels of which most recordings tell a speaker."""
    total = Counter(clip.label for clip in clips)
    told = Counter(clip.label for who, clip in zip(speakers, clips, strict=True) if who)
    return {label for label in total if told[label] >= MOST_NAMED * total[label]}


def _bytes(clips: Sequence[Clip]) -> list[str]:
    return [clip.audio.identity()[1] for clip in clips]


def _assign(clips: Sequence[Clip], groups: Sequence[str], names: Sequence[str]) -> Places | None:
    """Return the split of each recording, None for what stays; None if a label can't be in all.

    Whole groups are taken in the order of their hashes, until each label has its share.
    """
    inside: dict[str, Counter[str]] = defaultdict(Counter)
    for clip, group in zip(clips, groups, strict=True):
        inside[group][clip.label] += 1
    total = Counter(clip.label for clip in clips)
    left, placed = Counter(total), dict[str, str]()
    order = sorted(inside, key=lambda group: hashlib.sha256(group.encode()).hexdigest())
    for name in names:
        have = Counter[str]()
        for group in order:
            here = inside[group]
            short = any(have[label] < max(1, round(SHARE * total[label])) for label in here)
            # Half of each label at least is trained on.
            spared = all(2 * (left[label] - here[label]) >= total[label] for label in here)
            if group not in placed and short and spared:
                placed[group] = name
                have.update(here)
                left.subtract(here)
        if any(not have[label] for label in total):
            return None
    return [placed.get(group) for group in groups]
