"""Strips: what the network hears while it learns. Words anywhere in six seconds of sound.

A strip is composed of a foreground (words with their target per hop) and a background (noise or
running speech); levels, rooms and filters are applied later, on whole batches (augment.py).
Targets are per hop: a label's index, or IGNORE where a listener could argue.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export.training.recordings import RATE, Pcm
from export.training.vocabulary import BUNDLED, Vocabulary
from kws.evaluate.truth import word_bounds

IGNORE = -1
WORDS = 5
"""As many at most are said in a strip."""
NOTHING_YET_S = 0.12
"""For so long after a word's first sample nobody can tell that one began."""
PARTLY = 0.6
"""Up to this share of its length a word counts as partly heard: background."""
SURE_S = 0.05
"""From so long after a word's end on its label is expected."""
KEEP_S = 0.55
"""A word's label stays for so long after its end; then it is ignored until it is out of sight."""
FORGET_S = 1.15
LEVEL = 1000.0
LOUDER_DB = -5.0, 5.0
"""How the words of one strip differ in level."""
OVER_SPEECH = 0.35
ABOVE_SPEECH_DB = 4.0, 18.0
NOISY = 0.8
ABOVE_NOISE_DB = 3.0, 25.0
"""How far words lie above what is behind them."""
EASIER_DB = 12.0
"""So much further at strength 0."""
STRETCH = 0.15
"""By so much words are played faster or slower."""


@dataclass(frozen=True, slots=True)
class Word:
    """A recorded word: its audio, where in it the word lies, and which label it is."""

    audio: Pcm
    first: int
    last: int
    label: int
    isolated: bool = True


@dataclass(frozen=True, slots=True)
class Speech:
    """An utterance; `ours`: where in it our words are said, first and last samples."""

    audio: Pcm
    ours: tuple[tuple[int, int], ...] = ()


def find_word(audio: Pcm, label: str, vocabulary: Vocabulary = BUNDLED) -> Word:
    """Return the clip with its word located; the whole clip where it has no clear floor."""
    bounds = word_bounds(audio.astype(np.float32) / np.float32(32768), RATE) or (0, len(audio))
    return Word(audio, *bounds, vocabulary.index(label))


@dataclass(frozen=True, slots=True)
class Strip:
    """float32 [samples] fore- and background, int64 [hops] targets.

    Words have an RMS near LEVEL while they sound. source: the utterance whose hardness is noted,
    -1 for none.
    """

    words: NDArray[np.float32]
    background: NDArray[np.float32]
    targets: NDArray[np.int64]
    source: int = -1


@dataclass
class Composer:
    """Composes strips from decoded recordings.

    words: one list a label; speech: utterances; noise: recordings without words.
    over_speech: so many of the word strips have people talking behind the words. strength: of what
    is behind the words, 0 to 1.
    """

    words: list[list[Word]]
    speech: list[Speech]
    noise: list[Pcm]
    samples: int
    hop: int
    keep_s: float = KEEP_S
    vocabulary: Vocabulary = BUNDLED
    stretch: float = STRETCH
    over_speech: float = OVER_SPEECH
    strength: float = 1.0

    def __post_init__(self) -> None:
        self.free = [speech.audio for speech in self.speech if not speech.ours]

    def word_strip(self, rng: np.random.Generator) -> Strip:
        """Words, keywords and others, over silence, noise or speech."""
        words = np.zeros(self.samples, np.float32)
        background, base, above = self._background(rng)
        targets = np.full(self.samples // self.hop, base)
        at = int(rng.integers(0, RATE))
        for _ in range(WORDS):
            word = self._draw(rng)
            audio, first, last = _vary(word, rng, self.stretch)
            if at + last + self.hop > self.samples:
                break
            end = min(self.samples, at + len(audio))
            audio *= LEVEL * 10 ** (rng.uniform(*LOUDER_DB) / 20) / _rms(audio[first:last])
            words[at:end] += audio[: end - at]
            self._mark(targets, at + first, at + last, at + len(audio), label=word.label, base=base)
            at += len(audio) + int((0.2 + rng.exponential(0.4)) * RATE)
        return Strip(words, _under(background, above), targets)

    def speech_strip(self, utterance: int, rng: np.random.Generator) -> Strip:
        """Running speech, from one utterance on: background, but for our words in it."""
        words = np.zeros(self.samples, np.float32)
        targets = np.full(self.samples // self.hop, self.vocabulary.unknown)
        ends = (np.arange(len(targets)) + 1) * self.hop
        speech, at = self.speech[utterance], 0
        skipped = int(rng.integers(0, max(1, len(speech.audio) - self.samples)))
        while at < self.samples:
            pcm = speech.audio[skipped:]
            audio = _stretch(pcm.astype(np.float32), rng, self.stretch)
            ratio = len(audio) / len(pcm)
            for first, last in speech.ours:
                begin, end = (at + (place - skipped) * ratio for place in (first, last))
                targets[(ends > begin) & (ends <= end + FORGET_S * RATE)] = IGNORE
            audio = audio[: self.samples - at]
            words[at : at + len(audio)] = audio
            at += len(audio) + int(rng.exponential(0.2) * RATE)
            speech, skipped = self.speech[int(rng.integers(len(self.speech)))], 0
        words *= LEVEL / max(1e-3, float(np.sqrt(np.sort(words**2)[-self.samples // 2 :].mean())))
        return Strip(words, _under(self._noise(rng), self._above_noise(rng)), targets, utterance)

    def noise_strip(self, rng: np.random.Generator) -> Strip:
        """Nobody speaks; half of the time noise begins or ends at once, as recordings do."""
        targets = np.full(self.samples // self.hop, self.vocabulary.silence)
        noise = self._noise(rng)
        if rng.random() < 0.5:
            first, last = np.sort(rng.integers(self.samples, size=2))
            noise[:first] = 0
            noise[last:] = 0
        words = np.zeros(self.samples, np.float32)
        return Strip(words, _under(noise, self._above_noise(rng)), targets)

    def _draw(self, rng: np.random.Generator) -> Word:
        unknown = self.vocabulary.unknown
        label = unknown if rng.random() < 0.35 else int(rng.integers(unknown))
        return self.words[label][rng.integers(len(self.words[label]))]

    def _mark(
        self, targets: NDArray[np.int64], first: int, last: int, end: int, *, label: int, base: int
    ) -> None:
        """Write the targets of a word that sounds from `first` to `last`, its clip until `end`."""
        ends = (np.arange(len(targets)) + 1) * self.hop
        keep = last + min(0.9, max(self.keep_s, (end - last) / RATE + 0.15)) * RATE
        partly = first + PARTLY * (last - first)
        targets[(ends > first) & (ends <= partly)] = self.vocabulary.unknown
        targets[(ends > first) & (ends <= first + NOTHING_YET_S * RATE)] = IGNORE
        sure = last + SURE_S * RATE
        targets[(ends > partly) & (ends < sure)] = IGNORE
        targets[(ends >= sure) & (ends <= keep)] = label
        targets[(ends > keep) & (ends <= last + FORGET_S * RATE)] = IGNORE
        targets[ends > last + FORGET_S * RATE] = base

    def _background(self, rng: np.random.Generator) -> tuple[NDArray[np.float32], int, float]:
        """Return a background, the label of its hops, and how far words lie above it in dB."""
        if rng.random() < self.over_speech:
            return self._speech(rng), self.vocabulary.unknown, self._above(rng, ABOVE_SPEECH_DB)
        return self._noise(rng), self.vocabulary.silence, self._above_noise(rng)

    def _above_noise(self, rng: np.random.Generator) -> float:
        return self._above(rng, ABOVE_NOISE_DB) if rng.random() < NOISY else math.inf

    def _above(self, rng: np.random.Generator, db: tuple[float, float]) -> float:
        """Return how far words lie above what is behind them."""
        return float(rng.uniform(*db)) + (1 - self.strength) * EASIER_DB

    def _speech(self, rng: np.random.Generator) -> NDArray[np.float32]:
        audio = [self.free[i] for i in rng.integers(len(self.free), size=3)]
        joined = np.concatenate(audio)
        return _fill(joined, self.samples, rng)

    def _noise(self, rng: np.random.Generator) -> NDArray[np.float32]:
        return _fill(self.noise[rng.integers(len(self.noise))], self.samples, rng)


def _under(background: NDArray[np.float32], above: float) -> NDArray[np.float32]:
    """Bring a background so many dB under the words."""
    gain = np.float32(LEVEL * 10 ** (-above / 20) / _rms(background))
    under: NDArray[np.float32] = background * gain
    return under


def _rms(audio: NDArray[np.float32]) -> float:
    return max(1e-3, float(np.sqrt(np.mean(audio**2))))


def _fill(audio: Pcm, samples: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Cut `samples` at random from `audio`, repeated where it is shorter."""
    filled = np.roll(audio, -int(rng.integers(len(audio)))) if len(audio) < samples else audio
    if len(filled) < samples:
        filled = np.tile(filled, -(-samples // len(filled)))
    start = int(rng.integers(len(filled) - samples + 1))
    return filled[start : start + samples].astype(np.float32)


def _stretch(
    audio: NDArray[np.float32], rng: np.random.Generator, most: float = STRETCH
) -> NDArray[np.float32]:
    """Play faster or slower, pitch and all, by up to `most`, half of the time."""
    if rng.random() < 0.5:
        return audio
    count = round(len(audio) / rng.uniform(1 - most, 1 + most))
    return np.interp(np.linspace(0, len(audio) - 1, count), np.arange(len(audio)), audio).astype(
        np.float32
    )


def _vary(
    word: Word, rng: np.random.Generator, stretch: float
) -> tuple[NDArray[np.float32], int, int]:
    """Return audio, first and last sample: stretched, and often cut close to the word."""
    audio = _stretch(word.audio.astype(np.float32), rng, stretch)
    ratio = len(audio) / len(word.audio)
    first, last = round(word.first * ratio), round(word.last * ratio)
    if word.isolated and rng.random() < 0.5:
        margin = rng.integers(400, 3200, size=2)
        begin, end = max(0, first - margin[0]), min(len(audio), last + margin[1])
        audio, first, last = audio[begin:end].copy(), first - begin, last - begin
        fade = np.linspace(0, 1, 160, dtype=np.float32)
        audio[:160] *= fade
        audio[-160:] *= fade[::-1]
    return audio, first, max(last, first + 1)
