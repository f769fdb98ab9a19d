"""Block sizes: a microphone's blocks end where hops do, so that nothing is known later."""

import threading

import numpy as np
import pytest
from models import RATE, noise
from test_devices import device, streams

from kws.block_sizes import BlockSizes, block_sizes
from kws.flow import Block
from kws.sources.microphone import WAIT_S, Microphone
from kws.spotter import Spotter

__all__ = ["streams"]

BUNDLED_HOP = 1280


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 32_000, 44_100, 48_000])
def test_each_block_completes_a_hop(rate):
    """With the bundled model, resampled or not: no hop waits for longer than soxr holds it back.

    Without the alignment it waits for most of the next block.
    """
    spotter = Spotter(gate="none")
    every, first = spotter.consumer.block_sizes(rate)
    held = spotter._chain._resampler.latency_at(rate) * rate / RATE
    sound, late, at = noise(2.0 * rate / RATE), [], 0
    for size in [first, *20 * [every]]:
        spotter.process(Block(sound[at : at + size], at, rate))
        at += size
        late.append(at - spotter.stats.inferences * every)  # since the last hop that is known

    assert every == BUNDLED_HOP * rate // RATE
    assert max(late) < held + 1 if held else set(late) == {0}


@pytest.mark.parametrize(
    ("hops", "rate", "size"),
    [
        ([1280], 16_000, 1280),
        ([1280], 44_100, 3528),
        ([1280, 2560], 16_000, 1280),  # the shortest is their grid
        ([1600, 2400], 16_000, 800),  # their grid
        ([1280, 1290], 16_000, 1280),  # a grid of 10 samples: the shortest
        ([160], 16_000, 320),  # two hops a block
        ([8000], 16_000, 1600),  # a fifth of a hop
        ([8000], 44_100, 4410),
        ([1001], 44_100, 1764),  # never ends with a sample
    ],
)
def test_a_block_is_as_long_as_a_hop(hops, rate, size):
    """Between 20 and 100 ms; of several models their common grid, else the shortest."""
    assert block_sizes(hops, RATE, rate, 0) == BlockSizes(size, size)


def test_the_first_block_makes_up_for_what_the_resampler_holds_back():
    assert block_sizes([1280], RATE, 48_000, 585) == BlockSizes(3840, 3 * 585)
    assert block_sizes([1280], RATE, 48_000, 1280 + 585) == BlockSizes(3840, 3 * 585)


class Hearer:
    """Who hears, by hand."""

    idle = False

    def block_sizes(self, rate):
        return BlockSizes(8, 3)


@pytest.fixture
def opened(streams):
    """A microphone whose blocks are 8 samples long, 3 at first."""
    hearer = Hearer()
    source = Microphone(device(), consumer=hearer)
    yield hearer, source, streams[0]
    source.close()


def test_a_stream_begins_with_the_end_of_its_first_block(opened):
    """And again after lost audio, which is then a little more; every other block is whole."""
    _, source, stream = opened
    blocks = iter(source)
    threading.Timer(0.05, lambda: [stream.bring([0.5] * 8) for _ in range(2)]).start()
    first, second = next(blocks), next(blocks)
    stream.bring([0.5] * 8, overflow=True)
    third = next(blocks)
    stream.bring([0.5] * 8)
    fourth = next(blocks)

    assert stream.blocksize == 8
    assert [3, 8, 3, 8] == [len(each.samples) for each in (first, second, third, fourth)]
    assert (first.end, third.end) == (second.start, fourth.start)
    assert third.start > second.end + 5
    assert first.wall_time == pytest.approx(second.wall_time - 3 / 100, abs=5)


def test_while_nothing_is_heard_blocks_wait_for_each_other(opened):
    """Each wakes the process: in a quiet room two come at once, and none is held for long."""
    hearer, source, stream = opened
    hearer.idle = True
    blocks = iter(source)
    source._start()
    stream.bring([0.5] * 8)
    reader = threading.Thread(target=lambda: got.append(next(blocks)))
    got = []
    reader.start()
    reader.join(0.4 * WAIT_S)
    waits = not got
    stream.bring([0.5] * 8)
    reader.join(10)
    second = next(blocks)

    assert waits
    assert got[0].end == second.start
    stream.bring([0.5] * 8)
    assert next(blocks).start == second.end  # alone, after WAIT_S


def test_while_something_is_heard_no_block_waits(opened):
    _, source, stream = opened
    blocks = iter(source)
    source._start()
    source._backlog._changed.wait = lambda timeout: pytest.fail("it waits")
    for number in range(3):
        stream.bring([0.5] * 8)
        assert next(blocks).end == 8 * (number + 1)


def test_a_spotter_is_idle_while_its_gate_is_closed(models):
    """And nothing is captured; with gate none it never is."""
    spotter = Spotter(models["stream"], gate="webrtc")
    spotter.push(np.zeros(1600, np.float32))
    heard = Spotter(models["stream"], gate="none")
    heard.push(noise(0.1))

    assert spotter.consumer.idle
    assert not heard.consumer.idle
