"""Worker: a thread that works for others, and lets those that hear go first."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

from kws.serve.priority import make_way

Result = TypeVar("Result")


class Worker:
    """Does one thing after another. It ends with the process, which does not wait for it."""

    def __init__(self, name: str) -> None:
        self._name, self._begun = name, False
        self._waiting: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()

    async def do(self, work: Callable[[], Result]) -> Result:
        """Return what some work gives, or raise what it raises."""
        if not self._begun:
            self._begun = True
            threading.Thread(target=self._run, name=self._name, daemon=True).start()
        future: Future[Result] = Future()
        self._waiting.put((future, work))
        return await asyncio.wrap_future(future)

    def _run(self) -> None:
        make_way()
        while True:
            future, work = self._waiting.get()
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(work())
                except BaseException as error:  # noqa: BLE001 - who asked is told
                    future.set_exception(error)
            del future, work  # or it would be kept until the next one
