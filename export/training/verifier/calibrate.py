"""Thresholds of the joined score, from the calibration split through both stages of the chain."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

import kws
from export.training import calibrate, recordings
from export.training.calibrate import Track, float_audio
from export.training.recordings import RATE
from export.training.ship import ROLES
from kws.card import OperatingPoint
from kws.evaluate import peaks, results, search
from kws.evaluate.match import Word
from kws.evaluate.simulation.standard import standard
from kws.flow import Block, Samples, Scores


def track(first: kws.Model, verifier: kws.Model, audio: Iterable[Samples]) -> Track:
    """Return the scores that are compared, over pieces of one stream, with the gate open."""
    spotter = kws.Spotter(first, verify=verifier, gate="none")
    found, at = [], 0
    for piece in audio:
        events = spotter.process(Block(piece, at, RATE))
        found += [(e.smoothed, e.end / RATE) for e in events if isinstance(e, Scores)]
        at += len(piece)
    values, ends = zip(*found, strict=True)
    return Track(np.stack(values), np.array(ends))


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


def operating_points(
    first: kws.Model, verifier: kws.Model, settings: dict[str, Any]
) -> list[OperatingPoint]:
    """Find thresholds for each role and rate, on words in quiet and in noise alike.

    As few misses as the false alarms allow; but no keyword pays for its last tenth of a false alarm
    with more than three points of misses (see `flattened`).
    """
    streams = [calibrate.word_stream("calibration"), noisy_stream("calibration")]
    words = [(track(first, verifier, pieces), truth) for pieces, truth in streams]
    speech = [track(first, verifier, calibrate.speech_stream("calibration"))]
    more = calibrate.speech_stream("calibration", untranscribed=True)
    heard = {"keyword": speech, "wake": [*speech, track(first, verifier, more)]}
    points = []
    for role, names in ROLES.items():
        said = {name: _word_peaks(words, verifier.labels, name) for name in names}
        alarms = {name: _alarm_peaks(heard[role], verifier.labels, name) for name in names}
        hours = sum(one.hours for one in heard[role])
        for rate in search.rates_in(hours, settings["false_alarms"]):
            chosen = search.thresholds(said, alarms, hours=hours, per_hour=rate)
            events = sum(int((alarms[name] >= level).sum()) for name, level in chosen.items())
            misses = sum(int((said[name] < level).sum()) for name, level in chosen.items())
            points.append(
                OperatingPoint(
                    false_alarms_per_hour=rate,
                    role="wake" if role == "wake" else "keyword",
                    thresholds=chosen,
                    measured=results.rate(events, hours),
                    miss_rate=round(misses / sum(map(len, said.values())), 4),
                )
            )
    return points


def _word_peaks(
    words: Sequence[tuple[Track, Sequence[Word]]], labels: Sequence[str], name: str
) -> Any:
    column = labels.index(name)
    return np.concatenate(
        [peaks.word_peaks(one.score(column, 1), one.ends, truth, name) for one, truth in words]
    )


def _alarm_peaks(speech: Sequence[Track], labels: Sequence[str], name: str) -> Any:
    column = labels.index(name)
    return np.concatenate([peaks.alarm_peaks(one.score(column, 1), one.ends) for one in speech])
