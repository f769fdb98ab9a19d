"""Gaps: audio that comes late is not lost; what is lost is told, where it is."""

import pytest

from kws.sources.gaps import Arrived, GapMeter

RATE, LENGTH = 16_000, 640
STEP = LENGTH / RATE


class Device:
    """A sound system by hand. heard: what was released, each with where it was recorded."""

    def __init__(self):
        self.meter, self.now, self.at, self.heard = GapMeter(RATE), 100.0, 0, []
        self.end = 0

    def give(self, count, *, every=STEP, overflow=False):
        """Call back with consecutive audio."""
        for _ in range(count):
            self.now += every
            arrived = Arrived(self.at.to_bytes(8, "big"), LENGTH, self.now - STEP)
            self.at += LENGTH
            self.keep(self.meter.process(arrived, self.now, overflow=overflow))
            overflow = False

    def keep(self, released):
        for each in released:
            self.end += each.missing
            self.heard.append((int.from_bytes(each.data, "big"), self.end, each))
            self.end += each.length

    def stop(self, seconds, *, kept_s):
        """Stand still; so much of it, the first, comes in a burst afterwards."""
        self.now += seconds
        count = round(kept_s / STEP)
        self.give(count, every=1e-6)
        self.at += round((seconds - count * STEP) * RATE)

    @property
    def holes(self):
        """Where something is missing: at which sample, and how many."""
        return [(end - each.missing, each.missing) for _, end, each in self.heard if each.missing]


def test_audio_in_time_passes_at_once():
    device = Device()
    for number in range(50):
        device.give(1)
        assert len(device.heard) == number + 1

    assert not device.holes


@pytest.mark.parametrize("seconds", [3.0, 5.0, 12.0, 20.0])
def test_what_was_kept_is_not_lost(seconds):
    """All of it comes, in order, with the wall time at which it was recorded."""
    device = Device()
    device.give(25)
    device.stop(seconds, kept_s=seconds)
    device.give(50)

    assert not device.holes
    assert [recorded for recorded, _, _ in device.heard] == [
        LENGTH * number for number in range(device.at // LENGTH)
    ]
    for recorded, _, each in device.heard:
        assert each.wall_time == pytest.approx(100 + recorded / RATE, abs=0.1)


def test_what_is_lost_is_told_where_the_burst_ends():
    """PulseAudio keeps the first 25 s of 40."""
    device = Device()
    device.give(25)
    device.stop(40.0, kept_s=25.0)
    device.give(50)
    [(at, missing)] = device.holes

    assert at == RATE + 25 * RATE
    assert missing == pytest.approx(15 * RATE, abs=0.05 * RATE)
    for recorded, heard, each in device.heard:
        assert heard == pytest.approx(recorded, abs=0.05 * RATE)
        assert each.wall_time == pytest.approx(100 + recorded / RATE, abs=0.1)


@pytest.mark.parametrize("overflow", [False, True])
def test_where_nothing_was_kept_all_is_told(overflow):
    """As after the computer slept: the hole lies before what comes first."""
    device = Device()
    device.give(25)
    device.stop(30.0, kept_s=0.0)
    device.give(1, overflow=overflow)
    device.give(50)
    [(at, missing)] = device.holes

    assert at == RATE
    assert missing == pytest.approx(30 * RATE, abs=0.05 * RATE)


def test_an_overflow_is_a_hole_of_what_the_clock_says():
    device = Device()
    device.give(25)
    device.now += 0.3
    device.at += round(0.3 * RATE)
    device.give(1, overflow=True)
    device.give(25, overflow=True)
    (first, second) = device.holes

    assert first == (RATE, pytest.approx(0.3 * RATE, abs=2))
    assert second[1] == 1  # it says that some is gone, the clock that it is next to nothing


def test_a_long_burst_is_released_in_parts():
    """Whoever hears it would else lose what is too much to wait."""
    device = Device()
    device.give(25)
    device.stop(20.0, kept_s=20.0)
    sizes = []
    for _ in range(40):
        before = len(device.heard)
        device.give(1)
        sizes.append((len(device.heard) - before) * STEP)

    assert max(sizes) <= 2.0 + STEP
    assert sizes[-1] == STEP


def test_a_burst_that_never_ends_is_not_held_for_ever():
    """Audio that comes faster than it is spoken, for as long as one looks."""
    device = Device()
    device.give(25)
    device.now += 1_000
    device.give(400, every=STEP / 3)

    assert len(device.heard) > 300
