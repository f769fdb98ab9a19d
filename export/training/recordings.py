"""Recordings of people, rooms and noise, read from the folder that KWS_DATA names."""

from __future__ import annotations

import csv
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import msgspec
import numpy as np
import soundfile
from numpy.typing import NDArray

from export.training.vocabulary import holds_keyword, keywords_in, says_held_out
from kws.errors import DataError

RATE = 16_000
Pcm = NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Clip:
    """One recording: where it lies in its shard, what it is, who speaks."""

    shard: str
    start: int
    samples: int
    label: str
    split: str
    speaker: str
    source: str
    name: str
    text: str = ""

    @property
    def kind(self) -> str:
        """The folder its shard lies in: speech_commands, wake, speech, noise, ..."""
        return self.shard.split("/")[0]


def folder() -> Path:
    """Return the recordings' folder. Raises DataError where it isn't."""
    path = Path(os.environ.get("KWS_DATA") or "../shared/data")
    if not (path / "index.tsv").is_file():
        raise DataError(f"{path}: no recordings here (index.tsv is missing); set KWS_DATA")
    return path


def table(kind: str, split: str | None = None) -> list[Clip]:
    """Return the clips of a kind, without those that say a word held out of every training."""
    with open(folder() / "index.tsv", newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE, escapechar="\\")
        clips = [
            msgspec.convert(row, Clip, strict=False)  # numbers are text in a table
            for row in rows
            if row["shard"].startswith(kind + "/") and split in (None, row["split"])
        ]
    return [clip for clip in clips if not says_held_out(f"{clip.label}. {clip.text}")]


def keyword_free(split: str) -> list[Clip]:
    """Return the transcribed utterances without our words, homophones or inflections."""
    return [clip for clip in table("speech", split) if not holds_keyword(clip.text)]


def located(split: str) -> list[tuple[Clip, tuple[tuple[int, int], ...]]]:
    """Return the utterances all of whose words of ours were found by forced alignment, and where.

    The places are first and last samples within the utterance.
    """
    places: dict[str, list[tuple[int, int]]] = defaultdict(list)
    with open(folder() / "words.tsv", newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE, escapechar="\\"):
            first = int(row["start"])
            places[row["shard"]].append((first, first + int(row["samples"])))
    found = []
    for clip in table("speech", split):
        inside = tuple(
            (first - clip.start, last - clip.start)
            for first, last in places[clip.shard]
            if clip.start <= first and last <= clip.start + clip.samples
        )
        if inside and len(inside) >= keywords_in(clip.text):
            found.append((clip, inside))
    return found


def rooms(split: str) -> list[NDArray[np.float32]]:
    """Return room impulse responses of unit energy, direct sound first ([n] each)."""
    responses = []
    for name in ("rooms.npz", "rooms_2.npz"):
        with np.load(folder() / name) as archive:
            for key in archive.files:
                if key.startswith(split + "/"):
                    response = archive[key].astype(np.float32)
                    responses.append(response / np.sqrt(np.sum(response**2)))
    return responses


def load_some(clips: Sequence[Clip]) -> list[Pcm]:
    """Return the samples of a few clips, as `load` does, without decoding all that lies beside."""
    found: dict[int, Pcm] = {}
    order = sorted(range(len(clips)), key=lambda at: (clips[at].shard, clips[at].start))
    for shard, places in groupby(order, lambda at: clips[at].shard):
        with soundfile.SoundFile(folder() / shard) as file:
            if file.samplerate != RATE:
                raise DataError(f"{shard}: {file.samplerate} Hz, expected {RATE}")
            for at in places:
                file.seek(clips[at].start)
                found[at] = file.read(clips[at].samples, dtype="int16")
    return [found[at] for at in range(len(clips))]


def load(clips: list[Clip]) -> list[Pcm]:
    """Return the clips' samples ([n] int16 each).

    Shards are decoded whole, one after another. Raises DataError: another rate than 16 kHz.
    """
    wanted: dict[str, list[int]] = defaultdict(list)
    for position, clip in enumerate(clips):
        wanted[clip.shard].append(position)
    found: dict[int, Pcm] = {}
    for shard, positions in wanted.items():
        audio, rate = soundfile.read(folder() / shard, dtype="int16")
        if rate != RATE:
            raise DataError(f"{shard}: {rate} Hz, expected {RATE}")
        for position in positions:
            clip = clips[position]
            found[position] = audio[clip.start : clip.start + clip.samples].copy()
    return [found[position] for position in range(len(clips))]
