"""Sensitivity: 0 to 100 becomes a threshold and back, along a card's operating points."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from models import card, noise, tone

import kws
from kws.card import OperatingPoint, Rate
from kws.errors import ConfigError
from kws.sensitivity import (
    GENTLEST,
    MOST_ODDS,
    SHIPPED,
    STEEPEST,
    logit,
    measured_range,
    sigmoid,
    to_sensitivity,
    to_threshold,
)
from kws.thresholds import Settings

THRESHOLDS = st.floats(0, 1)
SENSITIVITIES = st.floats(0, 100)
POINTS = st.lists(st.tuples(st.floats(0.01, 100), THRESHOLDS), max_size=6)
WITHIN = st.floats(-6, 6).map(sigmoid)
"""Thresholds from which 100 sensitivities don't reach the ends of float32 at any slope."""
YES = [(0.5, 0.9991), (1.0, 0.9989), (2.0, 0.9959), (4.0, 0.9918)]


@given(THRESHOLDS, POINTS)
def test_fifty_is_what_ships(shipped, points):
    """To the last bit, whatever the operating points are."""
    assert to_threshold(shipped, 50, points) == shipped
    assert to_sensitivity(shipped, shipped, points) == SHIPPED


@given(THRESHOLDS, POINTS, SENSITIVITIES, SENSITIVITIES)
def test_more_sensitive_is_never_stricter(shipped, points, one, other):
    low, high = sorted([one, other])

    assert 1 >= to_threshold(shipped, low, points) >= to_threshold(shipped, high, points) >= 0


@given(WITHIN, st.lists(st.tuples(st.floats(0.05, 20), WITHIN), max_size=6), st.integers(0, 99))
def test_every_point_changes_something(shipped, points, sensitivity):
    """No stretch of the scale is dead, even where all operating points are the same."""
    now, next_ = (to_threshold(shipped, each, points) for each in (sensitivity, sensitivity + 1))

    assert next_ < now or abs(logit(now)) > MOST_ODDS - 0.1


@given(WITHIN, st.lists(st.tuples(st.floats(0.05, 20), WITHIN), max_size=6), SENSITIVITIES)
def test_the_way_back_leads_to_the_same_sensitivity(shipped, points, sensitivity):
    """Unless the threshold has reached the ends of what float32 can tell.

    Compared as thresholds: a curve may fall off so steeply that a sensitivity's last bit counts.
    """
    threshold = to_threshold(shipped, sensitivity, points)
    again = to_threshold(shipped, to_sensitivity(shipped, threshold, points), points)

    if abs(logit(threshold)) < MOST_ODDS - 1e-3:
        assert again == pytest.approx(threshold, abs=1e-6)


@given(WITHIN, SENSITIVITIES)
def test_so_it_does_where_no_curve_is_steep(shipped, sensitivity):
    points = [(1.0, shipped), (2.0, sigmoid(logit(shipped) - 1))]

    for known in (points, []):
        threshold = to_threshold(shipped, sensitivity, known)
        if abs(logit(threshold)) < MOST_ODDS - 1e-3:
            assert to_sensitivity(shipped, threshold, known) == pytest.approx(sensitivity, abs=1e-3)


@given(THRESHOLDS, THRESHOLDS, POINTS)
def test_any_threshold_has_a_sensitivity(shipped, threshold, points):
    found = to_sensitivity(shipped, threshold, points)

    assert 0 <= found <= 100
    assert (found < SHIPPED) <= (threshold > shipped)
    assert (found > SHIPPED) <= (threshold < shipped)


@given(SENSITIVITIES, WITHIN)
def test_without_operating_points_it_moves_at_a_fixed_step(sensitivity, shipped):
    """25 points are a factor of 4 in the odds."""
    step = (sensitivity - 50) / 25 * math.log(4)

    assert logit(to_threshold(shipped, sensitivity)) == pytest.approx(logit(shipped) - step)


@pytest.mark.parametrize(("rate", "threshold"), YES)
def test_operating_points_are_met(rate, threshold):
    """What ships is one in an hour; 25 points are four times as many, or a quarter."""
    sensitivity = 50 + 25 * math.log(rate) / math.log(4)

    assert to_threshold(0.9989, sensitivity, YES) == pytest.approx(threshold, rel=1e-9)
    assert to_sensitivity(0.9989, threshold, YES) == pytest.approx(sensitivity)


def test_between_operating_points_log_odds_are_interpolated():
    half_way = 50 + 25 / 4  # a factor of the square root of 2

    assert logit(to_threshold(0.9989, half_way, YES)) == pytest.approx(
        (logit(0.9989) + logit(0.9959)) / 2
    )


@pytest.mark.parametrize("points", [YES, YES[::-1], [*YES, (8.0, 0.9918), (8.0, 0.9999)]])
def test_order_and_rates_at_which_nothing_was_gained_do_not_matter(points):
    assert [to_threshold(0.9989, each, points) for each in (0, 30, 70, 100)] == [
        to_threshold(0.9989, each, YES) for each in (0, 30, 70, 100)
    ]


@pytest.mark.parametrize(
    ("last", "slope"), [(0.2, STEEPEST), (0.9958, GENTLEST), (sigmoid(logit(0.9959) - 0.7), 1.01)]
)
def test_beyond_them_the_slope_goes_on_within_bounds(last, slope):
    """A single false alarm may have set the last threshold: it says little of what comes after."""
    points = [(1.0, 0.9989), (2.0, 0.9959), (4.0, last)]
    fall = logit(last) - logit(to_threshold(0.9989, 100, points))

    assert fall / math.log(4) == pytest.approx(slope, rel=0.01)


def test_which_sensitivities_were_measured_is_known():
    assert measured_range(0.9989, YES) == pytest.approx((37.5, 75))
    assert measured_range(0.9999, [(0.35, 0.9999), (1.0, 0.9999)]) == (50, 50)
    assert measured_range(0.5, []) is None


# -- in a spotter ----------------------------------------------------------------------------

RATE = Rate(1.0, 3, 3.0, 0.2, 2.9)
MEASURED = [
    OperatingPoint(1.0, "keyword", {"yes": 0.6, "no": 0.6}, RATE),
    OperatingPoint(4.0, "keyword", {"yes": 0.3, "no": 0.5}, RATE),
]
CARD = card(operating_points=MEASURED)


def levels(what=CARD, **options):
    """Thresholds of a spotter with such options, as far as they are not those of the card."""
    found = Settings([what], **options).levels
    return {name: pytest.approx(level) for name, level in found.items() if level != 0.6}


def test_a_sensitivity_picks_each_keyword_s_threshold_from_the_card():
    assert levels(sensitivity=50) == {}
    assert levels(sensitivity=75) == {"yes": 0.3, "no": 0.5, "jarvis": fixed(0.6, 75)}
    assert levels(sensitivity={"yes": 75, "jarvis": 25}) == {"yes": 0.3, "jarvis": fixed(0.6, 25)}


def fixed(shipped, sensitivity):
    """Without operating points: 25 points are a factor of 4 in the odds."""
    odds = shipped / (1 - shipped) * 4 ** ((50 - sensitivity) / 25)
    return odds / (1 + odds)


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (
            {"threshold": {"yes": 0.9}, "sensitivity": {"yes": 50, "no": 75}},
            {"yes": 0.9, "no": 0.5},
        ),
        ({"threshold": {"yes": 0.6}, "sensitivity": {"yes": 75}}, {"yes": 0.3}),
        ({"threshold": {"yes": 0.3}, "sensitivity": {"yes": 75.04}}, {"yes": 0.3}),
        ({"threshold": 0.9, "sensitivity": {"no": 75}}, {"yes": 0.9, "no": 0.5, "jarvis": 0.9}),
        ({"threshold": {"jarvis": 0.9}, "sensitivity": 75}, {"yes": 0.3, "no": 0.5, "jarvis": 0.9}),
        ({"false_alarms": {"yes": 4, "no": 4}, "sensitivity": {"yes": 50}}, {"no": 0.5}),
        ({"false_alarms": {"yes": 4}}, {"yes": 0.3}),
    ],
)
def test_what_names_a_keyword_wins_and_of_two_levels_what_differs_from_the_card(options, found):
    assert levels(**options) == found


def test_a_later_place_wins_whatever_it_says(tmp_path):
    """The card, the override file, false alarms, the user: thresholds and sensitivities alike."""
    file = tmp_path / "o.json"
    file.write_text('{"thresholds": {"yes": 0.9}, "sensitivity": {"no": 75, "yes": 50}}')

    assert levels(overrides=file) == {"yes": 0.9, "no": 0.5}
    assert levels(overrides=file, sensitivity={"yes": 75}) == {"yes": 0.3, "no": 0.5}
    assert levels(overrides=file, threshold={"no": 0.7}) == {"yes": 0.9, "no": 0.7}
    assert levels(overrides=file, false_alarms={"yes": 4}) == {"yes": 0.3, "no": 0.5}


@pytest.mark.parametrize("wake", [None, "jarvis"])
def test_what_a_service_answers_does_for_an_override_file(tmp_path, wake):
    """It has a threshold and a sensitivity for each word: the one that somebody changed holds."""
    found = Settings([CARD], wake=wake)
    said = {"thresholds": found.levels, "sensitivity": {**found.sensitivities, "yes": 75}}
    said["thresholds"]["no"] = 0.9
    (tmp_path / "o.json").write_text(json.dumps(said))

    assert levels(overrides=tmp_path / "o.json", wake=wake) == {"yes": 0.3, "no": 0.9}


@pytest.mark.parametrize("armed", [None, "no"])
def test_a_file_that_contradicts_itself_is_refused(tmp_path, armed):
    """Also where the word isn't armed yet: it may be at any moment."""
    (tmp_path / "o.json").write_text('{"thresholds": {"yes": 0.9}, "sensitivity": {"yes": 75}}')
    with pytest.raises(ConfigError) as refused:
        Settings([CARD], keywords=armed, overrides=tmp_path / "o.json")

    assert str(refused.value) == (
        f"{tmp_path}/o.json: yes: the threshold 0.9 and the sensitivity 75 contradict each other; "
        "give one of them"
    )


@pytest.mark.parametrize(
    "text", ['{"sensitivity": {"yes": 100.5}}', '{"sensitivity": 70}', '{"sensitivities": {}}']
)
def test_an_override_file_that_makes_no_sense_is_refused(text, tmp_path):
    (tmp_path / "o.json").write_text(text)
    with pytest.raises(ConfigError, match=r"o\.json"):
        Settings([CARD], overrides=tmp_path / "o.json")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"sensitivity": 101}, "sensitivity yes=101 lies outside 0..100"),
        ({"sensitivity": {"no": float("nan")}}, "sensitivity no=nan lies outside"),
        ({"sensitivity": {"nö": 50}}, "did you mean no"),
        ({"sensitivity": 70, "false_alarms": 1}, "not both"),
        ({"sensitivity": 70, "threshold": 0.9}, "not both"),
        ({"sensitivity": {"no": 75}, "threshold": {"no": 0.9}}, "no: .* contradict each other"),
    ],
)
def test_sensitivities_that_make_no_sense(options, told):
    with pytest.raises(ConfigError, match=told):
        Settings([CARD], **options)


def test_it_changes_live_and_stays_as_keywords_come_and_go(models):
    spotter = kws.Spotter(models["stream"])
    word = np.concatenate([noise(0.5), tone("yes", 0.3, amplitude=0.155), noise(0.5)])
    assert spotter.push(word) == []
    spotter.set_sensitivity({"yes": 100})
    assert [each.keyword for each in spotter.push(word)] == ["yes"]
    assert spotter.sensitivities == {"yes": pytest.approx(100), "no": 50, "jarvis": 50}
    spotter.set_threshold({"yes": 0.9})
    assert spotter.thresholds["yes"] == 0.9
    spotter.set_sensitivity(25)
    spotter.set_keywords("no")
    with pytest.raises(ConfigError, match="did you mean"):
        spotter.set_sensitivity({"noo": 30})
    spotter.set_keywords(None)

    assert spotter.sensitivities == dict.fromkeys(["yes", "no", "jarvis"], pytest.approx(25))
