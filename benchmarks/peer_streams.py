"""What all spotters hear: streams of int16 samples at 16 kHz, and the truth of what is said."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.material import lay_out
from export.training.recordings import RATE
from kws.evaluate.match import Word
from kws.evaluate.simulation import simulate
from kws.evaluate.truthfile import read_truth
from kws.files import atomic_write

WORD = "alexa"
SEED = 1
RECIPES = {"clean": "clean", "10 dB": "standard"}
"""Streams of words by the name they have in the result, and the recipe of each."""
NEGATIVES = "negatives"
PARTS = ("speech", "untranscribed")


@dataclass(frozen=True)
class Streams:
    """Files of samples: those with words by name, with their words; and one without any."""

    words: dict[str, tuple[Path, list[Word]]]
    negatives: Path
    hours: dict[str, float]

    @property
    def files(self) -> dict[str, Path]:
        """Every stream by name."""
        return {name: path for name, (path, _) in self.words.items()} | {NEGATIVES: self.negatives}

    @property
    def parts(self) -> list[str]:
        """What the audio without words is made of, as `hours` names it."""
        return [name for name in self.hours if name not in self.words]

    @property
    def negative_hours(self) -> float:
        """Hours in which the word is not said."""
        return sum(self.hours[part] for part in self.parts)


def streams(folder: Path, split: str) -> Streams:
    """Return the streams below `folder`; what is there already is used again."""
    material = folder / "material"
    lay_out(material, split)
    negatives, hours = _negatives(folder, material)
    words = {name: _words(folder, material, recipe) for name, recipe in RECIPES.items()}
    hours |= {name: _hours(path) for name, (path, _) in words.items()}
    return Streams(words, negatives, hours)


def mixed(every: Streams, folder: Path, seconds: float) -> Path:
    """Write a stream for the costs: half words, clean, and half without; return its path."""
    path = folder / f"cost-{seconds:g}.pcm"
    half = round(seconds / 2 * RATE)
    clean = np.fromfile(every.words["clean"][0], np.int16, count=half)
    other = np.fromfile(every.negatives, np.int16, count=round(seconds * RATE) - len(clean))
    np.concatenate([clean, other]).tofile(path)
    return path


def shortened(every: Streams, folder: Path, seconds: float) -> Streams:
    """Return the same streams with so much of the audio without words."""
    path = folder / f"{NEGATIVES}-{seconds:g}.pcm"
    np.fromfile(every.negatives, np.int16, count=round(seconds * RATE)).tofile(path)
    hours = {name: length for name, length in every.hours.items() if name in every.words}
    return Streams(every.words, path, {**hours, PARTS[0]: _hours(path)})


def _words(folder: Path, material: Path, recipe: str) -> tuple[Path, list[Word]]:
    """Lay the word's clips out in time, once each."""
    path = folder / f"{recipe}.pcm"
    audio = path.with_suffix(".wav")
    truth = path.with_suffix(".json")
    if not path.exists():
        clips = folder / "clips"
        clips.mkdir(exist_ok=True)
        if not (clips / WORD).exists():
            (clips / WORD).symlink_to((material / "wake" / WORD).resolve())
        simulate.build(
            audio,
            recipe=recipe,
            clips=clips,
            speech=material / "speech",
            noise=material / "noise",
            rooms=material / "rooms",
            seed=SEED,
            rate=RATE,
        )
        _save(path, [audio])
    return path, read_truth(truth).of([WORD])


def _negatives(folder: Path, material: Path) -> tuple[Path, dict[str, float]]:
    path = folder / f"{NEGATIVES}.pcm"
    files = {part: sorted((material / part).glob("*.flac")) for part in PARTS}
    if not path.exists():
        _save(path, [file for part in PARTS for file in files[part]])
    seconds = {part: sum(soundfile.info(file).duration for file in files[part]) for part in PARTS}
    return path, {part: length / 3600 for part, length in seconds.items()}


def _save(path: Path, files: list[Path]) -> None:
    """Write the samples of audio files one after another; the file appears when it is whole."""
    with atomic_write(path) as partial, partial.open("wb") as out:
        for file in files:
            samples, _ = soundfile.read(file, dtype="int16")
            out.write(samples.tobytes())


def _hours(path: Path) -> float:
    return path.stat().st_size / 2 / RATE / 3600
