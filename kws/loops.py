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

    stopped: may be up already, for whoever stops it need not wait until it has begun; it is taken
    down in the end. end: ends what still waits for audio, and returns what that makes known.
    However the loop ends, nobody waits for audio that never comes.
    """
    spotter.reset()
    try:
        with closing(source):
            for block in () if stopped.is_set() else source:
                if stopped.is_set():
                    break
                yield from _take(spotter, source, block)
            else:
                if not source.live and not stopped.is_set():
                    yield from spotter.finish()
        yield from end()
    except KwsError:  # a lost device: what was heard until then counts
        yield from end()
        if not stopped.is_set():
            raise
    finally:
        stopped.clear()
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
            while not stopped.is_set():
                block = await asyncio.to_thread(next, blocks, None)
                if block is None or stopped.is_set():
                    return
                for event in _take(spotter, source, block):
                    if isinstance(event, Detection):
                        yield event
    except KwsError:
        if not stopped.is_set():
            raise
    finally:
        stopped.clear()
        end()


def _take(spotter: Spotter, source: Source, block: Block) -> list[Event]:
    noticed = source.poll_events()
    spotter.notify(noticed)
    return [*noticed, *spotter.process(block)]
