"""Thresholds from the calibration split, through the live chain."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

import kws
from export.training import recordings
from export.training.recordings import RATE
from kws.card import OperatingPoint
from kws.evaluate import peaks, results, search
from kws.evaluate.match import Word
from kws.evaluate.simulation.simulate import clean
from kws.evaluate.simulation.standard import standard
from kws.flow import Block, Samples, Scores

SPEEDS = 0.93, 1.07
"""At these speeds, too, calibration speech is heard, pitch and all. What a few hours of speech hold
near a threshold is a handful of events; as other voices would say it there are three times as many
that the tail of the false alarms is fitted to. Rates are measured on the recordings alone."""


@dataclass(frozen=True)
class Track:
    """Scores of a stream, hop by hop: values [hops, labels], ends [hops] in seconds.

    varied: it was played at another speed than it was recorded.
    """

    values: NDArray[np.float32]
    ends: NDArray[np.float64]
    varied: bool = False

    @property
    def hours(self) -> float:
        """Length of the stream."""
        return float(self.ends[-1]) / 3600

    def score(self, column: int, smoothing: int) -> NDArray[np.float32]:
        """Return one label's score [hops], the mean over so many hops."""
        return peaks.smoothed(self.values[:, column : column + 1], smoothing)[:, 0]


def float_audio(pcm: recordings.Pcm) -> Samples:
    """Return int16 as float32 in [-1, 1)."""
    audio: Samples = pcm.astype(np.float32) / np.float32(32768)
    return audio


def track(model: kws.Model, audio: Iterable[Samples], verifier: kws.Model | None = None) -> Track:
    """Score pieces of one stream with the gate open.

    verifier: the second stage, if there is one; then the scores are those that are compared.
    """
    spotter = kws.Spotter(model, gate="none", verify=verifier or "none")
    found, at = [], 0
    for piece in audio:
        events = spotter.process(Block(piece, at, RATE))
        found += [
            (e.smoothed if verifier else e.values, e.end / RATE)
            for e in events
            if isinstance(e, Scores)
        ]
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


def noisy_stream(split: str) -> tuple[list[Samples], list[Word]]:
    """Return the recipe `standard` over a split's isolated words: rooms, 10 dB.

    Calibration has no rooms of its own: those of training serve.
    """
    clips = [c for kind in ("speech_commands", "wake") for c in recordings.table(kind, split)]
    order = np.random.default_rng(1).permutation(len(clips))
    audio = recordings.load(clips)
    labelled = ((clips[i].label, float_audio(audio[i])) for i in order)
    noise = [c for c in recordings.table("noise", split) if c.label == "noise"]
    rooms = [response.astype(np.float64) for response in recordings.rooms("train")]
    scenes = standard(
        labelled,
        RATE,
        speech=_endless([float_audio(a) for a in recordings.load(recordings.keyword_free(split))]),
        noise=_endless([float_audio(a) for a in recordings.load(noise)]),
        rooms=rooms,
    )
    pieces, words = zip(*scenes, strict=True)
    return list(pieces), list(words)


def _endless(audio: Sequence[Samples]) -> Callable[[int], Samples]:
    """Return a function that gives the next so many samples of recordings in random order."""

    def pieces() -> Iterator[Samples]:
        rng = np.random.default_rng(2)
        while True:
            for place in rng.permutation(len(audio)):
                yield audio[place]

    source, left = pieces(), np.zeros(0, np.float32)

    def take(count: int) -> Samples:
        nonlocal left
        while len(left) < count:
            left = np.concatenate([left, next(source)])
        taken, left = left[:count], left[count:]
        return taken

    return take


def speech_stream(split: str, *, untranscribed: bool = False, speed: float = 1.0) -> list[Samples]:
    """Return a split's keyword-free utterances, one after another.

    untranscribed: those without transcripts instead, which hold no wake word. speed: how fast they
    are played, pitch and all.
    """
    clips = (
        recordings.table("speech_untranscribed", split)
        if untranscribed
        else recordings.keyword_free(split)
    )
    audio = [float_audio(pcm) for pcm in recordings.load(clips)]
    return audio if speed == 1 else [soxr.resample(each, RATE * speed, RATE) for each in audio]


def calibration_tracks(
    model: kws.Model, verifier: kws.Model | None = None
) -> tuple[list[tuple[Track, Sequence[Word]]], dict[str, Sequence[Track]]]:
    """Return what thresholds are found on.

    First words in quiet and in rooms and noise, with their truth; then, by role, what holds none
    of its keywords.
    """
    streams = [word_stream("calibration"), noisy_stream("calibration")]
    words: list[tuple[Track, Sequence[Word]]] = [
        (track(model, pieces, verifier), truth) for pieces, truth in streams
    ]
    speech, more = (_speech_tracks(model, verifier, untranscribed=each) for each in (False, True))
    return words, {"keyword": speech, "wake": [*speech, *more]}


def _speech_tracks(
    model: kws.Model, verifier: kws.Model | None, *, untranscribed: bool
) -> list[Track]:
    """Return the tracks of calibration speech at each speed, none where there is no speech."""
    found = []
    for speed in (1.0, *SPEEDS):
        pieces = speech_stream("calibration", untranscribed=untranscribed, speed=speed)
        if pieces:
            found.append(replace(track(model, pieces, verifier), varied=speed != 1))
    return found


@dataclass(frozen=True)
class Peaks:
    """How high scores of a role's keywords rose, by keyword.

    said: where each was said; noisy: of that, what was said in noise; alarms: where none was, in
    so many hours; recorded: of those, the ones in speech at the speed it was recorded, in
    recorded_hours.
    """

    said: dict[str, NDArray[np.float64]]
    noisy: dict[str, NDArray[np.float64]]
    alarms: dict[str, NDArray[np.float64]]
    hours: float
    recorded: dict[str, NDArray[np.float64]]
    recorded_hours: float


def find_peaks(
    words: Sequence[tuple[Track, Sequence[Word]]],
    speech: Sequence[Track],
    labels: Sequence[str],
    names: Sequence[str],
    smoothing: int,
) -> Peaks:
    """Return the peaks of these keywords. words: streams, that in noise last; smoothing: hops."""
    said, alarms, recorded = {}, {}, {}
    for name in names:
        column = labels.index(name)
        said[name] = [
            peaks.word_peaks(track.score(column, smoothing), track.ends, truth, name)
            for track, truth in words
        ]
        rises = [peaks.alarm_peaks(track.score(column, smoothing), track.ends) for track in speech]
        alarms[name] = np.concatenate(rises)
        plain = [each for each, track in zip(rises, speech, strict=True) if not track.varied]
        recorded[name] = np.concatenate(plain)
    return Peaks(
        {name: np.concatenate(each) for name, each in said.items()},
        {name: each[-1] for name, each in said.items()},
        alarms,
        sum(track.hours for track in speech),
        recorded,
        sum(track.hours for track in speech if not track.varied),
    )


def operating_points(
    found: Mapping[str, Peaks], *, rates: Sequence[float]
) -> tuple[list[OperatingPoint], list[dict[str, Any]]]:
    """Find the threshold of each role's keywords at each rate.

    found: the peaks of each role. Rates below one in the hours recorded are left out. What is
    measured is told of the recordings that the thresholds were found on, at their own speed. What
    each threshold costs in noise stands in a table that is returned beside the points.
    """
    points, table = [], []
    for role, of in found.items():
        for rate in search.rates_in(of.recorded_hours, rates):
            level = search.shared_threshold(of.alarms, hours=of.hours, per_hour=rate)
            chosen = dict.fromkeys(of.said, level)
            events = sum(int((of.recorded[name] >= level).sum()) for name, level in chosen.items())
            misses = sum(int((of.said[name] < level).sum()) for name, level in chosen.items())
            points.append(
                OperatingPoint(
                    false_alarms_per_hour=rate,
                    role="wake" if role == "wake" else "keyword",
                    thresholds=chosen,
                    measured=results.rate(events, of.recorded_hours),
                    miss_rate=round(misses / sum(map(len, of.said.values())), 4),
                )
            )
            traded = search.trades(of.noisy, of.alarms, chosen, hours=of.hours)
            words = {name: asdict(trade) for name, trade in traded.items()}
            table.append({"role": role, "false_alarms_per_hour": rate, "keywords": words})
    return points, table
