"""Processes: work shared out on this machine; a process that dies loses nothing."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from typing import Generic

from kws.errors import ConfigError
from kws.evaluate.workers.task import Failed, R, Task, U

DEATHS = 3
"""A unit whose process died so often is given up."""
QUEUED = 2
"""Units handed out for each process, so that none waits for its next."""


def on_processes(
    take: Callable[[], Task[U] | None], do: Callable[[U], R | Failed[U]], count: int
) -> Generator[tuple[Task[U], R | Failed[U]], None, None]:
    """Yield each unit's outcome as it comes, worked on by `count` processes.

    Raises ConfigError: processes can't be started here.
    """
    work = _Work(take, do, count)
    try:
        while work.hand_out():
            yield from work.collect()
    finally:
        work.stop()


class _Work(Generic[U, R]):
    """Units in the hands of a pool of processes; when one dies, the pool is made anew.

    Whose unit it was that killed it, nobody knows: all that were handed out are worked on
    again, and one that was there each time but the last is worked on alone, to be sure.
    """

    def __init__(
        self, take: Callable[[], Task[U] | None], do: Callable[[U], R | Failed[U]], count: int
    ) -> None:
        self._take, self._do, self._count = take, do, count
        self._pool: ProcessPoolExecutor | None = None
        self._running: dict[Future[R | Failed[U]], Task[U]] = {}
        self._again: deque[Task[U]] = deque()
        self._deaths: Counter[int] = Counter()

    def hand_out(self) -> bool:
        """Hand out units, as many as make sense; return False where all is done."""
        while (task := self._next()) is not None:
            self._pool = self._pool or self._started()
            try:
                with _interrupts_held():  # this may start a process
                    future = self._pool.submit(self._do, task[1])
            except BrokenProcessPool as error:
                future = Future()
                future.set_exception(error)
            self._running[future] = task
        return bool(self._running)

    def _next(self) -> Task[U] | None:
        if len(self._running) >= QUEUED * self._count:
            return None
        if any(self._suspect(task) for task in self._running.values()):
            return None
        if not self._again:
            return self._take()
        if self._suspect(self._again[0]) and self._running:
            return None
        return self._again.popleft()

    def _suspect(self, task: Task[U]) -> bool:
        return self._deaths[task[0]] == DEATHS - 1

    def collect(self) -> Iterator[tuple[Task[U], R | Failed[U]]]:
        """Wait for units; yield what became of them."""
        finished, _ = wait(self._running, return_when=FIRST_COMPLETED)
        if any(isinstance(future.exception(), BrokenProcessPool) for future in finished):
            self.stop()
            finished = set(self._running)
        for future in finished:
            task = self._running.pop(future)
            if not isinstance(future.exception(), BrokenProcessPool):
                yield task, future.result()
                continue
            self._deaths[task[0]] += 1
            if self._deaths[task[0]] < DEATHS:
                self._again.append(task)
            else:
                yield task, Failed(task[1], f"the process that worked on it died, {DEATHS} times")

    def _started(self) -> ProcessPoolExecutor:
        """Return a pool whose first process lives; the others are started as units come."""
        for _ in range(DEATHS):
            self._pool = ProcessPoolExecutor(
                self._count, mp_context=get_context("spawn"), initializer=_prepare
            )
            try:
                with _interrupts_held():
                    alive = self._pool.submit(os.getpid)
                alive.result()
            except BrokenProcessPool:
                self.stop()
            else:
                return self._pool
        raise ConfigError("worker processes die as they start; go on with one: leave out --workers")

    def stop(self) -> None:
        """End the processes, whatever they are at."""
        if self._pool is None:
            return
        # A pool that is broken ends them too, all but one that was just being started, on which
        # it then waits for ever.
        for process in [*(self._pool._processes or {}).values()]:  # noqa: SLF001
            process.kill()
        self._pool.shutdown()
        self._pool = None


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Let nobody who is started here be interrupted: Ctrl-C reaches all, and is ours to obey."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # it would take what we hold back, were it started later
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _prepare() -> None:
    """Set up a worker: deaf to Ctrl-C, and gone when the process that started it is."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow, daemon=True).start()


def _follow() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
