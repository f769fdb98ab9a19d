"""Loops: a source heard to its end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from threading import Event as Flag
from typing import TYPE_CHECKING

from kws.flow import Block, Detection, Event

if TYPE_CHECKING:
    from kws.sources import Source
    from kws.spotter import Spotter


def hear(spotter: Spotter, source: Source, stopped: Flag) -> Iterator[Event]:
    """Reset the spotter and yield all that it hears, until the source ends or the flag is up."""
    spotter.reset()
    with closing(source):
        for block in source:
            if stopped.is_set():
                return
            yield from _take(spotter, source, block)
        if not source.live:
            yield from spotter.finish()


async def hear_async(spotter: Spotter, source: Source, stopped: Flag) -> AsyncIterator[Detection]:
    """Do the same, waiting for the source on another thread; yield detections."""
    import asyncio  # 7 MB that a program without it need not carry

    spotter.reset()
    with closing(source):
        blocks = iter(source)
        while (block := await asyncio.to_thread(next, blocks, None)) is not None:
            if stopped.is_set():
                return
            for event in _take(spotter, source, block):
                if isinstance(event, Detection):
                    yield event


def _take(spotter: Spotter, source: Source, block: Block) -> list[Event]:
    noticed = source.poll_events()
    spotter.tell(noticed)
    return [*noticed, *spotter.process(block)]
