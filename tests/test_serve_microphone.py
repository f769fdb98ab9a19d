"""A microphone that is opened again and again: one stream, whatever its device does."""

import threading
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models import RATE, noise, tone
from serving import PATIENCE_S, Clock, Fake
from telling import until

from kws.errors import ConfigError, DeviceError
from kws.flow import AudioLost, Detection, DigitalSilence
from kws.serve import ports
from kws.serve.backoff import Backoff
from kws.serve.ports import Ports
from kws.serve.supervised import Supervised
from kws.sources.hotplug import signs
from kws.spotter import Spotter


def test_backoff_doubles_up_to_half_a_minute_and_begins_anew_after_a_good_time():
    backoff = Backoff()

    assert [0.5, 1, 2, 4, 8, 16, 30, 30] == [backoff.wait_s() for _ in range(8)]
    backoff.went_well(10)
    assert backoff.wait_s() == 0.5


def test_what_comes_and_goes_is_tried_again_every_few_seconds():
    """For half a minute after each time that it was heard; a moment does not begin anew."""
    backoff = Backoff()
    for _ in range(8):
        backoff.wait_s()
    for _ in range(3):
        backoff.went_well(0.0)
        backoff.went_well(5.0)
        assert [3] * 10 == [backoff.wait_s() for _ in range(10)]
    assert [6, 12, 24, 30, 30] == [backoff.wait_s() for _ in range(5)]


def test_a_device_that_reappears_is_looked_at_at_once(monkeypatch, tmp_path):
    """After hours without one, too: the sound server's socket, or a card, is a sign."""
    monkeypatch.setenv("PULSE_SERVER", f"unix:{tmp_path}/native")
    world = World(monkeypatch, *[AWAY] * 20, [noise(1)])
    seconds = world.stopped.wait

    def wait(timeout=None):
        if world.clock.now > 1_200 and len(world._lives) > 1:
            world._lives[:-1] = []
            world.plugged = world.clock.now
            (tmp_path / "native").touch()
        return seconds(timeout)

    monkeypatch.setattr(world.stopped, "wait", wait)
    heard = world.run()

    assert heard[0][1] - world.plugged <= 1 + 0.5 + 1.0  # a look, and a second of audio
    assert world.told[0][0] == "lost"


def test_signs_of_devices_cost_nothing_and_never_fail(tmp_path):
    environ = {"XDG_RUNTIME_DIR": str(tmp_path), "PULSE_SERVER": "tcp:far.away"}
    before = signs(environ)
    (tmp_path / "pulse").mkdir()
    (tmp_path / "pulse" / "native").touch()
    between = signs(environ)
    (tmp_path / "pulse" / "native").unlink()

    assert before != between
    assert before == signs(environ)
    assert signs({"PULSE_RUNTIME_PATH": "\0"}) is not None
    assert signs({}) == signs({})


# -- one stream over several lives ------------------------------------------------------------


class Stopped(threading.Event):
    """A flag that is waited for by the clock at hand."""

    def __init__(self, clock):
        super().__init__()
        self._clock, self.waits = clock, []

    def wait(self, timeout=None):
        self.waits.append(timeout)
        self._clock.now += timeout
        return self.is_set()


class World:
    """A supervised microphone with several lives; the last one's end ends it.

    lives: scripts of `Fake`, or the error with which opening fails; (script, rate).
    """

    def __init__(self, monkeypatch, *lives):
        self.clock, self.told, self.opened = Clock(), [], []
        monkeypatch.setattr("kws.serve.supervised.elapsed_s", self.clock)
        monkeypatch.setattr("kws.serve.ports.inputs.refresh", lambda: None)
        self._lives = list(lives)
        self.signs = 0
        self.supervised = Supervised(
            self._make,
            Ports(),
            lost=lambda reason: self.told.append(("lost", reason)),
            returned=lambda seconds: self.told.append(("returned", seconds)),
            sign=self._sign,
        )
        self.supervised._stopped = self.stopped = Stopped(self.clock)

    def _sign(self):
        self.signs += 1

    def _make(self):
        life = self._lives.pop(0)
        if isinstance(life, Exception):
            raise life
        script, rate = life if isinstance(life, tuple) else (life, RATE)
        ended = (lambda: None) if self._lives else self.supervised.close
        self.opened.append(Fake(self.clock, script, rate, ended))
        return self.opened[-1]

    def run(self):
        """Return all blocks, each with the moment when it had come."""
        return [(block, self.clock.now) for block in self.supervised]


GONE, AWAY = DeviceError("it is gone"), DeviceError("there is no microphone")


def test_one_stream_over_several_lives(monkeypatch):
    """The blocks go on where time goes on; loss and return are told once, with their reason."""
    world = World(monkeypatch, [noise(1), noise(0.5), 3.25, GONE], AWAY, AWAY, [noise(0.25)] * 2)
    (first, _), (second, _), (third, came), (fourth, _) = world.run()

    assert (0, RATE, RATE) == (first.start, second.start, first.end)
    assert third.end / RATE == pytest.approx(came - 1_000)
    assert third.end == fourth.start
    assert third.wall_time == 5.0
    assert ("lost", "it is gone") == world.told[0]
    assert ("returned", pytest.approx(0.5 + 1 + 2 + 0.25)) == world.told[1]
    assert len(world.told) == 2
    assert [0.5, 1, 1, 1] == world.stopped.waits[:4]
    assert all(source.closed for source in world.opened)
    assert world.signs >= 8  # at every step of every try


def test_a_microphone_that_is_not_there_at_first_is_told_once(monkeypatch):
    world = World(monkeypatch, *[ConfigError("no input device is called 'x'")] * 3, [noise(1)])
    ((block, _),) = world.run()

    assert block.start == 0
    assert [("lost", "no input device is called 'x'"), ("returned", 4.5)] == world.told


def test_a_spotter_hears_the_outage_as_one_jump(monkeypatch, models):
    """State is reset by it, also where the device came back with another rate."""
    half = tone("yes", 0.04)
    world = World(monkeypatch, [half, GONE], ([half.repeat(3)], 3 * RATE), ([half], RATE))
    spotter = Spotter(models["stream"])
    events = [event for block, _ in world.run() for event in spotter.process(block)]

    assert 2 == len([event for event in events if isinstance(event, AudioLost)])
    assert not [event for event in events if isinstance(event, Detection)]
    assert spotter.push(half)


@st.composite
def lives(draw):
    """Several lives: blocks of any length, silent moments, errors, failures to open, rates."""
    found = []
    for _ in range(draw(st.integers(1, 6))):
        if draw(st.booleans()):
            found += [AWAY] * draw(st.integers(0, 4))
        rate = draw(st.sampled_from([8_000, RATE, 44_100, 48_000]))
        sizes = draw(st.lists(st.integers(1, 30_000), max_size=4))
        end = draw(st.sampled_from([[GONE], [3.25, GONE], []]))
        found.append(([np.zeros(size, np.float32) for size in sizes] + end, rate))
    return [*found, ([np.zeros(10, np.float32)], RATE)]


@settings(max_examples=60, deadline=None)
@given(lives=lives())
def test_the_stream_keeps_time_whatever_happens(lives):
    """A block's start is the moment it was heard at, to within a sample or two a life."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        world = World(monkeypatch, *lives)
        blocks = world.run()
    began = blocks[0][1] - len(blocks[0][0].samples) / blocks[0][0].rate
    ends = [(block.start / block.rate, block.end / block.rate) for block, _ in blocks]

    assert blocks[0][0].start == 0
    assert all(end <= start + 1e-9 for (_, end), (start, _) in pairwise(ends))
    for block, came in blocks:
        assert block.end / block.rate == pytest.approx(came - began, abs=2 * len(lives) / 8_000)
    kinds = [kind for kind, _ in world.told]
    assert kinds == ["lost", "returned"] * (len(kinds) // 2)


def test_zeros_alone_are_told_and_tried_once_in_ten_minutes(monkeypatch):
    """The first sound afterwards ends them, also in another life of the microphone."""
    zeros = [np.zeros(RATE * 3, np.float32), DigitalSilence(silent=True, time_s=3.0)]
    zeros += [np.zeros(RATE, np.float32)] * 700
    world = World(monkeypatch, zeros, zeros, [*[np.zeros(RATE, np.float32)] * 5, noise(1)] * 2)
    noticed, opened = [], []
    for _ in world.supervised:
        noticed += [event.silent for event in world.supervised.poll_events()]
        opened.append(len(world.opened))

    assert [True, True, False] == noticed
    assert not world.told
    assert opened[600] == 1
    assert 600 <= opened.index(2) <= 605
    assert 600 <= opened.index(3) - opened.index(2) <= 605


def test_sound_right_after_silence_and_an_outage_ends_the_silence(monkeypatch):
    silent = DigitalSilence(silent=True, time_s=3.0)
    world = World(monkeypatch, [np.zeros(RATE * 3, "f4"), silent, noise(1) * 0, GONE], [noise(1)])
    noticed = []
    for _ in world.supervised:
        noticed += [event.silent for event in world.supervised.poll_events()]

    assert [True, False] == noticed


def test_closing_does_not_wait_for_the_next_try(monkeypatch):
    monkeypatch.setattr("kws.serve.ports.inputs.refresh", lambda: None)
    told = []

    def make():
        raise AWAY

    source = Supervised(make, Ports(), lost=told.append, returned=told.append, sign=lambda: None)
    source._backoff._next = 10 * PATIENCE_S
    thread = threading.Thread(target=lambda: list(source))
    thread.start()
    until(lambda: told)
    source.close()
    thread.join(PATIENCE_S)

    assert not thread.is_alive()
    assert ["there is no microphone"] == told


def test_what_opens_while_it_is_closed_is_let_go_of(monkeypatch):
    world = World(monkeypatch, [noise(1)])
    make = world._make

    def slow():
        source = make()
        world.supervised.close()
        return source

    world.supervised._make = slow

    assert [] == world.run()
    assert [] == world.told
    assert world.opened[0].closed


def test_a_sound_system_that_hangs_is_told_and_does_not_hold_who_closes(monkeypatch):
    """Closing a stream of a server that hangs never returns."""
    world, hangs = World(monkeypatch, [noise(1), 3.25, GONE]), threading.Event()
    monkeypatch.setattr(Fake, "close", lambda self: hangs.wait(PATIENCE_S))
    thread = threading.Thread(target=world.run, daemon=True)
    thread.start()
    until(lambda: world.told)
    world.supervised.close()

    assert [("lost", "it is gone")] == world.told
    assert thread.is_alive()
    hangs.set()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()


# -- ports ------------------------------------------------------------------------------------


@pytest.fixture
def devices(monkeypatch):
    """What this process and another one see; how often it looked; the clock."""
    seen = SimpleNamespace(here=["a (ALSA)"], there=["a (ALSA)"], looked=0, listed=0, clock=Clock())

    def refresh():
        seen.looked += 1

    def listed():
        seen.listed += 1
        return seen.there

    monkeypatch.setattr("kws.serve.ports.time", seen.clock)
    monkeypatch.setattr("kws.serve.ports.inputs.refresh", refresh)
    monkeypatch.setattr("kws.serve.ports.inputs.devices", lambda: seen.here)
    monkeypatch.setattr("kws.serve.ports._listed", listed)
    return seen


def fails():
    raise AWAY


def test_devices_are_looked_for_only_while_none_is_open(devices):
    """It ends every stream that is open."""
    found, source = Ports(), Fake(devices.clock, [])
    with found.opened(lambda: source) as one, found.opened(lambda: Fake(devices.clock, [])):
        assert (one, devices.looked) == (source, 1)
    assert source.closed
    with pytest.raises(DeviceError), found.opened(fails):
        pass
    with found.opened(lambda: source):
        assert devices.looked == 3


def test_a_device_that_only_another_process_sees_reopens_all(devices):
    found, source = Ports(), Fake(devices.clock, [])
    with found.opened(lambda: source):
        for there, wait in [(["a (ALSA)"], 59), (["a (ALSA)"], 2), ([], 61)]:
            devices.there = there
            devices.clock.now += wait
            with pytest.raises(DeviceError), found.opened(fails):
                pass
            assert not source.closed
        assert devices.listed == 2  # once a minute
        devices.there = ["a (ALSA)", "b (ALSA)"]
        devices.clock.now += 61
        with pytest.raises(DeviceError), found.opened(fails):
            pass
        assert source.closed
    assert devices.looked == 1


def test_without_another_open_nobody_else_is_asked(devices):
    devices.clock.now += 1_000
    with pytest.raises(DeviceError), Ports().opened(fails):
        pass

    assert devices.listed == 0


@pytest.mark.parametrize("code", ["import time; time.sleep(99)", "raise SystemExit(3)"])
def test_another_process_that_hangs_or_fails_sees_nothing(monkeypatch, code):
    monkeypatch.setattr(ports, "LIST", code)
    monkeypatch.setattr(ports, "LOOK_S", 0.5)

    assert [] == ports._listed()


def test_another_process_lists_what_it_sees(monkeypatch):
    monkeypatch.setattr(ports, "LIST", "print('[\"a (ALSA)\"]')")

    assert ["a (ALSA)"] == ports._listed()
