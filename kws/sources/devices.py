"""Inputs: the sound devices of this machine that can be listened to, found by name."""

from __future__ import annotations

import difflib
import os
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

from kws.errors import ConfigError, DeviceError

RATES = (8_000, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000, 192_000)
"""Hz; what `Input.rates` asks a device for, beside its own."""

ANY_CHANNELS = 32
"""A sound server's ALSA plug-in takes whatever it is asked for, and says so with this or more."""


@dataclass(frozen=True, slots=True)
class Input:
    """A sound device that records.

    rate: its own, in Hz. channels: as many as it has (a sound server's device: as many as it
    accepts). index: PortAudio's number, good until the next device comes or goes.
    """

    name: str
    host_api: str
    rate: int
    channels: int
    default: bool
    index: int

    @property
    def is_server(self) -> bool:
        """A sound server that converts to any rate and number of channels."""
        return self.channels >= ANY_CHANNELS

    def rates(self) -> list[int]:
        """Which of the usual rates, and its own, it opens at; none while it is busy."""
        sounddevice = portaudio()
        opened = []
        for rate in sorted({*RATES, self.rate}):
            try:
                sounddevice.check_input_settings(device=self.index, channels=1, samplerate=rate)
            except (sounddevice.PortAudioError, ValueError):
                continue
            opened.append(rate)
        return opened

    def __str__(self) -> str:
        return f"{self.name} ({self.host_api})"


def portaudio() -> Any:
    """Return the sounddevice module.

    Raises DeviceError: PortAudio is not installed, or can't start.
    """
    try:
        import sounddevice
    except OSError:
        raise DeviceError(
            "PortAudio is not installed; `apt install libportaudio2` (Debian, Ubuntu), "
            "`dnf install portaudio` (Fedora) or `brew install portaudio` (macOS)"
        ) from None
    except Exception as error:  # noqa: BLE001 - its own class can't be imported without it
        raise DeviceError(_cannot_start(error)) from None
    _started_in()
    return sounddevice


@cache
def _started_in() -> int:
    """Return the process in which PortAudio was started."""
    return os.getpid()


def is_forked() -> bool:
    """Whether this process inherited PortAudio from the one that it was forked from."""
    return _started_in() != os.getpid()


def _cannot_start(error: Exception) -> str:
    said = " ".join(str(part) for part in error.args[:1])
    return f"PortAudio can't start ({said}); is the sound server up, and may you use it?"


def refresh() -> None:
    """Look for devices again; only while no stream is open, for that ends with it.

    PortAudio makes its list once: a device or a sound server that comes later is not in it.
    """
    sounddevice = portaudio()
    with suppress(sounddevice.PortAudioError):  # it could not start the last time
        sounddevice._terminate()  # noqa: SLF001 - it has no public name, its author recommends it
    try:
        sounddevice._initialize()  # noqa: SLF001
    except sounddevice.PortAudioError as error:
        raise DeviceError(_cannot_start(error)) from None


def devices() -> list[Input]:
    """Return the inputs of this machine, the default one first.

    >>> for device in kws.devices():  # doctest: +SKIP
    ...     print(device.name)

    Raises DeviceError: PortAudio is not installed, or can't start.
    """
    sounddevice = portaudio()
    try:
        names = [api["name"] for api in sounddevice.query_hostapis()]
        default = sounddevice.default.device[0]
        numbers = range(sounddevice._lib.Pa_GetDeviceCount())  # noqa: SLF001 - as below
        described = [_described(sounddevice, number) for number in numbers]
    except sounddevice.PortAudioError as error:
        raise DeviceError(_cannot_start(error)) from None
    found = [
        Input(
            name=" ".join(device["name"].split()),
            host_api=names[device["hostapi"]],
            rate=round(device["default_samplerate"]),
            channels=device["max_input_channels"],
            default=index == default,
            index=index,
        )
        for index, device in enumerate(described)
        if device["max_input_channels"] > 0
    ]
    return sorted(found, key=lambda device: not device.default)


def _described(sounddevice: Any, number: int) -> dict[str, Any]:
    """Return what is known of a device; one whose name is not UTF-8 hides no other."""
    try:
        described: dict[str, Any] = sounddevice.query_devices(number)
    except UnicodeDecodeError as error:
        info = sounddevice._lib.Pa_GetDeviceInfo(number)  # noqa: SLF001 - nothing else tells it
        return {
            "name": error.object.decode("latin-1"),
            "hostapi": info.hostApi,
            "default_samplerate": info.defaultSampleRate,
            "max_input_channels": info.maxInputChannels,
        }
    return described


def find(name: str | None = None) -> Input:
    """Return the input whose name, or `name (host API)`, contains `name`; None: the default one.

    Case does not count. An equal name goes before one that contains it, the default input
    before others.

    Raises ConfigError: no input is called so; the message lists the near ones.
    DeviceError: there is no input at all (and none was named), or no PortAudio.
    """
    inputs = devices()
    if name is None:
        if not inputs:
            raise DeviceError("there is no microphone: connect one, or start the sound server")
        return inputs[0]
    wanted = name.casefold().strip()
    equal = [device for device in inputs if device.name.casefold() == wanted]
    holding = [device for device in inputs if wanted and wanted in str(device).casefold()]
    for device in equal + holding:
        return device
    raise ConfigError(f"no input device is called {name!r}; {_near(wanted, inputs)}")


def _near(wanted: str, inputs: list[Input]) -> str:
    names = list(dict.fromkeys(device.name for device in inputs))
    if not names:
        return "there is no input device at all"
    lower = {name.casefold(): name for name in names}
    near = [lower[name] for name in difflib.get_close_matches(wanted, lower, n=3, cutoff=0.4)]
    if near:
        return f"near it: {', '.join(near)}"
    return f"there are: {', '.join(names[:5])}" + (", ..." if len(names) > 5 else "")
