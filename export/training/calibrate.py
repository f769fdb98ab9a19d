"""Thresholds from the calibration split, through the live chain."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import kws
from export.training import recordings
from export.training.recordings import RATE
from kws.card import OperatingPoint, Rate
from kws.evaluate.intervals import poisson
from kws.evaluate.match import TOLERANCE_S, Word
from kws.evaluate.simulate import clean
from kws.flow import Block, Samples, Scores

GRID = 1 / (1 + np.exp(-np.arange(-1.5, 7.01, 0.1)))
"""Thresholds that are tried: 0.18 to 0.999, evenly spaced in log-odds."""
APART_S = 1.0
"""Peaks closer than this are one false alarm."""


@dataclass(frozen=True)
class Track:
    """Scores of a stream, hop by hop: values [hops, labels], ends [hops] in seconds."""

    values: NDArray[np.float32]
    ends: NDArray[np.float64]

    @property
    def hours(self) -> float:
        """Length of the stream."""
        return float(self.ends[-1]) / 3600

    def smoothed(self, hops: int) -> NDArray[np.float32]:
        """Return the mean over the last `hops` hops, silence before the first."""
        padded = np.concatenate([np.zeros_like(self.values[: hops - 1]), self.values])
        windows = np.lib.stride_tricks.sliding_window_view(padded, hops, 0)
        mean: NDArray[np.float32] = windows.mean(2, dtype=np.float32)
        return mean


def float_audio(pcm: recordings.Pcm) -> Samples:
    """Return int16 as float32 in [-1, 1)."""
    audio: Samples = pcm.astype(np.float32) / np.float32(32768)
    return audio


def track(model: kws.Model, audio: Iterable[Samples]) -> Track:
    """Score pieces of one stream with the gate open."""
    spotter = kws.Spotter(model, gate="none")
    found, at = [], 0
    for piece in audio:
        events = spotter.process(Block(piece, at, RATE))
        found += [(e.values, e.end / RATE) for e in events if isinstance(e, Scores)]
        at += len(piece)
    values, ends = zip(*found, strict=True)
    return Track(np.stack(values), np.array(ends))


def word_stream(split: str) -> tuple[list[Samples], list[Word]]:
    """Return the recipe `clean` over a split's isolated words, keywords and others."""
    clips = [c for kind in ("speech_commands", "wake") for c in recordings.table(kind, split)]
    order = np.random.default_rng(1).permutation(len(clips))
    audio = recordings.load(clips)
    labelled = ((clips[i].label, float_audio(audio[i])) for i in order)
    pieces, words = zip(*clean(labelled, RATE), strict=True)
    return list(pieces), list(words)


def speech_stream(split: str) -> list[Samples]:
    """Return a split's keyword-free utterances, one after another."""
    return [float_audio(pcm) for pcm in recordings.load(recordings.keyword_free(split))]


def operating_points(
    words: Track,
    truth: Sequence[Word],
    speech: Track,
    labels: Sequence[str],
    roles: dict[str, list[str]],
    *,
    rates: Sequence[float],
    smoothing: int,
) -> list[OperatingPoint]:
    """Find thresholds for each role and rate: as few misses as the false alarms allow.

    Each keyword's misses and false alarms are tabled over thresholds; then one price of a
    false alarm is sought at which, each keyword choosing its cheapest threshold, the role's
    false alarms together stay within the rate; what that leaves of the rate is spent where it
    saves most. Rates below one in the hours heard are left out.
    """
    said, heard = words.smoothed(smoothing), speech.smoothed(smoothing)
    tables = {
        name: (
            _misses(said[:, labels.index(name)], words.ends, truth, name),
            _false_alarms(heard[:, labels.index(name)], speech.ends),
        )
        for names in roles.values()
        for name in names
    }
    points = []
    for role, names in roles.items():
        for rate in rates:
            budget = int(rate * speech.hours)
            if budget < 1:
                continue
            chosen = _cheapest({name: tables[name] for name in names}, budget)
            events = sum(int(tables[name][1][i]) for name, i in chosen.items())
            misses = sum(tables[name][0][i] for name, i in chosen.items())
            count = sum(word.label in names for word in truth)
            points.append(
                OperatingPoint(
                    false_alarms_per_hour=rate,
                    role="wake" if role == "wake" else "keyword",
                    thresholds={n: round(float(GRID[i]), 3) for n, i in chosen.items()},
                    measured=measured(events, speech.hours),
                    miss_rate=round(float(misses) / count, 4),
                )
            )
    return points


def measured(events: int, hours: float) -> Rate:
    """Return a rate of false alarms with its 95 % interval."""
    low, high = (bound / hours for bound in poisson(events))
    return Rate(round(events / hours, 3), events, round(hours, 3), round(low, 3), round(high, 3))


def _misses(
    scores: NDArray[np.float32], ends: NDArray[np.float64], truth: Sequence[Word], name: str
) -> NDArray[np.int64]:
    """Return at each threshold how many words stay under it."""
    peaks = np.array(
        [
            scores[(ends >= word.start_s) & (ends <= word.end_s + TOLERANCE_S)].max(initial=0)
            for word in truth
            if word.label == name
        ]
    )
    missed: NDArray[np.int64] = (peaks[None] < GRID[:, None]).sum(1)
    return missed


def _false_alarms(scores: NDArray[np.float32], ends: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return at each threshold how many separate peaks pass it."""
    peaks = []
    left = scores.copy()
    while (top := int(left.argmax())) >= 0 and left[top] >= GRID[0]:
        peaks.append(left[top])
        left[np.abs(ends - ends[top]) < APART_S] = 0
    alarms: NDArray[np.int64] = (np.array(peaks)[None] >= GRID[:, None]).sum(1)
    return alarms


def _cheapest(
    tables: dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]], budget: int
) -> dict[str, int]:
    """Return per keyword which threshold of GRID it takes at the lowest price within budget."""
    low, high = 1e-4, 1e4
    best = {name: len(GRID) - 1 for name in tables}
    for _ in range(60):
        price = float(np.sqrt(low * high))
        chosen = {
            name: int((misses + price * alarms).argmin())
            for name, (misses, alarms) in tables.items()
        }
        if sum(tables[name][1][i] for name, i in chosen.items()) <= budget:
            best, high = chosen, price
        else:
            low = price
    return _centred(tables, _spend(tables, best, budget))


def _centred(
    tables: dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]], chosen: dict[str, int]
) -> dict[str, int]:
    """Move each threshold to the middle of those that did as well: as far from both errors."""
    centred = {}
    for name, at in chosen.items():
        misses, alarms = tables[name]
        equal = np.flatnonzero((misses == misses[at]) & (alarms == alarms[at]))
        centred[name] = int(equal[len(equal) // 2])
    return centred


def _spend(
    tables: dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]],
    chosen: dict[str, int],
    budget: int,
) -> dict[str, int]:
    """Spend what one price for all leaves of the budget, where a false alarm saves most misses."""
    chosen = dict(chosen)
    while True:
        left = budget - sum(int(tables[name][1][i]) for name, i in chosen.items())
        offers = [
            (int(misses[at] - misses[i]) / max(1, int(alarms[i] - alarms[at])), name, i)
            for name, at in chosen.items()
            for misses, alarms in [tables[name]]
            for i in range(at)
            if alarms[i] - alarms[at] <= left and misses[i] < misses[at]
        ]
        if not offers:
            return chosen
        _, name, chosen_at = max(offers)
        chosen[name] = chosen_at
