"""Ring: the recent past, by absolute index."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kws.flow import Block
from kws.ring import Ring, cut

RATE = 16_000


def block(start, count):
    return Block(np.arange(start, start + count, dtype=np.float32), start, RATE)


@given(
    capacity=st.integers(1, 60),
    first=st.integers(0, 1_000),
    pushes=st.lists(
        st.tuples(st.integers(1, 150), st.integers(0, 3).map(lambda n: n * (n > 2))), max_size=40
    ),
)
def test_it_holds_the_newest_samples_and_no_others(capacity, first, pushes):
    ring, begin, end = Ring(capacity), first, first
    size = len(ring._memory)
    for count, gap in pushes:
        if gap:
            begin = end = end + gap
        ring.push(block(end, count))
        end += count

        assert (max(begin, end - capacity), end) == (ring.start, ring.end)
        assert np.array_equal(np.arange(ring.start, end), ring.view(ring.start, end))
    assert size == len(ring._memory)


@pytest.mark.parametrize(("start", "end"), [(9, 12), (10, 21), (15, 14)])
def test_what_it_does_not_hold_cannot_be_viewed(start, end):
    ring = Ring(10)
    ring.push(block(0, 20))

    with pytest.raises(IndexError):
        ring.view(start, end)


@given(count=st.integers(0, 50), size=st.integers(1, 60))
def test_a_cut_block_is_the_same_audio(count, size):
    pieces = list(cut(Block(np.arange(count, dtype=np.float32), 7, 10, wall_time=1.0), size))

    assert np.array_equal(np.arange(count), np.concatenate([p.samples for p in pieces]))
    assert all(len(p.samples) <= size for p in pieces)
    assert all(p.start == 7 + (p.samples[0] if count else 0) for p in pieces)
    assert all(p.wall_time == pytest.approx(1.0 + (p.start - 7) / 10) for p in pieces)
