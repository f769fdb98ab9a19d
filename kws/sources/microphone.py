"""Microphone: what a sound device hears, without a hole that is not told."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from kws.block_sizes import Consumer, default_sizes
from kws.errors import DeviceError
from kws.flow import Block, DigitalSilence, Event, Samples
from kws.sources.backlog import Backlog, Piece
from kws.sources.clock import elapsed_s
from kws.sources.devices import Input, find, is_forked, portaudio
from kws.sources.gaps import Arrived, GapMeter

QUEUE_S = 10.0
"""Seconds of audio that wait for a slow consumer at most."""
FIRST_BLOCK_S, STALLED_S = 10.0, 3.0
"""Seconds without a callback after which the device is lost; some start slowly."""
WAIT_S = 0.25
"""Seconds between two looks at whether it still lives."""
SILENT_S = 3.0
"""Seconds of nothing but zeros: no live microphone gives them."""
BUSY_WAITS_S = (0.0, 0.3, 0.6, 1.2)
"""Pauses before the tries to open a device that another program holds."""

Channel = int | Literal["mean"] | None


class Microphone:
    """A sound device at its own rate, its channels as they are.

    device: part of its name, or the Input; None: the default one. channel: what the spotter
    will listen to, a number from 1 or "mean"; None: one or two channels are opened, and of more
    the first. rate: Hz; None: the device's own. consumer: the spotter that
    hears it, by which blocks are sized, and wait for each other while it is idle: each time that
    this process wakes costs more than what it hears then.

    Blocks are float32 [n, channels] with the wall time of their first sample. Recording begins
    with the iteration. `lost`: samples dropped because nobody took them for 10 s; `overflows`:
    times that the system itself dropped some, or stood still. Both show as a jump in `start`.

    Raises ConfigError: no such device. DeviceError, when made: none at all, busy, no PortAudio;
    while iterated: it was lost, or gives nothing any more.
    """

    live = True

    def __init__(
        self,
        device: str | Input | None = None,
        *,
        channel: Channel = None,
        rate: int | None = None,
        consumer: Consumer | None = None,
    ) -> None:
        self.input = device if isinstance(device, Input) else find(device)
        self.rate = rate or self.input.rate
        self.overflows = 0
        self._backlog, self._gaps = Backlog(self.rate, QUEUE_S), GapMeter(self.rate)
        self._zeros, self._events = Zeros(self.rate), list[Event]()
        self._consumer = consumer
        self._sizes = (consumer.block_sizes if consumer else default_sizes)(self.rate)
        self._device = threading.Lock()  # starting and closing exclude each other
        self.channels, self._stream = self._open(channel)

    def __iter__(self) -> Iterator[Block]:
        """Deliver blocks until closed."""
        self._start()
        end: int | None = None
        pair = False
        waited = 0.0  # not by the clock, which runs on while this process is stopped
        while not self._backlog.closed:
            pair = not pair and self._consumer is not None and self._consumer.idle
            piece = self._backlog.take(WAIT_S, least=2 if pair else 1)
            if piece is None:
                waited += WAIT_S
                self._check_alive(waited)
                continue
            waited = 0.0
            block = self._block(piece)
            yield self._sizes.align(block) if self._consumer and piece.start != end else block
            end = piece.end

    def _block(self, piece: Piece) -> Block:
        """Return a piece as a block, having looked whether the device is silent."""
        samples: Samples = np.ndarray((piece.length, self.channels), np.float32, piece.data)
        # One sample tells it nearly always, much sooner than a look at all of them.
        sound = bool(samples[-1, 0]) or bool(samples.any())
        self._events += self._zeros.process(piece, sound=sound)
        return Block(samples, piece.start, self.rate, piece.wall_time)

    @property
    def lost(self) -> int:
        """Samples dropped so far because nobody took them in time."""
        return self._backlog.lost

    def poll_events(self) -> list[Event]:
        """When digital silence began and ended, since it was last asked."""
        events, self._events = self._events, []
        return events

    def close(self) -> None:
        """Stop recording and let go of the device; from any thread, more than once."""
        with self._device:
            if self._backlog.closed:
                return
            self._backlog.close()
            self._stream.abort(ignore_errors=True)
            self._stream.close(ignore_errors=True)

    def _open(self, channel: Channel) -> tuple[int, Any]:
        """Return the number of channels and the stream, not started."""
        failure: Exception | None = None
        for channels in _channel_counts(self.input, channel):
            for wait in BUSY_WAITS_S:
                time.sleep(wait)
                try:
                    return channels, self._stream_with(channels)
                except portaudio().PortAudioError as error:
                    failure = error
                    if not _is_busy(error):
                        break
                except UnicodeDecodeError as error:
                    raise DeviceError(
                        f"{self.input} can't be opened: its name is not UTF-8 ({error.object!r}); "
                        "rename it, or listen through a sound server"
                    ) from None
        if failure is not None and _is_busy(failure):
            raise DeviceError(
                f"{self.input} is busy: another program holds it; end that one, "
                "or listen through a sound server (PulseAudio, PipeWire)"
            )
        self._check_fork()
        raise DeviceError(
            f"{self.input} does not open at {self.rate} Hz ({_words(failure)}); "
            "`kws devices` lists what is there"
        )

    def _check_fork(self) -> None:
        """Raise DeviceError where that is why nothing opens."""
        if is_forked():
            raise DeviceError(
                f"{self.input} does not open: PortAudio was started before this process was "
                "forked, and works only in the process that started it; begin this one with "
                "multiprocessing's `spawn`, or look for microphones in it alone"
            )

    def _stream_with(self, channels: int) -> Any:
        return portaudio().RawInputStream(
            device=self.input.index,
            samplerate=self.rate,
            channels=channels,
            dtype="float32",
            blocksize=self._sizes.every,
            callback=self._callback,
        )

    def _start(self) -> None:
        with self._device:
            if self._backlog.closed or self._stream.active:
                return
            try:
                self._stream.start()
            except portaudio().PortAudioError as error:
                self._check_fork()
                raise DeviceError(f"{self.input} does not start ({_words(error)})") from None

    def _callback(self, data: Any, length: int, clock: Any, status: Any) -> None:
        """Copy and return: this runs on the sound system's time."""
        delay = clock.currentTime - clock.inputBufferAdcTime
        if not 0 < delay < QUEUE_S:  # not every system tells when the first sample was heard
            delay = length / self.rate
        arrived = Arrived(bytes(data), length, time.time() - delay)
        # An overflow does not say how much is gone: the clock does.
        overflow = bool(status.input_overflow)
        for each in self._gaps.process(arrived, elapsed_s(), overflow=overflow):
            self.overflows += each.missing > 0
            self._backlog.push(each.data, each.length, each.wall_time, missing=each.missing)

    def _check_alive(self, waited: float) -> None:
        """Raise DeviceError when it is gone: its callbacks just stop, nobody says so."""
        with self._device:
            if self._backlog.closed:
                return
            if not self._stream.active:
                raise DeviceError(f"{self.input} is gone: the sound system ended the recording")
        began = self._backlog.end > 0
        patience = STALLED_S if began else FIRST_BLOCK_S
        if waited > patience:
            gone = "is gone: no audio" if began else "gave no audio at all"
            raise DeviceError(f"{self.input} {gone} for {patience:.0f} s")


class Zeros:
    """Watches for digital silence: a muted or broken device gives nothing but zeros."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._since: int | None = None
        self._silent = False

    def process(self, piece: Piece, *, sound: bool) -> list[Event]:
        """Take note of a piece, of which `sound` says whether it has a sample that is not zero."""
        if sound:
            was, self._silent, self._since = self._silent, False, None
            return [DigitalSilence(silent=False, time_s=piece.start / self._rate)] if was else []
        if self._since is None:
            self._since = piece.start
        if self._silent or piece.end - self._since < SILENT_S * self._rate:
            return []
        self._silent = True
        return [DigitalSilence(silent=True, time_s=piece.end / self._rate)]


def _channel_counts(device: Input, channel: Channel) -> list[int]:
    """How many channels to ask for, in turn: some drivers give all of them or none."""
    if device.is_server:
        # Whatever is asked for comes, mixed from what the microphone has: ask for little.
        return [channel if isinstance(channel, int) else 1]
    if channel == "mean":
        return [device.channels]
    wanted = channel or (device.channels if device.channels <= 2 else 1)
    return list(dict.fromkeys([min(wanted, device.channels), device.channels]))


def _is_busy(error: Exception) -> bool:
    """PortAudio's code for it, or ALSA's words, which come as a host error."""
    unavailable = -9985
    return error.args[1:2] == (unavailable,) or "busy" in str(error).casefold()


def _words(error: Exception | None) -> str:
    return " ".join(str(error.args[0] if error and error.args else error).split())
