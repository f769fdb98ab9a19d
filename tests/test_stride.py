"""Stride: a window model is called less often while nothing is said, and loses no word."""

from copy import copy
from itertools import pairwise

import models as tones
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from models import HOP, RATE, noise, tone

from kws.card import Stride, decode, encode, replace
from kws.classifiers import WindowClassifier, at_every_hop
from kws.errors import CardError
from kws.evaluate.replay import Replay
from kws.evaluate.tracks import score, silence, units
from kws.flow import Block, Detection, Scores
from kws.session import load
from kws.spotter import Spotter
from kws.stride import CallSchedule, strided
from kws.thresholds import Settings

SOUND = np.concatenate(
    [noise(0.7), tone("yes", 0.3), noise(1.3), tone("no", 0.3), noise(0.6), tone("yes", 0.2)]
)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """The window model of tones, called at every third hop until a tone begins."""
    path = tmp_path_factory.mktemp("stride") / "strided.onnx"
    return tones.write(path, tones.card("window", stride=Stride(3, 0.05)))


def scored(model, sound=SOUND, start=0):
    """A window model's scores [hops, labels] over a sound, and how often it was called."""
    stage = WindowClassifier(model)
    hops = stage.process(Block(sound, start, RATE))
    return np.stack([hop.values for hop in hops]), stage.inferences


def called(card, best, first=0):
    """At which of these hops the model is called, for the keywords' best score at each."""
    scores = np.zeros((len(best), len(card.labels)), np.float32)
    scores[:, 1], scores[:, 3] = best, 0.9  # the background's score means nothing
    return np.flatnonzero(strided(scores, card, first=first)[1]).tolist()


def test_every_second_hop_and_those_near_a_word():
    """The first one, then even numbers; after a high score two more, each of which prolongs it."""
    card = tones.card("window", stride=Stride(2, 0.5))
    low, high = 0.1, 0.5

    assert called(card, [low] * 8) == [0, 1, 3, 5, 7]
    assert called(card, [low, high, *[low] * 6]) == [0, 1, 2, 3, 5, 7]
    assert called(card, [low, low, high, *[low] * 5]) == [0, 1, 3, 5, 7]  # it was not looked at
    assert called(card, [*[low] * 3, high, high, high, *[low] * 4]) == [0, 1, 3, 4, 5, 6, 7, 9]
    assert called(card, [low] * 8, first=1) == [0, 2, 4, 6]
    third = replace(card, stride=Stride(3, 0.5))
    assert called(third, [low, low, high, *[low] * 6]) == [0, 2, 3, 4, 5, 8]
    assert called(replace(card, stride=Stride(1, 0.5)), [low] * 4) == [0, 1, 2, 3]
    assert called(replace(card, stride=None), [low] * 4) == [0, 1, 2, 3]


def test_between_calls_the_last_scores_stay(file):
    """So every hop has scores, no jump is seen, and smoothing is the mean over time."""
    model = load(file)
    dense, all_calls = scored(at_every_hop(model))
    found, calls = scored(model)
    wanted, due = strided(dense, model.card)

    assert np.array_equal(found, wanted)
    assert len(found) == len(dense) == all_calls
    assert calls == due.sum() < 0.6 * all_calls
    assert np.array_equal(found[due], dense[due])
    hops = [e for e in Spotter(model).process(Block(SOUND, 0, RATE)) if isinstance(e, Scores)]
    assert all(a.end == b.start for a, b in pairwise(hops))


def test_no_word_is_lost(file):
    """They are the same ones, each at most two hops later than with a call at every hop."""

    def words(model):
        spotter = Spotter(model)
        found = [*spotter.process(Block(SOUND, 0, RATE)), *spotter.finish()]
        return [(e.keyword, e.time) for e in found if isinstance(e, Detection)]

    sparse, dense = words(load(file)), words(at_every_hop(load(file)))

    assert [word for word, _ in sparse] == [word for word, _ in dense] == ["yes", "no", "yes"]
    late = [a - b for (_, a), (_, b) in zip(sparse, dense, strict=True)]
    assert 0 <= min(late) <= max(late) <= 2 * HOP
    assert load(file).card.behind == 2 * HOP


@settings(max_examples=20, deadline=None)
@given(sizes=st.lists(st.integers(1, 5_000), min_size=1, max_size=5))
def test_models_of_one_hop_are_called_on_the_same_windows(sizes):
    """Wherever audio was lost: hops are counted from the stream's beginning."""
    cards = [tones.card("window", stride=Stride(2, level)) for level in (0.2, 0.4)]
    schedules = [CallSchedule(card) for card in cards]
    quiet, end = np.zeros(4, np.float32), 0
    for size in sizes:
        end += size
        for schedule in schedules:
            schedule.begin()
        for number in range(4):
            end += HOP
            due = [schedule.is_due(end) for schedule in schedules]
            assert due[0] == due[1] == (number == 0 or end // HOP % 2 == 0)
            for schedule in schedules:
                if due[0]:
                    schedule.note(quiet)


@pytest.mark.parametrize("gate", ["none", "webrtc"])
@pytest.mark.parametrize("lead", [0, HOP, 2 * HOP])
def test_evaluation_hears_what_is_heard_live(file, tmp_path, gate, lead):
    """Its tracks are of every hop, and what the chain makes of them is the same to the bit."""
    model, path = load(file), tmp_path / "sound.wav"
    silence_ = np.zeros(3 * RATE + lead, np.float32)
    sound = np.concatenate([SOUND, silence_, SOUND])
    soundfile.write(path, sound, RATE, "FLOAT")
    settings_ = Settings([model.card])
    tail = silence([model], settings_, gate)
    (unit,) = units(path, model, tail=tail)
    heard = Replay([model], settings_, gate=gate).hear(path, [score(unit)])
    spotter = Spotter(model, gate=gate)
    live = [*spotter.process(Block(sound, 0, RATE)), *spotter.finish()]

    def told(events):
        return [(e.end, *e.values.tolist()) for e in events if isinstance(e, Scores)]

    assert told(heard.events) == told(live)
    assert len(told(live)) > 20
    jumps = sum(b[0] - a[0] > HOP for a, b in pairwise(told(live)))
    assert (jumps > 0) == (gate == "webrtc")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"stride": Stride(0)}, "between 1 and 10 hops"),
        ({"stride": Stride(11)}, "between 1 and 10 hops"),
        ({"stride": Stride(2, 1.5)}, r"level lies outside 0\.\.1"),
        ({"stride": Stride(2), "kind": "stream"}, "only a window model can have a stride"),
    ],
)
def test_a_stride_that_makes_no_sense_is_refused(changes, says):
    with pytest.raises(CardError, match=says):
        decode(encode(tones.card(**{"kind": "window", **changes})), where="here")


def test_a_stride_is_copied_with_its_model(file):
    """And one that is called at every hop leaves the other alone."""
    model = load(file)
    assert at_every_hop(model).card.stride is None
    assert copy(model).card.stride == Stride(3, 0.05)
