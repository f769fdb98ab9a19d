"""The recipe `standard`: each word in a room, over speech or noise, without a break."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kws.errors import DataError
from kws.evaluate.match import Word
from kws.evaluate.truth import FRAME_S, word_bounds
from kws.flow import Samples

GAP_S, MEAN_GAP_S = 0.8, 1.2
FLOOR_DB = -70.0
"""Level of the noise everywhere: real microphones never deliver zeros."""
SNR_DB = 10.0
PEAK = 0.97
"""A word whose mixture passes this is made quieter, with its background."""
MARGIN_DB = 15.9
"""Frames so far under the active level are pauses (ITU-T P.56)."""
QUIETEST_DB, TRIES = -70.0, 40
"""Background under this is not heard: the next stretch is tried, so many times."""

Exact = NDArray[np.float64]
Background = Callable[[int], Samples]
"""Gives the next so many samples: float32 [n]."""


def gaps(rng: np.random.Generator, rate: int) -> Iterator[int]:
    """Yield gaps between words, in samples: 0.8 s plus an exponential with mean 1.2 s."""
    while True:
        yield round((GAP_S + rng.exponential(MEAN_GAP_S)) * rate)


def standard(
    clips: Iterable[tuple[str, Samples]],
    rate: int,
    *,
    speech: Background,
    noise: Background,
    rooms: Sequence[Exact],
    snr_db: float = SNR_DB,
    seed: int = 1,
    told: Callable[[str], None] | None = None,
) -> Iterator[tuple[Samples, Word]]:
    """Yield the recipe piece by piece: each clip with the gap before it, and its truth.

    clips: label and float32 [n] at `rate` Hz. rooms: impulse responses, float64 [n], that begin
    with their direct sound: the truth, measured on the clean clip, holds. told: called with one
    line about words that had to be made quieter.

    One of every two clips is over speech, the other over noise. Each is convolved with one
    room's response; so is speech behind it, for who speaks is in the room too (Ko et al., "A
    study on data augmentation of reverberant speech", 2017). Noise is left as it is: it was
    recorded where it sounds. Levels are taken after the room: the word's between its bounds, the
    background's active level over the stretch, so that its pauses do not count. A background
    lasts from one clip's end to the start of the next but one, and is crossfaded with its
    neighbours over the gaps. After the last clip comes a gap.
    Raises DataError: the background is silent.
    """
    rng = np.random.default_rng(seed)
    lengths, over = gaps(rng, rate), _in_pairs(rng, (speech, noise))
    overlap, at, before = np.zeros(0), 0, next(lengths)
    count, lowered = 0, list[float]()
    for (label, clip), last in _with_last(clips):
        after = next(lengths)
        room = rooms[int(rng.integers(len(rooms)))]
        take = next(over)
        scene = _Scene(clip, before, after, first=not count, last=last)
        mixed, gain = scene.mixed(take, room if take is speech else None, room, snr_db, rate)
        length = before + len(clip) + (after if last else 0)
        whole = np.zeros(max(len(mixed), len(overlap), length))
        whole[: len(mixed)] += mixed
        whole[: len(overlap)] += overlap
        overlap = whole[length:]
        piece = whole[:length] + rng.normal(0, 10 ** (FLOOR_DB / 20), length)
        yield piece.astype(np.float32), scene.truth(label, at, rate)
        at, before, count = at + length, after, count + 1
        lowered += [gain] if gain < 1 else []
    if lowered and told:
        most = -20 * np.log10(min(lowered))
        told(
            f"{len(lowered)} of {count} words were made quieter with their background, by "
            f"{most:.1f} dB at most, so that nothing clips"
        )


def active_level(audio: Exact, rate: int) -> float:
    """Return the RMS of audio, a frame at least, without its pauses, after ITU-T P.56.

    Pauses are the 10 ms frames more than 15.9 dB under the level that is returned.
    """
    frame = round(FRAME_S * rate)
    power = np.mean(audio[: len(audio) // frame * frame].reshape(-1, frame) ** 2, axis=1)
    level = 0.0
    while (found := float(power.mean())) > level:
        level = found
        power = power[power >= level * 10 ** (-MARGIN_DB / 10)]
    return float(np.sqrt(level))


@dataclass(frozen=True)
class _Scene:
    """A clip between two gaps, in samples; the first and the last in the stream are not faded."""

    clip: Samples
    before: int
    after: int
    first: bool
    last: bool

    def truth(self, label: str, at: int, rate: int) -> Word:
        bounds = word_bounds(self.clip, rate)
        start, end = bounds or (0, len(self.clip))
        begin = at + self.before
        return Word(label, (begin + start) / rate, (begin + end) / rate, bounds is not None)

    def mixed(
        self, take: Background, around: Exact | None, room: Exact, snr_db: float, rate: int
    ) -> tuple[Exact, float]:
        """Return clip and background, to the end of the clip's echo, and their common gain."""
        wet = convolved(self.clip.astype(np.float64), room)
        start, end = word_bounds(self.clip, rate) or (0, len(self.clip))
        # A silent clip has a background nevertheless.
        word = max(float(np.sqrt(np.mean(wet[start:end] ** 2))), 10 ** (QUIETEST_DB / 20))
        total = self.before + len(self.clip) + self.after
        background, level = _audible(take, total, around, rate)
        background *= word / level * 10 ** (-snr_db / 20)
        whole = np.zeros(max(total, self.before + len(wet)))
        whole[:total] = background * self._fades()
        whole[self.before : self.before + len(wet)] += wet
        if self.last:
            whole = whole[:total]
        gain = min(1.0, PEAK / max(float(np.abs(whole).max()), 1e-9))
        return whole * gain, gain

    def _fades(self) -> Exact:
        """Return the background's gain: two that cross have the same power together."""
        rising = np.sin(np.linspace(0, np.pi / 2, self.before)) ** (0 if self.first else 1)
        falling = np.cos(np.linspace(0, np.pi / 2, self.after)) ** (0 if self.last else 1)
        return np.concatenate([rising, np.ones(len(self.clip)), falling])


def convolved(audio: Exact, response: Exact) -> Exact:
    """Return audio as it sounds in a room: float64 [len(audio) + len(response) - 1]."""
    length = len(audio) + len(response) - 1
    size = 1 << (length - 1).bit_length()
    product = np.fft.rfft(audio, size) * np.fft.rfft(response, size)
    return np.fft.irfft(product, size)[:length]


def _audible(take: Background, count: int, room: Exact | None, rate: int) -> tuple[Exact, float]:
    """Return the next stretch of background that can be heard, and its active level."""
    for _ in range(TRIES):
        if room is None:
            stretch = take(count).astype(np.float64)
        else:
            # What was said before the stretch still echoes in it.
            more = len(room) - 1
            dry = take(count + more).astype(np.float64)
            stretch = convolved(dry, room)[more : more + count]
        level = active_level(stretch, rate)
        if level >= 10 ** (QUIETEST_DB / 20):
            return stretch, level
    raise DataError("the background is silence throughout; give other recordings")


def _in_pairs(
    rng: np.random.Generator, pair: tuple[Background, Background]
) -> Iterator[Background]:
    """Yield both of every pair in random order, so that each comes as often as the other."""
    while True:
        for which in rng.permutation(2):
            yield pair[which]


def _with_last(clips: Iterable[tuple[str, Samples]]) -> Iterator[tuple[tuple[str, Samples], bool]]:
    held: tuple[str, Samples] | None = None
    for clip in clips:
        if held is not None:
            yield held, False
        held = clip
    if held is not None:
        yield held, True
