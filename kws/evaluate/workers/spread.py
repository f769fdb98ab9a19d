"""Spread: work shared out among processes or machines, its results in order."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Generic

from kws.errors import ConfigError, KwsError
from kws.evaluate.workers.kept import Kept
from kws.evaluate.workers.task import Failed, R, Task, U, attempt

AHEAD = 256
"""So many results may wait in memory for one that comes before them."""


def spread(
    units: Sequence[U],
    work: Callable[[U], R],
    *,
    workers: int = 1,
    dask: str | None = None,
    kept: Path | None = None,
    told: Callable[[], None] | None = None,
) -> list[R | Failed[U]]:
    """Return what `work` makes of each unit, in their order; Failed where it raised.

    workers: processes on this machine; 1 is this process itself. dask: the address of a
    scheduler instead. work: a function of a module, or a `partial` of one. kept: a folder in
    which finished results lie, so that a run that was interrupted goes on where it was. told:
    called once for each unit that is done with.

    A worker that dies loses nothing: its units are worked on again; one whose worker died three
    times is Failed. KwsError and OSError are Failed, other errors are raised.
    Raises ConfigError: no scheduler there, the folder can't be used, workers can't be started.
    """
    found = results(units, work, workers=workers, dask=dask, kept=kept, told=told)
    with closing(found):
        return list(found)


def results(
    units: Iterable[U],
    work: Callable[[U], R],
    *,
    workers: int = 1,
    dask: str | None = None,
    kept: Path | None = None,
    told: Callable[[], None] | None = None,
) -> Generator[R | Failed[U], None, None]:
    """Yield the same, each as soon as it and all before it are known; close it to end early.

    Units are asked for as they are needed; few results are in memory at a time.
    """
    if dask is not None and workers > 1:
        raise ConfigError("give either workers on this machine or a dask scheduler, not both")
    queue = _Queue(units, None if kept is None else Kept(kept, work), told or (lambda: None))
    if dask is not None:
        from kws.evaluate.workers.cluster import on_cluster

        outcomes = on_cluster(queue.take, partial(attempt, work, (KwsError,)), dask)
    elif workers > 1:
        from kws.evaluate.workers.processes import on_processes

        outcomes = on_processes(queue.take, partial(attempt, work, (KwsError, OSError)), workers)
    else:
        outcomes = _here(queue.take, partial(attempt, work, (KwsError, OSError)))
    with closing(outcomes):
        for task, outcome in outcomes:
            queue.put(task, outcome)
            yield from queue.ready()
    yield from queue.ready()


class _Held(Generic[R]):
    """A result in memory."""

    def __init__(self, result: R) -> None:
        self._result = result

    def __call__(self) -> R:
        return self._result


class _Queue(Generic[U, R]):
    """Units that wait to be worked on, and results that wait for their turn."""

    def __init__(self, units: Iterable[U], kept: Kept[R] | None, told: Callable[[], None]) -> None:
        self._units, self._kept, self._told = enumerate(units), kept, told
        self._waiting: dict[int, Callable[[], R | Failed[U]]] = {}
        self._held = self._next = 0

    def take(self) -> Task[U] | None:
        """Return the next unit to work on; None: there is none, or results must be had first."""
        while self._held < AHEAD and (task := next(self._units, None)) is not None:
            number, unit = task
            if self._kept is None or not self._kept.has(unit.key):
                return task
            self._waiting[number] = partial(self._kept.get, unit.key)
            self._told()
        return None

    def put(self, task: Task[U], outcome: R | Failed[U]) -> None:
        """Take a result; what failed is not kept, so that it is tried again another time."""
        number, unit = task
        if self._kept is not None and not isinstance(outcome, Failed):
            self._kept.put(unit.key, outcome)
        if self._kept is None or isinstance(outcome, Failed) or number == self._next:
            self._waiting[number] = _Held(outcome)
            self._held += 1
        else:
            self._waiting[number] = partial(self._kept.get, unit.key)
        self._told()

    def ready(self) -> Iterator[R | Failed[U]]:
        """Yield the results whose turn it is."""
        while (waiting := self._waiting.pop(self._next, None)) is not None:
            self._next += 1
            self._held -= isinstance(waiting, _Held)
            yield waiting()


def _here(
    take: Callable[[], Task[U] | None], do: Callable[[U], R | Failed[U]]
) -> Generator[tuple[Task[U], R | Failed[U]], None, None]:
    while (task := take()) is not None:
        yield task, do(task[1])
