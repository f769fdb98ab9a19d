"""Sound devices by hand: how they are found and opened, and what they do wrong."""

import importlib.abc
import os
import subprocess
import sys
import threading
import time
from contextlib import closing
from types import SimpleNamespace

import numpy as np
import pytest

from kws.errors import ConfigError, DeviceError
from kws.sources import devices, microphone
from kws.sources.backlog import Backlog
from kws.sources.devices import Input
from kws.sources.microphone import Microphone, Zeros

PATIENCE_S = 60


class Stream:
    """A sound device by hand; `stream.callback` brings it audio."""

    def __init__(self, **settings):
        vars(self).update(settings)
        self.active = False

    def start(self):
        """Begin."""
        self.active = True

    def abort(self, ignore_errors):
        """End."""
        self.active = False

    close = abort

    def bring(self, samples, *, overflow=False):
        """Bring some audio, as PortAudio does."""
        clock = SimpleNamespace(currentTime=5.0, inputBufferAdcTime=4.9)
        data = np.asarray(samples, np.float32)
        frames = len(data) // self.channels
        self.callback(data, frames, clock, SimpleNamespace(input_overflow=overflow))


class BusyError(Exception):
    """What PortAudio raises."""


def device(name="Desk Mic", channels=1, **changes):
    fields = {"host_api": "ALSA", "rate": 100, "default": True, "index": 0}
    return Input(name=name, channels=channels, **fields | changes)


@pytest.fixture
def streams(monkeypatch):
    """Every stream that is opened; PortAudio is not asked."""
    opened = []

    def open_stream(**settings):
        opened.append(Stream(**settings))
        return opened[-1]

    fake = SimpleNamespace(RawInputStream=open_stream, PortAudioError=BusyError)
    monkeypatch.setattr(microphone, "portaudio", lambda: fake)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    return opened


def test_blocks_are_what_the_callback_brought(streams):
    """Every sample of every channel, with its index and the wall time of the first."""
    source = Microphone(device(channels=2))
    blocks = iter(source)
    threading.Timer(0.05, lambda: streams[0].bring(range(8))).start()
    first = next(blocks)
    streams[0].bring(range(4))
    second = next(blocks)
    source.close()

    assert first.samples.tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert (first.start, first.rate, second.start) == (0, 100, 4)
    assert abs(first.wall_time - time.time()) < PATIENCE_S
    assert list(blocks) == []


@pytest.mark.parametrize(
    ("channels", "channel", "opened"),
    [
        (1, None, 1), (2, None, 2), (6, None, 1), (6, "mean", 6), (6, 4, 4), (2, 3, 2),
        (32, None, 1), (32, "mean", 1), (32, 2, 2),
    ],
)  # fmt: skip
def test_no_more_channels_are_opened_than_are_heard(streams, channels, channel, opened):
    """One or two as they are; of an array the first; of a sound server what is asked for."""
    Microphone(device(channels=channels), channel=channel).close()

    assert streams[-1].channels == opened


def test_a_busy_device_is_tried_again(streams, monkeypatch):
    """Three more times; then the error says what to do."""
    tries = []

    def refuse(**settings):
        tries.append(settings)
        raise BusyError("Error opening RawInputStream: Device unavailable", -9985)

    fake = SimpleNamespace(RawInputStream=refuse, PortAudioError=BusyError)
    monkeypatch.setattr(microphone, "portaudio", lambda: fake)

    with pytest.raises(DeviceError, match="is busy: another program holds it; end that one"):
        Microphone(device())

    assert len(tries) == len(microphone.BUSY_WAITS_S)


@pytest.mark.parametrize(("brought", "said"), [(0, "gave no audio"), (1, "is gone: no audio")])
def test_a_stalled_device_is_lost(streams, monkeypatch, brought, said):
    """Callbacks just stop: after some seconds without one that is an error."""
    monkeypatch.setattr(microphone, "FIRST_BLOCK_S", 0.2)
    monkeypatch.setattr(microphone, "STALLED_S", 0.1)
    source = Microphone(device())
    for _ in range(brought):
        threading.Timer(0.05, lambda: streams[0].bring([0.5])).start()

    with closing(source), pytest.raises(DeviceError, match=said):
        list(source)


def test_digital_silence_is_an_event(streams):
    """Zeros for three seconds, on the audio's clock."""
    source = Microphone(device())
    blocks = iter(source)
    threading.Timer(0.05, lambda: streams[0].bring([0.0] * 300)).start()
    next(blocks)
    silent = source.poll_events()
    streams[0].bring([0.1])
    next(blocks)

    assert [(event.silent, event.time_s) for event in silent] == [(True, 3.0)]
    assert [event.silent for event in source.poll_events()] == [False]
    source.close()


def test_an_overflow_that_the_system_tells_is_counted(streams):
    """And shows as a jump: no window may span what was lost."""
    source = Microphone(device())
    blocks = iter(source)
    threading.Timer(0.05, lambda: streams[0].bring([0.1] * 4)).start()
    first = next(blocks)
    streams[0].bring([0.1] * 4, overflow=True)
    second = next(blocks)
    source.close()

    assert second.start > first.end
    assert source.overflows == 1


DEVICES = [device("USB Audio"), device("Desk Mic", default=False), device("Desk Mic 2", index=2)]


@pytest.mark.parametrize(
    ("name", "found"),
    [(None, 0), ("usb", 0), ("desk mic", 1), ("Mic 2", 2), ("desk mic 2 (alsa)", 2)],
)
def test_a_device_is_found_by_a_part_of_its_name(monkeypatch, name, found):
    """Upper and lower case alike; an equal name first; None is the default."""
    monkeypatch.setattr(devices, "devices", lambda: DEVICES)

    assert devices.find(name) is DEVICES[found]


@pytest.mark.parametrize(
    ("name", "said"), [("Desk Mik", "near it: Desk Mic"), ("7", "there are: USB Audio, Desk Mic")]
)
def test_an_unknown_device_lists_the_near_ones(monkeypatch, name, said):
    """A number is no name: numbers change when a device is plugged in."""
    monkeypatch.setattr(devices, "devices", lambda: DEVICES)

    with pytest.raises(ConfigError, match=said):
        devices.find(name)


def test_a_backlog_drops_the_older_half_as_one_jump():
    """A consumer that can't keep up loses the oldest audio, in one counted piece."""
    backlog = Backlog(rate=100, seconds=1.0)
    for second in range(11):
        backlog.push(b"x", 10, float(second))

    pieces = [backlog.take(0) for _ in range(5)]

    assert [piece.start for piece in pieces] == [60, 70, 80, 90, 100]
    assert backlog.take(0) is None
    assert backlog.lost == 60


@pytest.mark.parametrize(
    ("overflow", "late", "jump"), [(True, 0.3, 30), (True, 0, 1), (False, 9, 900)]
)
def test_lost_samples_show_as_a_jump_by_the_clock(streams, monkeypatch, overflow, late, jump):
    """The system says that it lost some, not how many; where all stood still it says nothing."""
    clock = [5.0]
    monkeypatch.setattr(microphone, "elapsed_s", lambda: clock[0])
    source = Microphone(device())
    blocks = iter(source)
    threading.Timer(0.05, lambda: streams[0].bring([0.1] * 10)).start()
    first = next(blocks)
    clock[0] += 0.1 + late
    streams[0].bring([0.1] * 10, overflow=overflow)
    for _ in range(0 if overflow else 6):  # it shows in a moment that nothing was kept
        clock[0] += 0.1
        streams[0].bring([0.1] * 10)
    second = next(blocks)
    source.close()

    assert second.start - first.end == jump


def test_a_process_that_was_stopped_hears_on(streams, monkeypatch):
    """The clock has run on, but the device had no chance to give anything."""
    source = Microphone(device())
    blocks = iter(source)
    threading.Timer(0.05, lambda: streams[0].bring([0.1] * 10)).start()
    next(blocks)
    real = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: real() + 60)
    threading.Timer(0.4, lambda: streams[0].bring([0.1] * 10)).start()

    assert len(next(blocks).samples) == 10
    source.close()


def test_a_closed_backlog_wakes_who_waits():
    """close() from another thread ends a wait at once."""
    backlog = Backlog(rate=100, seconds=1)
    threading.Timer(0.05, backlog.close).start()

    assert backlog.take(60) is None


def test_digital_silence_is_told_once_and_its_end_too():
    """Three seconds of zeros are an event, quiet is not."""
    zeros, backlog = Zeros(rate=10), Backlog(rate=10, seconds=100)
    events = []
    for sound in [True, *[False] * 5, True, False]:
        backlog.push(b"x", 10, 0.0)
        events += zeros.process(backlog.take(0), sound=sound)

    assert [(event.silent, event.time_s) for event in events] == [(True, 4.0), (False, 6.0)]


def alone(code, **environ):
    """Run a few lines in a process of their own; return what it printed and said."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, capture_output=True, env={**os.environ, **environ}, timeout=60, check=False
    )
    return done.stdout.decode(), done.stderr.decode()


@pytest.mark.skipif(sys.platform != "linux", reason="its sound system is ALSA")
def test_a_name_that_is_not_utf_8_hides_no_device(tmp_path):
    """It is listed as Latin-1; to open it takes its name, which sounddevice can't read."""
    named = b"pcm.caf\xe9 { type null\n hint { show on } }\npcm.other { type null\n"
    (tmp_path / ".asoundrc").write_bytes(named + b" hint { show on } }\n")
    code = """if True:
        import kws
        print(*sorted({each.name for each in kws.devices()} & {"caf\xe9", "other"}))
        try:
            from kws.sources.microphone import Microphone
            Microphone("caf\xe9")
        except kws.DeviceError as error:
            print(error)
    """
    out, said = alone(code, HOME=str(tmp_path), PYTHONIOENCODING="utf-8")

    assert "Traceback" not in said
    assert out.splitlines()[0] == "caf\xe9 other"
    assert "can't be opened: its name is not UTF-8" in out


def test_portaudio_that_can_not_start_is_one_line(monkeypatch):
    """Neither when it is loaded, nor when it is started again."""

    class Broken(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path, target=None):
            if name == "sounddevice":
                raise BusyError("Error initializing PortAudio: Internal", -9986)

    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    for step in devices.portaudio, devices.devices, devices.refresh:
        with pytest.raises(DeviceError, match=r"PortAudio can't start .Error init.*; is the sound"):
            step()


def test_portaudio_that_does_not_start_again_is_one_line(monkeypatch):
    def refuse():
        raise BusyError("PortAudio not initialized", -10000)

    fake = SimpleNamespace(
        PortAudioError=BusyError, _terminate=refuse, _initialize=refuse, query_hostapis=refuse
    )
    monkeypatch.setattr(devices, "portaudio", lambda: fake)
    for step in devices.refresh, devices.devices:
        with pytest.raises(DeviceError, match="PortAudio can't start"):
            step()


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_after_a_fork_it_says_what_the_matter_is(streams, monkeypatch):
    """PortAudio works only in the process that started it."""

    def refuse(**settings):
        raise BusyError("Device unavailable", -9999)

    microphone.portaudio().RawInputStream = refuse
    with pytest.raises(DeviceError, match="does not open at 100 Hz"):
        Microphone(device())
    devices._started_in.cache_clear()
    devices._started_in()
    read, write = os.pipe()
    if not (child := os.fork()):
        try:
            Microphone(device())
        except DeviceError as error:
            os.write(write, str(error).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)

    assert b"PortAudio was started before this process was forked" in os.read(read, 1_000)
