"""What every conversation at a microphone shares: its pauses, and when a word has ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from kws.errors import DeviceError
from kws.flow import Block

PATIENCE_S = 4.0
"""So long a prompt waits for its word; one that was begun may end later."""
LONGEST_S = 7.0
PAUSE_S = (0.3, 1.0)
"""Before a prompt, drawn anew each time: nobody should fall into a rhythm."""
SETTLE_S = 0.5
"""What is heard before the first prompt: devices begin with a click."""


def wait_for_word(
    hear: Callable[[], float], ended: Callable[[float], bool | None], *, every_s: float = 0.0
) -> None:
    """Hear until a word has ended, or nobody says one.

    hear: takes the next block, and returns its seconds. ended: is given the seconds since the
    prompt, and returns whether a word has ended, None where none has begun; it is asked after each
    block, or every so many seconds.
    """
    passed, due = 0.0, every_s
    while passed < LONGEST_S:
        passed += hear()
        if passed < due:
            continue
        due = passed + every_s
        done = ended(passed)
        if done or (done is None and passed >= PATIENCE_S):
            return


def next_block(blocks: Iterator[Block]) -> Block:
    """Return a microphone's next block. Raises DeviceError: there is none."""
    block = next(blocks, None)
    if block is None:
        raise DeviceError("the microphone gives no more audio")
    return block
