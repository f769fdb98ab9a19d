"""Cluster: work shared out by a dask scheduler; a worker that dies loses nothing."""

from __future__ import annotations

import asyncio
import logging
import pickle
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any, Generic

from kws.errors import ConfigError
from kws.evaluate.extras import need
from kws.evaluate.workers.task import Failed, R, Task, U, one_line

CONNECT_S = 5.0
"""A scheduler answers within so many seconds, or it is not there."""
RETRIES = 2
"""How often a unit is tried again whose worker raised an OSError: disks far away have bad days."""
QUEUED = 4
"""Units handed out for each thread of the cluster."""
LEAST = 64
"""Units handed out at least: more workers may come."""
LOGGERS = ["distributed", "distributed.client", "tornado", "tornado.application"]


def on_cluster(
    take: Callable[[], Task[U] | None], do: Callable[[U], R | Failed[U]], address: str
) -> Generator[tuple[Task[U], R | Failed[U]], None, None]:
    """Yield each unit's outcome as it comes, worked on by the scheduler's workers.

    Raises ConfigError: no scheduler answers, or not any more; it has no workers, or they lack
    this package.
    """
    distributed = need("distributed")
    with _quiet():
        size = max(LEAST, QUEUED * _threads(distributed, address))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", distributed.versions.VersionMismatchWarning)
            client = distributed.Client(address, timeout=CONNECT_S, set_as_default=False)
        running: dict[Any, Task[U]] = {}
        try:
            finished = distributed.as_completed(
                loop=client.loop, with_results=True, raise_errors=False
            )
            while True:
                while len(running) < size and (task := take()) is not None:
                    parcel = pickle.dumps(_Call(do, task[1]))
                    future = client.submit(pickle.loads, parcel, pure=False, retries=RETRIES)
                    running[future] = task
                    finished.add(future)
                if not running:
                    return
                future, result = next(finished)
                task = running.pop(future)
                yield task, _outcome(distributed, address, future.status, task, result)
        finally:
            client.cancel([*running], reason="ended early")
            client.close()


class _Call(Generic[U, R]):
    """A call that is made where its pickle is loaded.

    The scheduler would otherwise need this package too: it loads the functions it passes on.
    """

    def __init__(self, do: Callable[[U], R | Failed[U]], unit: U) -> None:
        self._call = do, (unit,)

    def __reduce__(self) -> tuple[Callable[[U], R | Failed[U]], tuple[U]]:
        return self._call


def _threads(distributed: Any, address: str) -> int:
    """Return how many units the cluster can work on at once."""

    async def identity() -> dict[str, Any]:
        scheduler = distributed.rpc(address, timeout=CONNECT_S)
        try:
            answer: dict[str, Any] = await asyncio.wait_for(scheduler.identity(), CONNECT_S)
        finally:
            await scheduler.close_rpc()
        return answer

    try:
        workers = asyncio.run(identity())["workers"]
    except Exception as error:  # noqa: BLE001 - whatever it is that answers may not be dask
        raise ConfigError(
            f"--dask {address}: no scheduler answers there ({one_line(error)}); start one: "
            "dask scheduler"
        ) from None
    if not workers:
        raise ConfigError(
            f"--dask {address}: the scheduler has no workers; start some: dask worker {address}"
        )
    return sum(worker["nthreads"] for worker in workers.values())


def _outcome(
    distributed: Any, address: str, status: str, task: Task[U], result: Any
) -> R | Failed[U]:
    if status == "finished":
        outcome: R | Failed[U] = result
        return outcome
    if status != "error":
        raise ConfigError(f"--dask {address}: the scheduler is gone; begin again when it is back")
    _, error, trace = result
    if isinstance(error, distributed.KilledWorker):
        return Failed(task[1], "the workers that it was given to died")
    if isinstance(error, OSError):
        return Failed(task[1], one_line(error))
    if isinstance(error, ImportError):
        raise ConfigError(
            f"--dask {address}: {one_line(error)} on a worker; install the same kws there"
        )
    raise error.with_traceback(trace)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep to ourselves what dask has to say: what matters is told in our own words."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
