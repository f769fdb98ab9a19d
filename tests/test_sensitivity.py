"""Sensitivity: 0 to 100 becomes a threshold and back, along a card's operating points."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
