"""Decision: one event an utterance, whatever the scores do and however it is set."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from models import card as make_card

from kws.card import Decision as Rules
from kws.card import Label
from kws.decide import Decision, Fired
from kws.flow import KeywordStuck, Scores
from kws.smoothing import Smoothing

RATE, HOP = 1_000, 50
HOP_S = HOP / RATE
NAMES = ["a", "b", "c"]


def a_card(roles=("keyword",) * 3, **rules):
    labels = [Label(name, role) for name, role in zip(NAMES, roles, strict=False)] + [Label("rest")]
    return make_card(
        sample_rate=RATE,
        hop=HOP,
        hops=10,
        labels=labels,
        thresholds={},
        decision=Rules(**{"refractory_s": 0.0, **rules}),
    )


def decision(what=None, thresholds=None, *, names=NAMES, wake=None, locate=None):
    what = what or a_card()
    roles = {label.name: label.role for label in what.keywords if label.name in names}
    roles |= {wake: "wake"} if wake else {}
    levels = dict.fromkeys(NAMES, 0.6) | (thresholds or {})
    return Smoothed([what], roles, levels, wake=wake is not None, locate=locate)


class Smoothed(Decision):
    """A decision over scores that are smoothed first, as in the chain."""

    def __init__(self, cards, *arguments, **options):
        self._smoothing = Smoothing(cards)
        super().__init__(cards, *arguments, **options)

    def reset(self):
        super().reset()
        self._smoothing.reset()

    def process(self, hops):
        return super().process(self._smoothing.process(hops))


def feed(stage, track, start=0):
    """Feed scores [hops, keywords]; return what fired."""
    out = []
    for number, values in enumerate(np.atleast_2d(np.asarray(track, np.float32))):
        at = start + number * HOP
        padded = np.zeros(4, np.float32)
        padded[: len(values)] = values
        out += stage.process([Scores(padded, at, at + HOP, RATE)])
    return out


def words(events):
    return [event.keyword for event in events if isinstance(event, Fired)]


def one(*values):
    """A track of the first keyword alone."""
    return np.array(values)[:, None]


# -- the property ----------------------------------------------------------------------------


@dataclass
class Case:
    rules: dict
    thresholds: list
    tracks: list

    @property
    def hops(self):
        return max(1, round(self.rules["smoothing_s"] / HOP_S))

    def passes(self, track):
        """Whether some smoothed score of a track reaches its threshold."""
        padded = np.concatenate([np.zeros((self.hops - 1, 3)), track])
        windows = np.lib.stride_tricks.sliding_window_view(padded, self.hops, axis=0)
        margin = (windows.mean(axis=-1) - self.thresholds).max()
        assume(abs(margin) > 1e-5)
        return bool(margin > 0)


@st.composite
def cases(draw):
    """Settings, and tracks whose dips under the re-arm levels are shorter than `release`."""
    rules = {
        "smoothing_s": draw(st.integers(0, 6)) * HOP_S,
        "release_s": draw(st.sampled_from([0.0, 0.06, 0.1, 0.2, 0.33, 0.8])),
        "refractory_s": draw(st.sampled_from([0.0, 0.1, 0.5, 1.3])),
        "stuck_s": draw(st.sampled_from([0.4, 1.0, 3.0])),
    }
    thresholds = np.array([draw(st.sampled_from([1 / 16, 0.25, 5 / 8, 15 / 16])) for _ in NAMES])
    longest = int(rules["stuck_s"] / HOP_S - 1e-9)
    levels = st.sampled_from([0.0, 0.3, 0.49, 0.5, 0.8, 1.0, 1.5, 3.0])
    tracks = []
    for _ in range(draw(st.integers(1, 3))):
        rows = draw(st.lists(st.tuples(levels, levels, levels), min_size=1, max_size=longest))
        track = np.minimum(np.array(rows) * thresholds, 1)
        dip = HOP_S
        for row in track:  # too long a dip would part the track in two
            low = (row < thresholds / 2).all()
            dip = dip + HOP_S if low else HOP_S
            if low and dip - HOP_S >= rules["release_s"] - 1e-9:
                row[0], dip = thresholds[0] / 2 + 1e-6, HOP_S
        if (track[-1] < thresholds / 2).all():
            track[-1, 0] = thresholds[0] / 2 + 1e-6
        tracks.append(track)
    return Case(rules, thresholds, tracks)


@settings(max_examples=300, deadline=None)
@given(case=cases())
def test_one_event_a_track(case):
    """The property: tracks far enough apart give one event each, if some keyword passes."""
    stage = decision(
        a_card(**case.rules), dict(zip(NAMES, map(float, case.thresholds), strict=True))
    )
    apart = case.rules["release_s"] + case.rules["refractory_s"] + case.rules["smoothing_s"]
    pause, at = int(apart / HOP_S + 1e-9) + 1, 0
    for track in case.tracks:
        events = feed(stage, np.concatenate([track, np.zeros((pause, 3))]), at)
        at += (len(track) + pause) * HOP

        assert int(case.passes(track)) == len(words(events))


@settings(max_examples=100, deadline=None)
@given(case=cases(), seed=st.integers(0, 99))
def test_one_event_a_track_that_a_verifier_has_judged(case, seed):
    """Whatever the raw scores do meanwhile: they place a word, and keep none from arming."""
    card = a_card(**case.rules | {"smoothing_s": 0.0})
    levels = dict(zip(NAMES, map(float, case.thresholds), strict=True))
    roles = dict.fromkeys(NAMES, "keyword")
    stage = Decision([card], roles, levels, candidates=dict.fromkeys(NAMES, 0.2), hold_s=0.3)
    raw = np.random.default_rng(seed)
    apart = case.rules["release_s"] + case.rules["refractory_s"]
    pause, at = int(apart / HOP_S + 1e-9) + 1, 0
    for track in case.tracks:
        found = []
        for row in np.concatenate([track, np.zeros((pause, 3))]):
            values, joined = np.zeros((2, 4), np.float32)
            values[:3], joined[:3] = raw.random(3), row
            found += stage.process([Scores(values, at, at + HOP, RATE, smoothed=joined)])
            at += HOP
        passes = (track.astype(np.float32) >= case.thresholds).any()

        assert int(passes) == len(words(found))


@settings(max_examples=50, deadline=None)
@given(case=cases())
def test_reset_is_as_good_as_new(case):
    stages = [
        decision(a_card(**case.rules), dict(zip(NAMES, map(float, case.thresholds), strict=True)))
        for _ in range(2)
    ]
    feed(stages[0], case.tracks[0])
    stages[0].reset()

    assert feed(stages[1], case.tracks[-1], 77) == feed(stages[0], case.tracks[-1], 77)


# -- smoothing, thresholds, roles ------------------------------------------------------------


def test_the_score_shown_is_the_score_compared():
    stage = decision(a_card(smoothing_s=3 * HOP_S))
    assert [] == feed(stage, one(1, 0.7))
    assert stage.scores["a"] == pytest.approx(1.7 / 3)  # silence came before
    (event,) = feed(stage, one(0.4), 2 * HOP)

    assert stage.scores["a"] == event.score == pytest.approx(0.7)
    assert (event.threshold, event.at) == (0.6, 3 * HOP)


def test_the_keyword_furthest_over_its_threshold_fires():
    stage = decision(thresholds={"a": 0.9, "b": 0.5})

    assert ["b"] == words(feed(stage, [[0.95, 0.7, 0.2]]))


def test_roles_do_not_hinder_each_other():
    stage = decision(a_card(roles=("keyword", "wake", "wake")))

    assert {"a", "b"} == set(words(feed(stage, [[0.9, 0.8, 0.7]])))


def test_keywords_switched_off_never_fire():
    stage = decision(names=["b"])

    assert ["b"] == words(feed(stage, [[0.99, 0.7, 0.9]]))
    assert ["b"] == list(stage.scores)


def test_what_is_armed_and_at_which_level_may_change_between_hops():
    stage = decision(names=["b"])
    assert [] == feed(stage, [[0.9, 0.5, 0]])
    stage.configure({"b": "keyword"}, {"b": 0.4})
    assert ["b"] == words(feed(stage, [[0.9, 0.5, 0]], HOP))
    feed(stage, np.zeros((4, 3)), 2 * HOP)
    stage.configure({"a": "keyword"}, {"a": 0.6})

    assert ["a"] == words(feed(stage, [[0.9, 0.5, 0]], 6 * HOP))


# -- arming again ----------------------------------------------------------------------------


@pytest.mark.parametrize(("hops", "fires"), [(3, False), (4, True)])
def test_a_role_arms_after_release(hops, fires):
    """0.2 s under the re-arm level, 0.3, is four hops."""
    track = one(0.9, *[0.29] * hops, 0.9)

    assert ["a"] * (1 + fires) == words(feed(decision(), track))


def test_a_score_over_the_re_arm_level_keeps_it_waiting():
    assert ["a"] == words(feed(decision(), one(0.9, *[0.31] * 8, 0.9)))


def test_smoothing_does_not_hide_that_a_word_goes_on():
    """The smoothed score stays low for 0.35 s, but the raw one keeps coming back."""
    stage = decision(a_card(smoothing_s=4 * HOP_S))
    track = one(*[0.9] * 4, *[0, 0, 0, 0.31] * 3, *[0.9] * 4)

    assert ["a"] == words(feed(stage, track))


def test_other_keywords_of_the_role_wait_too():
    track = [[0.9, 0, 0], *[[0, 0.4, 0]] * 8, [0, 0, 0.9]]

    assert ["a"] == words(feed(decision(), track))


@pytest.mark.parametrize(("hops", "fires"), [(9, False), (10, True)])
def test_refractory_is_audio_time_from_the_event(hops, fires):
    """The hop that makes 0.5 s full may fire again."""
    stage = decision(a_card(refractory_s=0.5, release_s=0.1))
    track = one(0.9, *[0] * (hops - 1), 0.9)

    assert ["a"] * (1 + fires) == words(feed(stage, track))


def test_a_stuck_keyword_does_not_deafen_its_role():
    stage = decision(a_card(stuck_s=1.0))
    events = feed(stage, one(*[0.9] * 60))
    assert [KeywordStuck("a", 21 * HOP_S)] == events[1:]
    assert ["b"] == words(feed(stage, [[0.9, 0.8, 0]], 60 * HOP))
    assert [] == feed(stage, [[0.9, 0.8, 0]] * 4, 61 * HOP)
    feed(stage, np.zeros((4, 3)), 65 * HOP)

    assert ["a"] == words(feed(stage, one(0.9), 69 * HOP))  # it fell, so it is armed


def test_a_jump_arms_and_empties_the_smoothing_but_refractory_runs_on():
    stage = decision(a_card(smoothing_s=2 * HOP_S, refractory_s=1.0))
    assert ["a"] == words(feed(stage, one(0.9, 0.9)))
    jump = 2 * HOP + 7
    assert [] == feed(stage, one(0.9), jump)
    assert stage.scores["a"] == pytest.approx(0.45)
    late = feed(stage, one(*[0.9] * 20), jump + HOP)

    assert ["a"] == words(late)
    assert late[0].at >= 2 * HOP + RATE > late[0].at - HOP


def test_after_a_jump_a_stuck_keyword_is_armed():
    stage = decision(a_card(stuck_s=0.5))
    feed(stage, one(*[0.9] * 20))

    assert ["a"] == words(feed(stage, one(0.9), 5_000))


def test_two_models_meet_a_jump_once():
    """The second model's first hop after a jump arms nothing again."""
    cards = [a_card(), make_card(**_second())]
    stage = Decision(cards, {"a": "keyword", "z": "keyword"}, {"a": 0.6, "z": 0.6})
    high, low = np.array([0.9, 0, 0, 0], np.float32), np.array([0.9, 0], np.float32)
    feed(stage, one(0.1, 0.1))
    stage.process([Scores(low * 0, 0, 100, RATE, 1)])
    first = stage.process([Scores(high, 500, 550, RATE, 0)])
    second = stage.process([Scores(high, 550, 600, RATE, 0), Scores(low, 500, 600, RATE, 1)])

    assert ["a"] == words(first + second)


def test_of_two_models_the_furthest_over_fires():
    stage = Decision(
        [a_card(), make_card(**_second())],
        {"a": "keyword", "z": "keyword"},
        {"a": 0.6, "z": 0.3},
    )
    a, z = np.array([0.8, 0, 0, 0], np.float32), np.array([0.6, 0], np.float32)

    assert ["z"] == words(stage.process([Scores(a, 0, 50, RATE, 0), Scores(z, 0, 50, RATE, 1)]))


def _second():
    return {
        "sample_rate": RATE,
        "hop": 2 * HOP,
        "hops": 5,
        "labels": [Label("z", "keyword"), Label("rest")],
        "thresholds": {},
        "decision": Rules(refractory_s=0.0),
    }


# -- wake words and places -------------------------------------------------------------------


def at_peak(keyword, peak, after):
    return max(after, peak - HOP), peak


def test_a_command_counts_in_the_window_after_the_wake_word():
    stage = decision(a_card(wake_window_s=1.0), wake="c", locate=at_peak)
    assert [] == feed(stage, [[0.9, 0, 0]] + [[0, 0, 0]] * 5)
    assert ["c"] == words(feed(stage, [[0, 0, 0.9]] + [[0, 0, 0]] * 9, 6 * HOP))
    assert ["a"] == words(feed(stage, [[0.9, 0, 0]] + [[0, 0, 0]] * 9, 16 * HOP))
    late = feed(stage, [[0, 0, 0]] * 2 + [[0, 0.9, 0]], 26 * HOP)

    assert [] == late


def test_wake_word_and_command_in_one_breath():
    """The command rises while the wake word still stands, and may be known in the same hop."""
    stage = decision(a_card(smoothing_s=2 * HOP_S), wake="c", locate=at_peak)
    track = [[0, 0, 0.9], [0.5, 0, 0.9], [0.9, 0, 0.6], [0.9, 0, 0]]

    assert ["c", "a"] == words(feed(stage, track))


def test_a_command_said_before_the_wake_word_does_not_count():
    stage = decision(wake="c", locate=at_peak)
    track = [[0.9, 0, 0], [0.8, 0, 0.5], [0.8, 0, 0.9], [0.7, 0, 0.9], [0, 0, 0]]

    assert ["c"] == words(feed(stage, track))


def test_a_stale_command_does_not_hide_a_new_one():
    stage = decision(wake="c", locate=at_peak)
    track = [[0.95, 0, 0], [0.9, 0, 0.9], [0.9, 0.7, 0]]

    assert ["c", "b"] == words(feed(stage, track))


def test_a_word_is_placed_by_the_hop_whose_raw_score_peaked():
    asked = []

    def locate(keyword, peak, after):
        asked.append((keyword, peak, after))
        return peak - 10, peak

    stage = decision(a_card(smoothing_s=3 * HOP_S), locate=locate)
    feed(stage, one(0.2, 0.95, 0.6, 0.5, 0, 0, 0, 0, 0, 0, 0, 0.9, 0.9, 0.9))

    assert ("a", 2 * HOP) == asked[0][:2]
    assert ("a", 12 * HOP, 2 * HOP) == asked[1]


@settings(max_examples=50, deadline=None)
@given(case=cases())
def test_events_of_one_role_never_overlap(case):
    stage = decision(
        a_card(**case.rules), dict(zip(NAMES, map(float, case.thresholds), strict=True))
    )
    events = [
        event for event in feed(stage, np.concatenate(case.tracks)) if isinstance(event, Fired)
    ]

    for before, after in pairwise(events):
        assert before.end <= after.start <= after.end
