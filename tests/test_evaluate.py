"""Measuring: truth, matching, intervals and protocols give what was worked out by hand."""

import numpy as np
import pytest
from scipy import stats

from kws.evaluate.intervals import poisson, wilson
from kws.evaluate.match import Fired, Word, match
from kws.evaluate.protocols import COMMANDS, SILENCE, UNKNOWN, v2_12
from kws.evaluate.simulation.simulate import FLOOR_DB, clean
from kws.evaluate.truth import word_bounds

RATE = 16_000
RNG = np.random.default_rng(7)


def beep(start: float, end: float, seconds: float = 1.0) -> np.ndarray:
    """A tone between two moments over a quiet floor."""
    clip = RNG.normal(0, 1e-4, round(seconds * RATE)).astype(np.float32)
    first, last = round(start * RATE), round(end * RATE)
    clip[first:last] += 0.3 * np.sin(np.arange(last - first) / 5).astype(np.float32)
    return clip


def test_the_word_lies_where_the_tone_is():
    """Bounds are 10 ms frames around what stands out."""
    assert word_bounds(beep(0.30, 0.72), RATE) == (4800, 11520)


@pytest.mark.parametrize("clip", [np.zeros(RATE, np.float32), np.zeros(10, np.float32)])
def test_silence_has_no_word(clip):
    """Nothing stands out of nothing."""
    assert word_bounds(clip, RATE) is None


def test_noise_throughout_has_no_floor():
    """A clip that is loud from end to end has no bounds of a word."""
    assert word_bounds(beep(0, 1), RATE) is None


def test_matching_ten_events_on_paper():
    """Hits, a duplicate, false alarms, misses and delays as counted by hand."""
    words = [
        Word("yes", 1.0, 1.4),
        Word("no", 3.0, 3.3),
        Word("yes", 5.0, 5.5, clear=False),
        Word("go", 7.0, 7.2),
        Word("stop", 9.0, 9.4),
    ]
    events = [
        Fired("yes", 1.5),  # hit, 0.1 s after
        Fired("yes", 2.1),  # duplicate: the word is taken, 0.7 s after its end
        Fired("no", 3.25),  # hit, 0.05 s before the end
        Fired("yes", 3.3),  # false alarm: another word was said
        Fired("yes", 6.25),  # hit at exactly end + 0.75 s, no delay: bounds unclear
        Fired("go", 7.96),  # false alarm: too late by 10 ms
        Fired("up", 8.0),  # false alarm
        Fired("stop", 8.99),  # false alarm: before the word
    ]

    result = match(events, words)

    assert {"yes": 2, "no": 1} == result.hits
    assert [Fired("yes", 2.1)] == result.duplicates
    assert ["yes", "go", "up", "stop"] == [e.keyword for e in result.false_alarms]
    assert ["go", "stop"] == [w.label for w in result.missed]
    assert [0.1, -0.05] == pytest.approx(result.delays)
    assert 0.4 == result.miss_rate


def test_intervals_are_the_textbooks():
    """Wilson and Garwood as scipy has them."""
    for hits, count in [(0, 10), (8, 300), (300, 300), (4827, 4890)]:
        wanted = stats.binomtest(hits, count).proportion_ci(method="wilson")
        assert (wanted.low, wanted.high) == pytest.approx(wilson(hits, count), abs=1e-6)
    for events in (0, 1, 5, 40):
        low = stats.chi2.ppf(0.025, 2 * events) / 2 if events else 0.0
        assert (low, stats.chi2.ppf(0.975, 2 * events + 2) / 2) == pytest.approx(poisson(events))


def test_no_trials_say_nothing():
    """The interval of no trials is everything."""
    assert (0.0, 1.0) == wilson(0, 0)


def test_clean_streams_are_the_same_for_everybody_and_tell_the_truth():
    """Seeded; each clip once, its word where the truth says, never zeros."""
    clips = [("yes", beep(0.2, 0.6)), ("no", beep(0.4, 0.7))]
    first, again = (list(clean(clips, RATE)) for _ in range(2))
    audio = np.concatenate([piece for piece, _ in first])

    assert all(np.array_equal(a, b) for (a, _), (b, _) in zip(first, again, strict=True))
    assert ["yes", "no"] == [word.label for _, word in first]
    assert (audio != 0).all()
    for (_, word), (_, clip) in zip(first, clips, strict=True):
        said = audio[round(word.start_s * RATE) : round(word.end_s * RATE)]
        assert np.sqrt(np.mean(said**2)) > 0.1
        assert len(said) == pytest.approx(np.count_nonzero(np.abs(clip) > 0.01), abs=0.03 * RATE)
    gap = audio[: round((first[0][1].start_s - 0.2) * RATE)]
    assert len(gap) >= 0.8 * RATE
    assert 20 * np.log10(np.std(gap)) == pytest.approx(FLOOR_DB, abs=0.5)


def test_v2_12_draws_unknown_in_rounds_and_silence_at_its_levels():
    """As many unknown and silence as the mean word; every other word before any a second time."""
    words = {word: [beep(0.2, 0.5)] * 4 for word in COMMANDS}
    words |= {"cat": [beep(0.1, 0.2)] * 9, "dog": [beep(0.3, 0.9)] * 1, "bed": [beep(0, 0.5)] * 9}
    noise = [RNG.normal(0, 0.1, 5 * RATE).astype(np.float32)]

    found = v2_12(words, noise, rate=RATE)
    labels = [label for label, _ in found]
    silence = [clip for label, clip in found if label == SILENCE]
    levels = [20 * np.log10(np.sqrt(np.mean(clip**2))) for clip in silence]

    assert (4, 4) == (labels.count(UNKNOWN), labels.count(SILENCE))
    unknown = {clip.tobytes() for label, clip in found if label == UNKNOWN}
    assert {words[w][0].tobytes() for w in ("cat", "dog", "bed")} == unknown
    assert all(-60.1 <= level <= -24.9 for level in levels)
