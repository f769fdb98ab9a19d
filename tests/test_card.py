"""Card: what it says survives the file; what is wrong, newer or unknown is told in one line."""

import json

import pytest

from kws import card as cards
from kws.card import Card, Label
from kws.errors import CardError, ModelError

FULL = Card(
    version=1,
    kind="stream",
    family="test",
    sample_rate=16_000,
    window=16_000,
    hop=1280,
    labels=[Label("yes", "keyword", "yes", 0.4), Label("hey", "wake"), Label("_unknown_")],
    activation="softmax",
    producer="0.0",
    date="2026-01-01",
    thresholds={"yes": cards.Threshold(0.7, cards.Rate(0.4, 1, 2.5, 0.01, 2.2))},
    operating_points=[
        cards.OperatingPoint(0.5, "keyword", {"yes": 0.7}, cards.Rate(0.4, 1, 2.5, 0.01, 2.2), 0.1)
    ],
    self_test=cards.SelfTest(b"flac", [[0.1, 0.2, 0.7]]),
    gate_model=b"onnx",
    network=cards.Network("x", {"channels": 3, "dilations": [1, 2]}),
)


def test_all_that_a_card_says_survives_the_file():
    """Every part, the optional ones and bytes too, is read back as it was."""
    assert FULL == cards.decode(cards.encode(FULL), where="x.onnx")
    assert ["yes", "hey"] == [label.name for label in FULL.keywords]


def changed(**fields):
    return json.dumps({**json.loads(cards.encode(FULL)), **fields})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no json", "not readable"),
        (changed(version=2, new="field"), "has version 2, this kws reads 1; upgrade kws"),
        (changed(colour="red"), "colour"),
        (changed(hop=20_000), "hop is longer than window"),
        (changed(thresholds={"maybe": {"value": 0.5}}), "name no keyword: ['maybe']"),
        (changed(thresholds={"yes": {"value": 1.5}}), "outside 0..1"),
        (changed(after_wake={"maybe": {"value": 0.5}}), "name no keyword: ['maybe']"),
        (changed(after_wake={"yes": {"value": -1}}), "outside 0..1"),
        (changed(labels=[{"name": "a"}, {"name": "a"}]), "twice"),
        (changed(labels=[{"name": "a"}], thresholds={}), "softmax over one label is always 1"),
        (changed(sample_rate=0), "must be positive"),
        (changed(kind="other"), "other"),
    ],
)
def test_a_card_that_cannot_be_right_is_refused(text, said):
    """One line, that names the file and what is wrong; also a ModelError and a ValueError."""
    with pytest.raises(CardError) as raised:
        cards.decode(text, where="x.onnx")

    assert isinstance(raised.value, ModelError)
    assert isinstance(raised.value, ValueError)
    assert str(raised.value).startswith("x.onnx: ")
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
