"""Task: a unit of work, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeAlias, TypeVar


class Keyed(Protocol):
    """What can be worked on: something that can be pickled, and its name among all others."""

    @property
    def key(self) -> str:
        """A file name's worth of letters and digits."""


U = TypeVar("U", bound=Keyed)
R = TypeVar("R")


@dataclass(frozen=True)
class Failed(Generic[U]):
    """A unit without a result, and why: one line."""

    unit: U
    reason: str


Task: TypeAlias = tuple[int, U]
"""A unit and its number."""


def attempt(
    work: Callable[[U], R], expected: tuple[type[Exception], ...], unit: U
) -> R | Failed[U]:
    """Do the work; return Failed where it raises what is expected."""
    try:
        return work(unit)
    except expected as error:
        return Failed(unit, one_line(error))


def one_line(error: BaseException) -> str:
    """Return what an error says, its name where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__
