"""Recordings of people, rooms and noise, read from the folder that KWS_DATA names."""

from __future__ import annotations

import csv
import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import soundfile
from numpy.typing import NDArray

from export.training.vocabulary import HELD_OUT, holds_keyword
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
    """Return the clips of a kind, without the words that are held out of every training."""
    with open(folder() / "index.tsv", newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE, escapechar="\\")
        clips = [
            msgspec.convert(row, Clip, strict=False)  # numbers are text in a table
            for row in rows
            if row["shard"].startswith(kind + "/") and split in (None, row["split"])
        ]
    return [clip for clip in clips if clip.label not in HELD_OUT]


def keyword_free(split: str) -> list[Clip]:
    """Return the transcribed utterances without our words, homophones or inflections."""
    return [clip for clip in table("speech", split) if not holds_keyword(clip.text)]


def words_in_speech(split: str) -> list[Clip]:
    """Return the places in running speech where a keyword was found by forced alignment."""
    with open(folder() / "words.tsv", newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE, escapechar="\\")
        return [
            Clip(
                row["shard"], int(row["start"]), int(row["samples"]), row["label"], split,
                row["speaker"], row["source"], "", row["context"],
            )
            for row in rows
            if row["split"] == split
        ]  # fmt: skip


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


def load(clips: list[Clip], margin: int = 0) -> list[Pcm]:
    """Return the clips' samples ([n] int16 each), with `margin` samples more on both sides.

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
            first = max(0, clip.start - margin)
            found[position] = audio[first : clip.start + clip.samples + margin].copy()
    return [found[position] for position in range(len(clips))]
