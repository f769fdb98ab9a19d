"""Playback: while the own speaker talks, it does not wake itself up, and can still be stopped."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models import RATE, noise, tone

from kws.errors import ConfigError
from kws.flow import Block, Detection
from kws.spotter import Spotter

QUIET = 0.17
"""A tone of this amplitude scores 0.69: it passes 0.6, and no threshold that was raised."""


def said(*names, amplitude=0.3):
    """Words, one after another."""
    parts = [noise(0.4)]
    for name in names:
        parts += [tone(name, 0.3, amplitude=amplitude), noise(0.6)]
    return np.concatenate(parts)


def words(detections):
    return [each.keyword for each in detections]


def hear(spotter, sound, size=320):
    """Push a sound in small blocks, as a microphone gives them."""
    return words(
        word for at in range(0, len(sound), size) for word in spotter.push(sound[at : at + size])
    )


@pytest.fixture
def spotter(models):
    """A spotter whose commands need a wake word."""
    return Spotter(models["stream"], wake="jarvis")


def test_wake_words_rest_until_it_is_over(spotter):
    spotter.playback(on=True)
    assert [] == hear(spotter, said("jarvis", "yes"))
    assert "jarvis" not in spotter.thresholds
    spotter.playback(on=False)

    assert ["jarvis", "yes"] == hear(spotter, said("jarvis", "yes"))
    assert {"yes": 0.6, "no": 0.6, "jarvis": 0.6} == spotter.thresholds


def test_wake_words_may_need_a_higher_score_instead(spotter):
    assert ["jarvis"] == hear(spotter, said("jarvis", amplitude=QUIET))
    spotter.playback(on=True, raise_to=0.9)
    assert {"yes": 0.6, "no": 0.6, "jarvis": 0.9} == spotter.thresholds
    assert [] == hear(spotter, np.concatenate([noise(5), said("jarvis", "yes", amplitude=QUIET)]))
    assert ["jarvis", "no"] == hear(spotter, said("jarvis", "no"))
    spotter.playback(on=False)

    assert ["jarvis"] == hear(spotter, said("jarvis", amplitude=QUIET))


def test_no_threshold_is_lowered(models):
    spotter = Spotter(models["stream"], wake="jarvis", threshold=0.95)
    spotter.playback(on=True, raise_to=0.7)

    assert spotter.thresholds["jarvis"] == 0.95


def test_live_commands_need_no_wake_word_and_others_still_do(spotter):
    spotter.playback(on=True, live=["no"])
    assert ["no"] == hear(spotter, said("yes", "no"))
    spotter.playback(on=True, live=["no"], raise_to=0.9)
    assert ["no", "jarvis", "yes"] == hear(spotter, said("yes", "no", "jarvis", "yes"))
    spotter.playback(on=False)

    assert [] == hear(spotter, np.concatenate([noise(5), said("no", "yes")]))


def test_without_wake_words_commands_stay_as_they_are(models):
    spotter = Spotter(models["stream"])
    spotter.playback(on=True, live=["no"])

    assert ["yes", "no"] == hear(spotter, said("yes", "no", "jarvis"))


def test_a_wake_word_may_stay_live(spotter):
    spotter.playback(on=True, live=["jarvis"], raise_to=0.99)

    assert spotter.thresholds["jarvis"] == 0.6
    assert ["jarvis", "yes"] == hear(spotter, said("jarvis", "yes", amplitude=QUIET))


def test_it_expires_by_the_audio_s_time(spotter):
    """However fast the audio is pushed; told again, it lasts longer."""
    hear(spotter, noise(2))
    spotter.playback(on=True, live=["no"], max_s=3)
    assert [] == hear(spotter, noise(2))
    spotter.playback(on=True, live=["no"], max_s=3)
    assert ["no"] == hear(spotter, np.concatenate([said("jarvis", "no"), noise(0.79)]))
    assert "jarvis" not in spotter.thresholds
    assert ["jarvis"] == hear(spotter, said("jarvis"))

    assert [] == hear(spotter, np.concatenate([noise(5), said("no")]))


def test_a_jump_of_the_audio_s_clock_counts(spotter):
    hear(spotter, noise(1))
    spotter.playback(on=True, max_s=30)
    spotter.push(noise(0.1), start=40 * RATE)

    assert ["jarvis"] == hear(spotter, said("jarvis"))


def test_settings_changed_meanwhile_hold_afterwards(spotter):
    spotter.playback(on=True, raise_to=0.9)
    spotter.set_threshold({"jarvis": 0.3, "yes": 0.8})
    assert {"yes": 0.8, "no": 0.6, "jarvis": 0.9} == spotter.thresholds
    spotter.set_keywords(["yes"])
    assert {"yes": 0.8, "jarvis": 0.9} == spotter.thresholds
    spotter.playback(on=False)

    assert {"yes": 0.8, "jarvis": 0.3} == spotter.thresholds


def test_resting_words_can_be_set_too(spotter):
    spotter.playback(on=True)
    spotter.set_threshold({"jarvis": 0.3})
    assert {"yes": 0.6, "no": 0.6} == spotter.thresholds
    spotter.playback(on=False)

    assert spotter.thresholds["jarvis"] == 0.3


def test_a_reset_ends_it(spotter):
    spotter.playback(on=True, live=["no"])
    spotter.reset()

    assert ["jarvis", "yes"] == hear(spotter, said("no", "jarvis", "yes"))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"live": ["noo"]}, "unknown keyword 'noo'; did you mean no"),
        ({"raise_to": 1.5}, "threshold 1.5 lies outside 0..1"),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(spotter, options, text):
    spotter.playback(on=True, max_s=1)
    with pytest.raises(ConfigError, match=text):
        spotter.playback(on=True, **options)
    assert [] == hear(spotter, said("jarvis"))

    assert ["jarvis"] == hear(spotter, said("jarvis"))


SOUND = said("no", "jarvis", "yes", "no", "jarvis", "no")


@settings(max_examples=20, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 6_000), min_size=1, max_size=9),
    on=st.integers(1, len(SOUND) - 2),
    length=st.integers(1, len(SOUND)),
    kind=st.sampled_from(["stream", "window"]),
    gate=st.sampled_from(["none", "webrtc"]),
    raise_to=st.sampled_from([None, 0.9]),
)
def test_any_split_gives_the_same_events(models, *, sizes, on, length, kind, gate, raise_to):
    """Playback that begins and ends at the same samples means the same, however audio is cut."""
    marks = [on, min(len(SOUND) - 1, on + length), len(SOUND)]

    def heard(sizes):
        spotter, events, turn, at = Spotter(models[kind], wake="jarvis", gate=gate), [], 0, 0
        for number, end in enumerate(marks):
            spotter.playback(on=number == 1, live=["no"], raise_to=raise_to)
            while at < end:
                size = min(sizes[turn % len(sizes)], end - at)
                events += spotter.process(Block(SOUND[at : at + size], at, RATE))
                at, turn = at + size, turn + 1
        return [
            (event.keyword, event.threshold, event.start, event.end)
            for event in events
            if isinstance(event, Detection)
        ]

    assert heard(sizes) == heard([len(SOUND)])
