"""Held out: thresholds found on background, and figures on what taught nothing and chose nothing.

All through the live chain.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

import kws
from export.training.calibrate import Track, float_audio, track
from export.training.recordings import RATE, Pcm
from kws.card import Rate, Threshold
from kws.evaluate import peaks, results, search
from kws.evaluate.match import Fired, Word, match
from kws.evaluate.results import Share
from kws.evaluate.simulation.simulate import clean
from kws.flow import Samples
from kws.sensitivity import logit

LOWEST = 0.35
"""A threshold is at least this: background that holds no near-miss says little below."""


def thresholds(
    model: kws.Model, background: Sequence[Pcm], per_hour: float
) -> dict[str, Threshold]:
    """Return each keyword's threshold: as low as the false alarms allow.

    Misses have no say: what the network learnt from, it hears too well. Where the background is
    too short for the rate, the fall of its highest peaks is extrapolated (see `search`); what was
    measured stands beside the threshold.
    """
    heard = track(model, map(float_audio, background))
    found = {label.name: alarms(model, heard, label.name) for label in model.card.keywords}
    chosen = spent(found, per_hour * heard.hours)
    events = {name: int((found[name] >= level).sum()) for name, level in chosen.items()}
    return {
        name: Threshold(level, results.rate(events[name], heard.hours))
        for name, level in chosen.items()
    }


def spent(found: Mapping[str, NDArray[np.float64]], budget: float) -> dict[str, float]:
    """Return thresholds at which so many false alarms are to be expected of all words together.

    found: each word's peaks where it was not said. A step up in log-odds is taken to cost every
    word alike: the lowest price of a false alarm is sought at which all stay within the budget.
    """
    levels = search.GRID[search.GRID >= LOWEST]
    cost = np.array([logit(float(level)) for level in levels])
    tables = {
        name: np.array([search.expected_alarms(peaks, float(level)) for level in levels])
        for name, peaks in found.items()
    }
    chosen = dict.fromkeys(tables, len(levels) - 1)
    for price in np.logspace(4, -4, 160):
        tried = {name: int((cost + price * table).argmin()) for name, table in tables.items()}
        if sum(float(tables[name][at]) for name, at in tried.items()) > budget:
            break
        chosen = tried
    return {name: round(float(levels[at]), 4) for name, at in chosen.items()}


def alarms(model: kws.Model, heard: Track, name: str) -> NDArray[np.float64]:
    """Return a keyword's separate peaks where it was not said, the highest first."""
    hops = round(model.card.decision.smoothing_s * RATE / model.card.hop)
    score = heard.score(model.labels.index(name), hops)
    return peaks.alarm_peaks(score, heard.ends)


def misses(model: kws.Model, words: Mapping[str, Sequence[Pcm]]) -> dict[str, Share]:
    """Return how many recordings of each word went unheard, one after another in a quiet room."""
    labelled = [(label, float_audio(audio)) for label, each in words.items() for audio in each]
    if not labelled:
        return {}
    order = np.random.default_rng(1).permutation(len(labelled))
    stream = list(clean((labelled[at] for at in order), RATE))
    said: list[Word] = [word for _, word in stream]
    fired = _events(model, (piece for piece, _ in stream))
    missed = Counter(word.label for word in match(fired, said).missed)
    return {label: results.share(missed[label], len(each)) for label, each in words.items() if each}


def false_alarms(model: kws.Model, background: Sequence[Pcm]) -> tuple[Rate, dict[str, int]]:
    """Return the events in background without the words: all together, and of each word."""
    fired = _events(model, map(float_audio, background))
    hours = sum(map(len, background)) / RATE / 3600
    counts = Counter(event.keyword for event in fired)
    return results.rate(len(fired), max(hours, 1e-6)), dict(counts)


def _events(model: kws.Model, pieces: Iterable[Samples]) -> list[Fired]:
    spotter = kws.Spotter(model)
    found = [event for piece in pieces for event in spotter.push(piece, sample_rate=RATE)]
    found += [event for event in spotter.finish() if isinstance(event, kws.Detection)]
    return [Fired(event.keyword, event.time_s) for event in found]
