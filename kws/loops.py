"""Loops: a source heard to its end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from threading import Event as Flag
from typing import TYPE_CHECKING

from kws.errors import KwsError
from kws.flow import Block, Detection, Event

if TYPE_CHECKING:
    from kws.sources import Source
    from kws.spotter import Spotter


def hear(
    spotter: Spotter, source: Source, stopped: Flag, end: Callable[[], list[Event]]
) -> Iterator[Event]:
    """Reset the spotter and yield all that it hears, until the source ends or the flag is up.

    end: ends what still waits for audio, and returns what that makes known. However the loop
    ends, nobody waits for audio that never comes.
    """
    spotter.reset()
    try:
        with closing(source):
            for block in source:
                if stopped.is_set():
                    break
                yield from _take(spotter, source, block)
            else:
                if not source.live:
                    yield from spotter.finish()
        yield from end()
    except KwsError:  # a lost device: what was heard until then counts
        yield from end()
        raise
    finally:
        end()


async def hear_async(
    spotter: Spotter, source: Source, stopped: Flag, end: Callable[[], list[Event]]
) -> AsyncIterator[Detection]:
    """Do the same, waiting for the source on another thread; yield detections."""
    import asyncio  # 7 MB that a program without it need not carry

    spotter.reset()
    try:
        with closing(source):
            blocks = iter(source)
            while (block := await asyncio.to_thread(next, blocks, None)) is not None:
                if stopped.is_set():
                    return
                for event in _take(spotter, source, block):
                    if isinstance(event, Detection):
                        yield event
    finally:
        end()


def _take(spotter: Spotter, source: Source, block: Block) -> list[Event]:
    noticed = source.poll_events()
    spotter.tell(noticed)
    return [*noticed, *spotter.process(block)]
