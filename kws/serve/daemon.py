"""Daemon: hears with every microphone, tells everyone, watches over all of it."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue

from kws import selftest
from kws.errors import KwsError
from kws.interrupts import time_limit
from kws.keyword_levels import LevelRequest
from kws.serve import heap, logs
from kws.serve.audience import Audience, Seat, seats
from kws.serve.build import Built, build
from kws.serve.config import read
from kws.serve.ears import DiedError, Ears, MicrophoneRequest
from kws.serve.http.house import House
from kws.serve.listener import Clock
from kws.serve.network import Network, Plan, planned
from kws.serve.notify import Notify
from kws.serve.retune import Retuned, retune
from kws.serve.where import SettingError, told
from kws.sinks import Fact, Playing
from kws.sources import Source

TICK_S = 0.5
RELOAD_S = 20.0
"""So long models may take at a reload: who watches over this process waits for 30 s."""
STOOD_S = 2.0
"""After so long without a tick this process stood still."""
EARS_STOP_S, NETWORK_STOP_S, FLUSH_S, EXIT_S = 0.3, 0.1, 0.6, 0.2
"""From the signal to the end: a second. Ears stop first; sinks are flushed until 0.6 s are over,
then what they have begun is ended. Python itself takes up to 0.2 s to end."""


class Daemon:
    """The long-running service. `run` in the main thread; all else from any.

    path: of the config file; None: what holds without one. make: opens a microphone. clock: tells
    the time. stuck: a sound system hung when `run` ended, and would keep this process from ending.
    Raises ConfigError, ModelError: it can't be as the config says.
    """

    def __init__(
        self,
        path: Path | None,
        make: Callable[[MicrophoneRequest], Source],
        notify: Notify,
        *,
        clock: Clock = time,
    ) -> None:
        heap.keep_small()
        self._path, self._notify, self._clock = path, notify, clock
        # Unlike an Event, it may be put into by a signal that interrupts whoever waits for it.
        self._asked: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._stopping = self.stuck = False
        self._audience = Audience()
        self._ears = Ears(make, self._tell, clock)
        self._plan, self._seats = self._read()
        self._house = House(
            self._ears, self._audience, self.playback, self._built, retune=self.retune
        )
        self._network = Network(self._house)
        self._playing_until: float | None = None
        self._tested = self._ticked = clock.monotonic()

    @property
    def http_address(self) -> tuple[str, int] | None:
        """Host and port at which HTTP is answered; None: it is not. From any thread."""
        return self._network.http_address

    @property
    def wyoming_address(self) -> tuple[str, int] | None:
        """Host and port at which Wyoming is answered; None: it is not yet. From any thread."""
        return self._network.wyoming_address

    def run(self) -> None:
        """Hear until `stop`, SIGTERM or SIGINT. Raises DiedError: it can't go on."""
        logs.begin(self._built.config.log)
        self.test()
        self._network.claim(self._plan)
        self._arrange()
        self._notify.ready(self._ears.status)
        try:
            while not self._stopping:
                self._tick()
                with suppress(Empty):
                    self._asked.get(timeout=TICK_S)()
        finally:
            self._end()

    def test(self) -> None:
        """Raise DiedError where a model does not give the scores that its card holds."""
        self._test(self._built)

    def stop(self) -> None:
        """End `run`."""
        self._asked.put(self._stop)

    def reload(self) -> None:
        """Read the config again; a broken one changes nothing."""
        self._asked.put(self._reload)

    def playback(self, on: bool) -> None:
        """Tell that the own speaker begins to talk, or has ended."""
        self._asked.put(partial(self._playback, on))

    def retune(self, wanted: LevelRequest) -> Future[Retuned]:
        """Let these thresholds and sensitivities hold from the next hop on, and keep them."""
        future: Future[Retuned] = Future()
        self._asked.put(partial(self._retune, wanted, future))
        return future

    def handle_signals(self) -> None:
        """Let SIGTERM and SIGINT stop, SIGHUP reload."""
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, lambda *_: self.stop())
        if hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, lambda *_: self.reload())

    def _tick(self) -> None:
        """Look after everything once."""
        self._audience.check()
        self._network.check()
        now = self._clock.monotonic()
        stood, self._ticked = now - self._ticked > STOOD_S, now
        if stood:  # they need a moment to hear again, which is neither bad health nor death
            self._ears.woke()
        if self._ears.alive() and not stood:
            self._notify.watchdog()
        for change in self._ears.health():
            self._tell(change)
        self._notify.status(self._ears.status)
        if self._playing_until is not None and now >= self._playing_until:
            self._playback(on=False)
        if now - self._tested >= 60 * self._built.config.health.self_test_min:
            self.test()

    def _tell(self, fact: Fact) -> None:
        """Tell everyone, without waiting for anyone. From any thread."""
        self._audience.tell(fact)
        self._house.tell(fact)

    @property
    def _built(self) -> Built:
        return self._plan.built

    def _read(self) -> tuple[Plan, list[Seat]]:
        """Return what hears and answers, and who is told."""
        config = read(self._path)
        try:
            built = build(config, self._path)
            return planned(built), seats(built, self._path, self.playback)
        except SettingError as error:
            raise told(error, self._path) from None

    def _arrange(self) -> None:
        self._audience.arrange(self._seats)
        self._ears.arrange(self._built)
        self._network.arrange(self._plan)
        if self._playing_until is not None:
            self._play()

    def _stop(self) -> None:
        self._stopping = True

    def _end(self) -> None:
        """Stop listening, let the sinks finish."""
        self._notify.stopping()
        until = time.monotonic() + FLUSH_S
        self.stuck = not self._ears.close(EARS_STOP_S)
        self._network.close(NETWORK_STOP_S)
        self._audience.close(until - time.monotonic())

    def _reload(self) -> None:
        self._notify.reloading()
        try:
            with time_limit(RELOAD_S):
                plan, wanted = self._read()
                self._test(plan.built)
            self._network.claim(plan)
        except KwsError as error:
            logs.say("error", f"{error}; nothing was changed")
        except Exception as error:  # noqa: BLE001 - what no file should do must not end it either
            logs.say("error", f"{type(error).__name__}: {error}; nothing was changed")
        else:
            self._plan, self._seats = plan, wanted
            logs.begin(self._built.config.log)
            self._arrange()
            logs.say("info", "the config was read again")
        self._notify.ready(self._ears.status)

    def _retune(self, wanted: LevelRequest, future: Future[Retuned]) -> None:
        """Between two readings of the config: one that is being read must not undo it."""
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(retune(self._built, self._ears, wanted))
        except KwsError as error:
            future.set_exception(error)

    def _playback(self, on: bool) -> None:
        settings = self._built.config.playback
        self._playing_until = self._clock.monotonic() + settings.max_s if on else None
        self._play()
        self._tell(Playing(wall_time=self._clock.time(), on=on))

    def _play(self) -> None:
        settings, until = self._built.config.playback, self._playing_until
        left = 0.0 if until is None else max(0.0, until - self._clock.monotonic())
        self._ears.do(
            lambda spotter: spotter.playback(
                left > 0, live=settings.live, raise_to=settings.raise_to, max_s=left
            )
        )

    def _test(self, built: Built) -> None:
        self._tested = self._clock.monotonic()
        for model in built.networks:
            off = selftest.deviation(model) or 0.0
            if off > selftest.TOLERANCE:
                raise DiedError(f"{model.path}: hears wrongly: its self-test is off by {off:.4f}")
            logs.say("debug", f"{model.path}: self-test passed ({off:.6f})")
