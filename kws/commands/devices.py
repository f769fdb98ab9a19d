"""`kws devices`: the microphones of this machine."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from kws.errors import DeviceError
from kws.terminal import options
from kws.text import one_line

if TYPE_CHECKING:
    from kws.sources.devices import Input

HEARD_S = 0.3
"""Seconds that each device is listened to for its level."""


def devices(json: options.Json = False) -> None:
    """List the microphones, with their levels.

    Name and host API, rates, channels with the level of each; * marks the default one.
    """
    from kws.sources import devices as inputs
    from kws.terminal.lines import print_json
    from kws.terminal.quiet import quiet_libraries

    with quiet_libraries():
        found = inputs.devices()
        if not found:
            raise DeviceError("there is no microphone: connect one, or start the sound server")
        for device in found:
            rates, (levels, trouble) = device.rates(), _levels(device)
            if json:
                print_json(_record(device, rates, levels, trouble))
            else:
                print(one_line(_words(device, rates, levels, trouble)), flush=True)


def _levels(device: Input) -> tuple[list[float], str | None]:
    """Return each channel's level in dBFS, and why there is none."""
    from kws.terminal.levels import level_db, record

    try:
        return level_db(record(device, HEARD_S)), None
    except DeviceError as error:
        return [], str(error)


def _record(
    device: Input, rates: list[int], levels: list[float], trouble: str | None
) -> dict[str, object]:
    return {
        "name": device.name,
        "host_api": device.host_api,
        "default": device.default,
        "rate": device.rate,
        "rates": rates,
        "channels": device.channels,
        "levels_db": [None if math.isinf(level) else round(level, 1) for level in levels],
        "error": trouble,
    }


def _words(device: Input, rates: list[int], levels: list[float], trouble: str | None) -> str:
    mark = "*" if device.default else " "
    khz = ", ".join(f"{rate / 1000:g}" for rate in rates)
    if trouble is not None:
        heard = trouble.removeprefix(f"{device} ")
    else:
        heard = ", ".join("zeros" if math.isinf(level) else f"{level:.0f} dB" for level in levels)
    count = "any number of channels" if device.is_server else f"channels: {device.channels}"
    return f"{mark} {device}  own rate {device.rate / 1000:g} of {khz} kHz  {count}  level: {heard}"
