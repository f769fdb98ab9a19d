"""Stopping: whenever it is asked for, before and while the microphone opens too."""

import asyncio
import threading

import models
import pytest
from models import RATE, noise
from telling import PATIENCE_S
from test_spotter import SOUND, Blocks, words

from kws import Spotter
from kws.errors import DeviceError
from kws.flow import Block


@pytest.fixture
def spotter(tmp_path):
    return Spotter(models.write(tmp_path / "tones.onnx"))


class Endless(Blocks):
    """A microphone that takes its time to open, and then never ends."""

    opening, opened = threading.Event(), threading.Event()

    def __init__(self, *_, **__):
        super().__init__(SOUND, live=True)
        self.opening.set()
        assert self.opened.wait(PATIENCE_S)

    def __iter__(self):
        at = 0
        while not self.closed:
            yield Block(noise(0.02), at, RATE)
            at += 320


@pytest.fixture
def slow(monkeypatch):
    """Let every microphone open slowly."""
    for each in ("opening", "opened"):
        monkeypatch.setattr(Endless, each, threading.Event())
    monkeypatch.setattr("kws.sources.microphone.Microphone", Endless)
    return Endless


async def iterate(spotter):
    async for _ in spotter:
        pass


LOOPS = {
    "run": Spotter.run,
    "iteration": list,
    "async iteration": lambda spotter: asyncio.run(iterate(spotter)),
}


@pytest.mark.parametrize("loop", LOOPS.values(), ids=LOOPS)
@pytest.mark.parametrize("when", ["before", "while it opens"])
def test_a_stop_is_never_lost(spotter, slow, loop, when):
    if when == "before":
        spotter.stop()
    thread = threading.Thread(target=loop, args=[spotter], daemon=True)
    thread.start()
    assert slow.opening.wait(PATIENCE_S)
    if when != "before":
        spotter.stop()
    slow.opened.set()
    thread.join(PATIENCE_S)

    assert not thread.is_alive()


def test_a_stop_ends_one_loop_and_no_other(spotter):
    spotter.stop()
    assert [] == list(spotter.events(Blocks(SOUND)))
    assert ["yes", "no"] == words(spotter.events(Blocks(SOUND)))
    spotter.on("yes")(lambda _: spotter.stop())
    assert ["yes"] == words(spotter.events(Blocks(SOUND)))
    assert ["yes"] == words(spotter.events(Blocks(SOUND)))


def test_a_device_that_is_lost_while_it_is_stopped_is_no_error(spotter):
    """It may give nothing at all, and be found out a while later."""

    class Dies(Blocks):
        def __iter__(self):
            yield from super().__iter__()
            spotter.stop()
            raise DeviceError("no audio at all")

    assert ["yes", "no"] == words(spotter.events(Dies(SOUND, live=True)))
    with pytest.raises(DeviceError):
        list(spotter.events(Blocks(SOUND, live=True, loss=DeviceError("gone"))))
