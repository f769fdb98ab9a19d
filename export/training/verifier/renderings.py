"""Words said by neural voices: more of the scarce keywords, and near-words of all of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from export.synthesis import nearmisses
from export.synthesis.kokoro import RATE as SPOKEN_RATE
from export.synthesis.kokoro import Kokoro
from export.synthesis.phonemes import Phonemes
from export.training.recordings import RATE, Pcm
from export.training.vocabulary import KEYWORDS, holds_keyword, in_held_out
from kws.files import atomic_write

MARGIN_S = 0.05
"""What is kept before and after what sounds."""
SOUNDS = 0.01
"""What is louder than this sounds."""
PACE = 0.75, 1.25
MIXED = 0.5
"""So many renderings are said by a mixture of two voices."""


def near_words(phonemes: Phonemes, most: int, more: list[str]) -> list[str]:
    """Return words that sound much like a keyword and are none, at most so many for each."""
    found = dict.fromkeys(more)
    for keyword in KEYWORDS:
        others = [name for name in KEYWORDS if name != keyword]
        found |= dict.fromkeys(nearmisses.near_misses(keyword, 3 * most, others)[:most])
    return [text for text in found if text in phonemes and is_negative(text)]


def is_negative(text: str) -> bool:
    """Say whether a text holds no keyword, none of its homophones and no held-out word."""
    return not holds_keyword(text) and not in_held_out(text)


def rendered(settings: dict[str, Any], folder: Path) -> dict[str, list[Pcm]]:
    """Return what the voices said, int16 at 16 kHz, by text; kept in `folder` for the next time.

    settings: `keywords`: renderings of each keyword, `scarce`: of those in `scarce_words`, `near`:
    of each near-word, `near_words`: as many for each keyword, `more`: others by name.
    Raises DataError: voices or dictionaries can't be had.
    """
    phonemes = Phonemes(folder)
    wanted = {
        name: settings["scarce" if name in settings["scarce_words"] else "keywords"]
        for name in KEYWORDS
    }
    listed = folder / "near-words.txt"
    if not listed.exists():
        found = near_words(phonemes, settings["near_words"], settings["more"])
        listed.write_text("\n".join(found) + "\n", encoding="utf-8")
    near = listed.read_text(encoding="utf-8").splitlines()
    wanted |= dict.fromkeys(filter(is_negative, near), settings["near"])
    voice = Kokoro(folder)
    return {text: _said(voice, phonemes, text, count, folder) for text, count in wanted.items()}


def _said(voice: Kokoro, phonemes: Phonemes, text: str, count: int, folder: Path) -> list[Pcm]:
    path = folder / "said" / f"{text.replace(' ', '_')}.npz"
    made = _kept(path) if path.exists() else []
    if len(made) < count:
        path.parent.mkdir(parents=True, exist_ok=True)
        made += _renderings(voice, phonemes.of(text), text, range(len(made), count))
        with atomic_write(path) as partial, partial.open("wb") as file:
            np.savez_compressed(
                file, audio=np.concatenate(made), lengths=[len(audio) for audio in made]
            )
    return made[:count]


def _kept(path: Path) -> list[Pcm]:
    with np.load(path) as kept:
        return np.split(kept["audio"], np.cumsum(kept["lengths"])[:-1])


def _renderings(voice: Kokoro, phonemes: str, text: str, numbers: range) -> Iterator[Pcm]:
    """Yield renderings that differ in voice, pace and ending, the same ones for the same text.

    numbers: which of them; those before are not said again.
    """
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big"))
    names = list(voice.voices)
    for number in range(numbers.stop):
        one, other = rng.choice(len(names), 2, replace=False)
        share = rng.uniform(0, 0.5) if rng.random() < MIXED else 0.0
        pace = float(rng.uniform(*PACE))
        if number < numbers.start:
            continue
        style = voice.voices[names[one]] * np.float32(1 - share)
        style = style + voice.voices[names[other]] * np.float32(share)
        spoken = voice.say(phonemes + ".!"[number % 2], style, pace)
        audio = _trimmed(soxr.resample(spoken, SPOKEN_RATE, RATE))
        if len(audio):
            yield (np.clip(audio, -1, 1) * 32767).astype(np.int16)


def _trimmed(audio: NDArray[np.float32]) -> NDArray[np.float32]:
    sounds = np.flatnonzero(np.abs(audio) > SOUNDS)
    if not len(sounds):
        return audio[:0]
    margin = round(MARGIN_S * RATE)
    return audio[max(0, sounds[0] - margin) : sounds[-1] + margin]
