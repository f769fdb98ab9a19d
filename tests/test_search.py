"""Searching thresholds: peaks, their tail, and a budget of false alarms that is kept."""

import math

import numpy as np
import pytest

from kws.errors import DataError
from kws.evaluate import peaks, search
from kws.evaluate.match import Word

RNG = np.random.default_rng(3)


def probability(logits):
    return 1 / (1 + np.exp(-np.asarray(logits, np.float64)))


def test_peaks_lie_a_second_apart_and_the_highest_comes_first():
    """A hump is one false alarm, however many hops stand high."""
    ends = np.arange(1, 101) * 0.1
    score = np.zeros(100, np.float32)
    score[10:15] = [0.3, 0.8, 0.9, 0.7, 0.2]
    score[40] = 0.5
    score[44] = 0.4  # 0.4 s later: the same
    score[60] = 0.95

    assert [0.95, 0.9, 0.5] == pytest.approx(peaks.alarm_peaks(score, ends))


def test_a_words_peak_is_the_highest_score_that_could_match_it():
    """From its start to 0.75 s after its end."""
    ends = np.arange(1, 101) * 0.1
    score = np.zeros(100, np.float32)
    score[[5, 25, 40]] = [0.9, 0.6, 0.8]  # ends at 0.6, 2.6 and 4.1 s
    words = [Word("a", 2.0, 2.4), Word("b", 2.0, 2.4), Word("a", 2.9, 3.3), Word("a", 8.0, 8.2)]

    assert [0.6, 0.0, 0.0] == pytest.approx(peaks.word_peaks(score, ends, words, "a"))


def test_smoothing_begins_with_silence():
    """The mean over the last three hops; zeros before the first."""
    values = np.array([[0.3], [0.6], [0.9], [0.0]], np.float32)

    assert [0.1, 0.3, 0.6, 0.5] == pytest.approx(peaks.smoothed(values, 3)[:, 0])


def test_the_tail_tells_the_true_rate_of_rare_alarms():
    """Peaks with an exponential tail of known slope: what is expected is what is true."""
    true = [200 * np.exp(-(level + 1) / 0.8) for level in (2.0, 4.0)]
    drawn = [probability(RNG.exponential(0.8, 200) - 1) for _ in range(40)]
    found = [
        np.mean([search.expected_alarms(each, probability(level)) for each in drawn])
        for level in (2.0, 4.0)
    ]

    assert true == pytest.approx(found, rel=0.35)


@pytest.mark.parametrize("per_hour", [0.5, 1, 2])
def test_new_audio_of_the_same_kind_keeps_the_rate(per_hour):
    """Five keywords, two hours: thresholds hold on a hundred more within a factor of two."""
    names = "abcde"

    def alarms(hours):
        return {n: probability(RNG.exponential(1.0, 60 * hours) - 2) for n in names}

    said = {n: probability(RNG.normal(4, 1.5, 100)) for n in names}
    rates = []
    for _ in range(10):
        chosen = search.thresholds(said, alarms(2), hours=2, per_hour=per_hour)
        fresh = alarms(100)
        rates.append(sum((fresh[n] >= chosen[n]).sum() for n in names) / 100)

    assert per_hour / 2 <= np.mean(rates) <= 2 * per_hour


def test_the_price_of_a_false_alarm_is_the_same_for_all():
    """A keyword that is told apart easily leaves the alarms to the one that is not."""
    said = {
        "clear": probability(RNG.normal(8, 0.5, 100)),
        "hard": probability(RNG.normal(2, 1, 100)),
    }
    tail = {name: probability(RNG.exponential(1.0, 100) - 2) for name in said}

    chosen = search.thresholds(said, tail, hours=2, per_hour=1)

    assert chosen["hard"] < chosen["clear"]


def test_hours_that_cannot_support_a_rate_say_so():
    """Half an hour knows nothing of one false alarm an hour."""
    with pytest.raises(DataError, match=r"0.50 h .* can't support 1 false alarms .* ask for 2 "):
        search.thresholds({"a": np.ones(3)}, {"a": np.ones(1)}, hours=0.5, per_hour=1)


def test_a_keyword_that_was_never_said_has_no_threshold():
    """One line names it."""
    with pytest.raises(DataError, match="no recording says 'a'"):
        search.thresholds({"a": np.zeros(0)}, {"a": np.ones(1)}, hours=5, per_hour=1)


def test_equal_peaks_have_a_tail_too():
    """A tail without any width is a step."""
    expected = [search.expected_alarms(np.full(5, 0.5), level) for level in (0.3, 0.7)]

    assert [5, 0] == pytest.approx(expected, abs=0.01)


def test_one_threshold_for_all_keywords_stays_within_the_rate():
    """Counted where there are peaks enough; the lowest of the grid that does."""
    alarms = {name: probability(RNG.exponential(1.5, 200) - 1) for name in "abc"}
    every = np.concatenate([*alarms.values()])
    level = search.shared_threshold(alarms, hours=10, per_hour=5)

    assert 40 <= int((every >= level).sum()) <= 50
    assert level < search.shared_threshold(alarms, hours=10, per_hour=1)
    with pytest.raises(DataError, match="can't support"):
        search.shared_threshold(alarms, hours=0.5, per_hour=1)


def test_a_trade_names_both_thresholds_and_what_lies_between():
    """A tenth of a false alarm an hour more, and how many fewer are missed in noise."""
    noisy = {"a": probability(np.linspace(-1, 7, 801))}
    alarms = {"a": probability(RNG.exponential(1.0, 400) - 2)}
    trade = search.trades(noisy, alarms, {"a": 0.982}, hours=20)["a"]
    rates = [search.expected_alarms(alarms["a"], t) / 20 for t in (trade.threshold, trade.lower)]

    assert trade.missed == pytest.approx(5 / 8, abs=0.02)
    assert trade.per_hour == pytest.approx(rates[0], abs=0.02)
    assert 0.05 < rates[1] - rates[0] <= search.LAST_TENTH + 0.01
    assert trade.costs == pytest.approx(
        (4 - math.log(trade.lower / (1 - trade.lower))) / 8, abs=0.02
    )
