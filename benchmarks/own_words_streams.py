"""What own words are measured on: streams, through the encoder once and kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.training import calibrate, recordings
from export.training.own.encoder import WINDOW, Encoder
from export.training.own.measuring import HOP, quiet_around
from export.training.own.windows import sliding
from export.training.recordings import RATE, Pcm
from kws.evaluate.match import Word
from kws.evaluate.simulation.standard import standard
from kws.files import atomic_write
from kws.flow import Samples


@dataclass(frozen=True)
class Heard:
    """A recording as encoder features [hops, steps, width], with the words said in it."""

    features: NDArray[np.float16]
    words: list[Word]

    @property
    def ends(self) -> NDArray[np.float64]:
        """When each hop ends, in seconds."""
        return np.arange(1, len(self.features) + 1, dtype=np.float64) * (HOP / RATE)

    @property
    def hours(self) -> float:
        """How long it is."""
        return len(self.features) * HOP / RATE / 3600


def streams(aside: dict[str, list[Pcm]], encoder: Encoder, work: Path) -> dict[str, Heard]:
    """Return words in quiet, words in rooms and noise, and speech without words, by name."""
    speech = recordings.load(recordings.keyword_free("validation"))
    quiet = heard(work, "quiet", encoder, *quiet_stream(aside))
    noisy = heard(work, "standard", encoder, *noisy_stream(aside, speech))
    whole = calibrate.float_audio(np.concatenate(speech))
    return {"quiet": quiet, "standard": noisy, "speech": heard(work, "speech", encoder, whole, [])}


def heard(work: Path, name: str, encoder: Encoder, audio: Samples, words: list[Word]) -> Heard:
    """Return the features of a stream at every hop; computed once, block by block."""
    size = 100 * RATE // HOP * HOP
    blocks = []
    for number, start in enumerate(range(0, len(audio), size)):
        path = work / f"{name}-{encoder.id or 'draft'}-{number}.npy"
        if not path.is_file():
            begin = max(0, start - WINDOW)
            pieces = sliding(audio[begin : start + size], HOP)[(start - begin) // HOP :]
            with atomic_write(path) as partial, partial.open("wb") as file:
                np.save(file, encoder.features(pieces).astype(np.float16))
        blocks.append(np.load(path))
    return Heard(np.concatenate(blocks), words)


def quiet_stream(clips: dict[str, list[Pcm]]) -> tuple[Samples, list[Word]]:
    """Return every recording, one after another in a quiet room."""
    pieces, words, at = [], [], 0
    for label, each in clips.items():
        for pcm in each:
            piece = quiet_around(pcm)
            words.append(Word(label, at / RATE, (at + len(piece)) / RATE - 0.75, clear=False))
            pieces.append(piece)
            at += len(piece)
    return np.concatenate(pieces), words


def noisy_stream(clips: dict[str, list[Pcm]], speech: list[Pcm]) -> tuple[Samples, list[Word]]:
    """Return the recipe `standard` over them: rooms, speech or noise 10 dB below."""
    labelled = [
        (label, calibrate.float_audio(pcm)) for label, each in clips.items() for pcm in each
    ]
    order = np.random.default_rng(1).permutation(len(labelled))
    noise = [c for c in recordings.table("noise", "validation") if c.label == "noise"]
    scenes = standard(
        (labelled[place] for place in order),
        RATE,
        speech=_endless(speech),
        noise=_endless(recordings.load(noise)),
        rooms=[room.astype(np.float64) for room in recordings.rooms("validation")],
    )
    pieces, words = zip(*scenes, strict=True)
    return np.concatenate(pieces).astype(np.float32), list(words)


def _endless(pieces: list[Pcm]) -> Callable[[int], Samples]:
    whole = calibrate.float_audio(np.concatenate(pieces))
    at = 0

    def take(count: int) -> Samples:
        nonlocal at
        places = (np.arange(count) + at) % len(whole)
        at += count
        return whole[places]

    return take
