"""Keyword spotting on the device: a microphone or any audio in, detections out.

    import kws

    for detection in kws.listen():
        print(detection.keyword, detection.score)

Names are bound on first use, so that `import kws` costs nothing and loads no library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kws.capture import Capture
    from kws.errors import (
        AudioError,
        CardError,
        ConfigError,
        DataError,
        DeviceError,
        ExportError,
        KwsError,
        ModelError,
        ParityError,
    )
    from kws.flow import (
        AudioLost,
        Block,
        Captured,
        Detection,
        DigitalSilence,
        Event,
        GateChanged,
        KeywordStuck,
        Scores,
        Stats,
        VerifierFailed,
    )
    from kws.session import Model, load
    from kws.shortcuts import classify, listen, spot
    from kws.sinks import Sink
    from kws.sources import Source
    from kws.sources.devices import devices
    from kws.spotter import Spotter

__all__ = [
    "AudioError",
    "AudioLost",
    "Block",
    "Capture",
    "Captured",
    "CardError",
    "ConfigError",
    "DataError",
    "Detection",
    "DeviceError",
    "DigitalSilence",
    "Event",
    "ExportError",
    "GateChanged",
    "KeywordStuck",
    "KwsError",
    "Model",
    "ModelError",
    "ParityError",
    "Scores",
    "Sink",
    "Source",
    "Spotter",
    "Stats",
    "VerifierFailed",
    "classify",
    "devices",
    "listen",
    "load",
    "spot",
]

__version__ = "0.1.0"

_HOMES = {
    "kws.capture": ["Capture"],
    "kws.session": ["Model", "load"],
    "kws.sinks": ["Sink"],
    "kws.sources": ["Source"],
    "kws.sources.devices": ["devices"],
    "kws.shortcuts": ["classify", "listen", "spot"],
    "kws.spotter": ["Spotter"],
    "kws.flow": [
        *["AudioLost", "Block", "Captured", "Detection", "DigitalSilence"],
        *["Event", "GateChanged", "KeywordStuck", "Scores", "Stats", "VerifierFailed"],
    ],
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'kws' has no attribute {name!r}")
    value = getattr(import_module(_HOME.get(name, "kws.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
