"""Block sizes: how many samples at a time a microphone is asked for, so that hops never wait."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple, Protocol

from kws.flow import Block

SHORTEST_S, LONGEST_S = 0.02, 0.1
"""Each block costs some 0.2 ms, whatever it holds; levels and the gate are known block by block."""
DEFAULT_S = 0.04
"""Where no block of whole samples ends with the hop."""


class BlockSizes(NamedTuple):
    """How many samples the blocks of a microphone have, at its own rate.

    every: all but the first. first: the first one, and the first one after lost audio: then each
    block ends just when the audio before its end is enough to score another hop.
    """

    every: int
    first: int

    def align(self, block: Block) -> Block:
        """Return the end of a block of full length, as the first of a stream."""
        cut = max(0, len(block.samples) - self.first)
        if not cut:
            return block
        wall = None if block.wall_time is None else block.wall_time + cut / block.rate
        return replace(block, samples=block.samples[cut:], start=block.start + cut, wall_time=wall)


class Consumer(Protocol):
    """Who hears a microphone, and knows when its audio is wanted."""

    def block_sizes(self, rate: int) -> BlockSizes:
        """Return the sizes of blocks at `rate` Hz with which no hop waits for the next block."""

    @property
    def idle(self) -> bool:
        """Whether a block may wait for the next one: nothing would come of it."""


def default_sizes(rate: int) -> BlockSizes:
    """Return the block sizes at `rate` Hz for who does not wait for hops."""
    size = max(1, round(DEFAULT_S * rate))
    return BlockSizes(size, size)


def block_sizes(hops: Sequence[int], model_rate: int, rate: int, delay: int) -> BlockSizes:
    """Return the block sizes with which every hop is scored without waiting for the next block.

    hops: of all models, in samples at `model_rate` Hz. rate: the microphone's, in Hz. delay: so
    many samples at `model_rate` a hop needs beyond its own end.

    A block is as long as a hop: of several models as their common grid, or as the shortest hop
    where the grid is finer than 20 ms. Long hops are divided, short ones put together.
    """
    grid = math.gcd(*hops)
    hop = grid if grid >= SHORTEST_S * model_rate else min(hops)
    size = _whole(Fraction(hop * rate, model_rate), rate)
    if size is None:
        return default_sizes(rate)
    late = math.ceil(delay * rate / model_rate) % size
    return BlockSizes(size, late or size)


def _whole(hop: Fraction, rate: int) -> int | None:
    """Return the block's size for a hop, both in samples at `rate`; None: there is none."""
    if hop < SHORTEST_S * rate:
        hop *= math.ceil(Fraction(round(SHORTEST_S * rate)) / hop)
    parts = math.ceil(hop / Fraction(round(LONGEST_S * rate)))
    while hop / parts >= SHORTEST_S * rate:
        if (hop / parts).denominator == 1:
            return int(hop / parts)
        parts += 1
    return None
