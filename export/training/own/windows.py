"""Windows to learn from: a word near the end, with rooms, noise, talk and microphones around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from export.training.own.encoder import WINDOW
from export.training.recordings import RATE, Pcm
from export.training.strips import Word
from kws.flow import Samples

SPEED = 0.85, 1.18
AFTER_S = 0.05, 0.5
"""How long before the window's end a word ends."""
UNFINISHED = 0.15, 0.55
"""How much of a word was said where a window ends before its end: it is not the word yet."""
TALK_BEFORE, TALK_AFTER = 0.3, 0.3
"""The shares of windows in which somebody talks right before the word, and right after it."""
PAUSE_S = 0.04, 0.35
OVER_TALK, OVER_NOISE = 0.2, 0.6
"""The shares of windows with talk behind the word, and with noise."""
ABOVE_TALK_DB = 5.0, 22.0
ABOVE_NOISE_DB = 3.0, 28.0
IN_ROOM, FILTERED, CLIPPED = 0.5, 0.5, 0.05
LEVEL_DB = -42.0, -10.0
LOUD_DB = -10.0, 6.0
HISS_DB = -95.0, -58.0
FADE = 160
SIZE = 40_960
"""Of the Fourier transform of a window and a room's tail."""


@dataclass
class Mixer:
    """Puts words into windows. noise, talk: what lies behind and beside them; rooms: responses."""

    noise: Sequence[Pcm]
    talk: Sequence[Pcm]
    rooms: Sequence[NDArray[np.float32]]
    _spectra: list[NDArray[np.complex64]] = field(default_factory=list)

    def __post_init__(self) -> None:
        limit = SIZE - WINDOW
        self._spectra = [
            np.fft.rfft(room[:limit], SIZE).astype(np.complex64) for room in self.rooms
        ]

    def word(self, word: Word, rng: np.random.Generator) -> Samples:
        """Return a window in which the word has just ended."""
        return self._around(_varied(word, rng), WINDOW - _seconds(AFTER_S, rng), rng)

    def unfinished(self, word: Word, rng: np.random.Generator) -> Samples:
        """Return a window that ends in the midst of the word."""
        varied = _varied(word, rng)
        left = round((varied.last - varied.first) * (1 - rng.uniform(*UNFINISHED)))
        return self._around(varied, WINDOW + left, rng)

    def background(self, audio: Pcm, rng: np.random.Generator) -> Samples:
        """Return a window of a recording without the word, of speech or noise."""
        piece = _piece(audio, WINDOW, rng)
        behind = np.zeros(WINDOW, np.float32)
        if rng.random() < OVER_NOISE:
            behind = self._behind(rng)
        return self._heard(_scaled(piece, 0), behind, rng)

    def _around(self, word: Word, last: int, rng: np.random.Generator) -> Samples:
        """Return the window with the word's last sample at `last`, and what else is heard."""
        audio = word.audio.astype(np.float32)
        audio *= 1 / _rms(audio[word.first : word.last])
        foreground = np.zeros(WINDOW, np.float32)
        at = last - word.last
        _add(foreground, audio, at)
        if rng.random() < TALK_BEFORE and self.talk:
            piece = self._talk(WINDOW, rng)
            end = at + word.first - _seconds(PAUSE_S, rng)
            _add(foreground, _faded(piece), end - len(piece))
        if rng.random() < TALK_AFTER and self.talk:
            start = at + word.last + _seconds(PAUSE_S, rng)
            _add(foreground, _faded(self._talk(WINDOW, rng)), start)
        return self._heard(foreground, self._behind(rng), rng)

    def _talk(self, samples: int, rng: np.random.Generator) -> Samples:
        piece = _piece(self.talk[int(rng.integers(len(self.talk)))], samples, rng, whole=False)
        return _scaled(piece, rng.uniform(-6, 4))

    def _behind(self, rng: np.random.Generator) -> Samples:
        """Return what lies behind a word of loudness 1."""
        drawn = rng.random()
        if drawn < OVER_TALK and self.talk:
            piece = _piece(self.talk[int(rng.integers(len(self.talk)))], WINDOW, rng)
            level = -rng.uniform(*ABOVE_TALK_DB)
        elif drawn < OVER_TALK + OVER_NOISE and self.noise:
            piece = _piece(self.noise[int(rng.integers(len(self.noise)))], WINDOW, rng)
            level = -rng.uniform(*ABOVE_NOISE_DB)
        else:
            return np.zeros(WINDOW, np.float32)
        return _scaled(piece, level)

    def _heard(self, foreground: Samples, background: Samples, rng: np.random.Generator) -> Samples:
        """Return both as a microphone in a room might hear them."""
        response = np.ones(SIZE // 2 + 1, np.complex64)
        if self._spectra and rng.random() < IN_ROOM:
            response = self._spectra[int(rng.integers(len(self._spectra)))]
        if rng.random() < FILTERED:
            response = response * _filter(rng)
        spectrum = np.fft.rfft(foreground + background, SIZE) * response
        heard: Samples = np.fft.irfft(spectrum, SIZE)[:WINDOW].astype(np.float32)
        loud = rng.random() < CLIPPED
        level = rng.uniform(*(LOUD_DB if loud else LEVEL_DB))
        hiss = rng.standard_normal(WINDOW, np.float32) * np.float32(
            10 ** (rng.uniform(*HISS_DB) / 20)
        )
        found: Samples = (_scaled(heard, level) + hiss).clip(-1, 1)
        return found


def halves(word: Word, rng: np.random.Generator) -> Word:
    """Return the first or the last part of a word alone: it is another word."""
    length = word.last - word.first
    if rng.random() < 0.5:
        cut = word.first + round(rng.uniform(0.3, 0.55) * length)
        audio = _faded(word.audio[:cut].astype(np.float32)).astype(np.int16)
        return Word(audio, min(word.first, cut - 1), cut, word.label)
    cut = word.first + round(rng.uniform(0.45, 0.7) * length)
    audio = _faded(word.audio[cut:].astype(np.float32)).astype(np.int16)
    return Word(audio, 0, max(1, word.last - cut), word.label)


def sliding(audio: Samples, hop: int) -> list[Samples]:
    """Return the windows that end at every hop of a stream; zeros lie before it."""
    padded = np.concatenate([np.zeros(WINDOW, np.float32), audio.astype(np.float32)])
    return [padded[end : end + WINDOW] for end in range(hop, len(audio) + 1, hop)]


def _varied(word: Word, rng: np.random.Generator) -> Word:
    """Return a word said faster or slower, half of the time cut close to it."""
    audio, ratio = word.audio.astype(np.float32), 1.0
    if rng.random() < 0.6:
        count = round(len(audio) / rng.uniform(*SPEED))
        ratio = count / len(audio)
        audio = np.interp(
            np.linspace(0, len(audio) - 1, count), np.arange(len(audio)), audio
        ).astype(np.float32)
    first, last = round(word.first * ratio), max(round(word.last * ratio), 1)
    if rng.random() < 0.5:
        begin = max(0, first - int(rng.integers(400, 3200)))
        end = min(len(audio), last + int(rng.integers(400, 3200)))
        audio, first, last = _faded(audio[begin:end]), first - begin, last - begin
    return Word(audio, first, max(last, first + 1), word.label)  # type: ignore[arg-type]


def _filter(rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a microphone's response: a smooth curve, sometimes a band's edges."""
    hertz = np.linspace(0, RATE / 2, SIZE // 2 + 1)
    gain = np.interp(hertz, np.linspace(0, RATE / 2, 9), rng.standard_normal(9) * 2.5)
    if rng.random() < 0.3:
        gain -= 60 * ((hertz / rng.uniform(3000, 7500)) - 1).clip(0, 0.3) / 0.3
    if rng.random() < 0.3:
        gain -= 45 * (1 - hertz / rng.uniform(80, 400)).clip(0, 1)
    found: NDArray[np.float32] = (10 ** (gain / 20)).astype(np.float32)
    return found


def _seconds(bounds: tuple[float, float], rng: np.random.Generator) -> int:
    return round(rng.uniform(*bounds) * RATE)


def _rms(audio: Samples) -> float:
    return max(1e-6, float(np.sqrt(np.mean(np.square(audio, dtype=np.float64)))))


def _scaled(audio: Samples, db: float) -> Samples:
    """Return audio with an RMS of so many dB over 1."""
    found: Samples = audio * np.float32(10 ** (db / 20) / _rms(audio))
    return found


def _piece(audio: Pcm, samples: int, rng: np.random.Generator, *, whole: bool = True) -> Samples:
    """Cut a piece at random. whole: what is too short is repeated."""
    if len(audio) < samples and whole:
        audio = np.tile(audio, -(-samples // max(1, len(audio))))
    start = int(rng.integers(max(1, len(audio) - samples + 1)))
    return audio[start : start + samples].astype(np.float32)


def _faded(audio: Samples) -> Samples:
    audio = audio.copy()
    length = min(FADE, len(audio))
    ramp = np.linspace(0, 1, length, dtype=np.float32)
    audio[:length] *= ramp
    audio[len(audio) - length :] *= ramp[::-1]
    return audio


def _add(target: Samples, audio: Samples, at: int) -> None:
    """Add audio to the target from `at` on; what lies outside is lost."""
    first, last = max(0, at), min(len(target), at + len(audio))
    if first < last:
        target[first:last] += audio[first - at : last - at]
