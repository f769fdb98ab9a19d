"""Streams: heard for many, on loops that never wait, each in its turn."""

import asyncio
import threading

import numpy as np
import pytest
from models import RATE, noise, tone
from telling import PATIENCE_S

from kws.serve.streams import FULL, TURN_S, Streams
from kws.spotter import Spotter


@pytest.fixture
def streams():
    made = Streams()
    yield made
    made.close(PATIENCE_S)
    assert made._thread is None or not made._thread.is_alive()


class Owner:
    """One stream, and what was told of it."""

    def __init__(self, streams, model, log, name="", words=("yes", "no", "jarvis")):
        self._log, self._name, self.found = log, name, []
        self._some = asyncio.Event()
        self.ear = streams.open(lambda: Spotter(model), list(words), self._told, protocol="test")

    def _told(self, heard):
        self._log.append((self._name, threading.get_ident()))
        self.found.append(heard)
        self._some.set()

    @property
    def words(self):
        return [word.keyword for heard in self.found for word in heard]

    async def quiet(self):
        """Wait until all was heard."""
        while self.ear.waiting and not self.ear.closed:
            self._some.clear()
            await asyncio.wait_for(self._some.wait(), PATIENCE_S)
        return self


def said(word):
    return np.concatenate([noise(0.4), tone(word, 0.3), noise(0.4)])


def run(work):
    return asyncio.run(asyncio.wait_for(work, 2 * PATIENCE_S))


def test_each_hears_its_own(streams, models):
    async def all_of_them():
        owners = [Owner(streams, models["stream"], []) for _ in range(5)]
        words = ["yes", "no", "jarvis", "yes", "no"]
        for at in range(0, round(1.1 * RATE), 1_024):
            for owner, word in zip(owners, words, strict=True):
                owner.ear.hear(said(word)[at : at + 1_024], RATE)
        for owner in owners:
            owner.ear.finish()
        return [(await owner.quiet()).words for owner in owners], words

    found, words = run(all_of_them())

    assert found == [[word] for word in words]


def test_who_sends_much_keeps_nobody_waiting(streams, models):
    """A minute at once is heard in turns; half a second that came after it is heard between."""
    log = []

    async def both():
        much = Owner(streams, models["stream"], log, "much")
        much.ear.hear(noise(60.0), RATE)
        little = Owner(streams, models["stream"], log, "little")
        little.ear.hear(said("yes")[: round(TURN_S * RATE)], RATE)
        await little.quiet()
        waits = much.ear.waiting
        await much.quiet()
        return waits

    assert run(both()) > 0
    assert 100 < len(log) < 130


def test_more_than_may_wait_is_told(streams, models):
    async def fills():
        owner = Owner(streams, models["stream"], [])
        empty = owner.ear.full
        for _ in range(FULL // 2_048):
            owner.ear.hear(np.zeros(1_024, np.int16), RATE)
        full = owner.ear.full
        await owner.quiet()
        return empty, full, owner.ear.full

    assert run(fills()) == (False, True, False)


def test_who_has_left_is_told_nothing(streams, models):
    async def leaves():
        gone, other = (Owner(streams, models["stream"], []) for _ in range(2))
        gone.ear.hear(said("yes"), RATE)
        gone.ear.close()
        other.ear.hear(said("yes"), RATE)
        await other.quiet()
        return gone.found, other.words

    assert run(leaves()) == ([], ["yes"])


def test_what_goes_wrong_ends_that_stream_alone(streams, models):
    async def breaks():
        broken, other = (Owner(streams, models["stream"], []) for _ in range(2))
        with streams._changed:  # both in one round
            broken.ear.hear(np.zeros((2, 2, 2), np.float32), RATE)
            broken.ear.hear(said("yes"), RATE)
            other.ear.hear(said("yes"), RATE)
        await other.quiet()
        await broken.quiet()
        return broken.found, other.words

    [wrong], words = run(breaks())

    assert "shape" in str(wrong)
    assert words == ["yes"]


def test_a_spotter_that_can_not_be_made_is_its_streams_affair(streams):
    async def opens():
        found = asyncio.Queue()
        ear = streams.open(lambda: Spotter("/no/such.onnx"), [], found.put_nowait, protocol="test")
        ear.hear(noise(0.1), RATE)
        return await asyncio.wait_for(found.get(), PATIENCE_S)

    assert "no such file" in str(run(opens()))


def test_several_loops_are_told_each_on_its_own(streams, models):
    """Two servers share one thread that hears."""
    logs = [], []
    found = []

    async def hears(log, word):
        owner = Owner(streams, models["stream"], log)
        for _ in range(3):
            owner.ear.hear(said(word), RATE)
            await owner.quiet()
        return owner.words

    def loop(log, word):
        found.append((word, run(hears(log, word)), threading.get_ident()))

    threads = [
        threading.Thread(target=loop, args=each) for each in zip(logs, ["yes", "no"], strict=True)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join(PATIENCE_S)

    assert sorted(words for _, words, _ in found) == [["no"] * 3, ["yes"] * 3]
    idents = {word: ident for word, _, ident in found}
    assert [{ident for _, ident in log} for log in logs] == [{idents["yes"]}, {idents["no"]}]


def test_it_makes_way_for_our_own_microphones(streams, models, monkeypatch):
    asked = threading.Event()
    monkeypatch.setattr("kws.serve.streams.make_way", asked.set)

    async def hears():
        owner = Owner(streams, models["stream"], [])
        owner.ear.hear(noise(0.1), RATE)
        await owner.quiet()

    run(hears())

    assert asked.is_set()
