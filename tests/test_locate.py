"""Where a word lies: by the gate's voice, or by energy."""

import numpy as np
import pytest
from models import RATE, noise, tone

from kws.flow import Block
from kws.gate import Gate
from kws.gates import detector
from kws.locate import Locator


class Loud:
    """A frame of 10 ms with power has voice."""

    frame, tells_voice = 160, True

    def voiced(self, frame):
        return frame.dot(frame) > 1

    def reset(self):
        """There is no state."""


def locator(voice, sound, *, window=RATE, length=RATE // 2, reach=3 * RATE):
    gate = Gate(voice, preroll=100, hangover=100, reach=reach)
    gate.process(Block(sound, 0, RATE))
    return Locator(gate, RATE, {"yes": window}, {"yes": length})


SOUND = np.concatenate([noise(1), tone("yes", 0.3), noise(0.4)])


@pytest.fixture(params=["gate", "energy"])
def voice(request):
    return Loud() if request.param == "gate" else detector("none", RATE, {})


def test_it_ends_with_the_last_voice_and_begins_with_an_onset(voice):
    start, end = locator(voice, SOUND)("yes", round(1.5 * RATE), 0)

    assert (RATE, round(1.3 * RATE)) == (start, end)


def test_without_an_onset_it_is_as_long_as_people_take(voice):
    start, end = locator(voice, SOUND, length=RATE // 10)("yes", round(1.5 * RATE), 0)

    assert (round(1.2 * RATE), round(1.3 * RATE)) == (start, end)


def test_voice_after_the_peak_does_not_count(voice):
    assert locator(voice, SOUND)("yes", round(1.2 * RATE), 0)[1] == round(1.2 * RATE)


@pytest.mark.parametrize("after", [1.25, 1.3, 1.45, 1.6])
def test_it_lies_after_the_last_word(voice, after):
    after = round(after * RATE)
    start, end = locator(voice, SOUND)("yes", round(1.5 * RATE), after)

    assert after <= start < end <= len(SOUND)


def test_level(voice):
    place = locator(voice, SOUND)

    assert place.level_db(RATE, round(1.3 * RATE)) == pytest.approx(-13.5, abs=0.1)
    assert place.level_db(RATE, RATE) == -120
