"""Keyword spotting on this computer: a microphone or any audio in, detections out.

    import kws

    for detection in kws.listen():
        print(detection.keyword, detection.score)

In one line
    listen(...)            Iterate over the detections of a microphone.
    spot(path, ...)        Return the detections in an audio file.
    classify(path, ...)    Return which word an audio file holds: (label, score) pairs.
    devices()              Return the microphones of this computer.

Spotting in your own program
    Spotter(...)           Spot keywords in one stream: iterate, push audio, or be called back.
    load(path)             Load a model file once, to share it between spotters.
    Model                  A loaded model file, with its labels and its card.
    Capture                The audio after a word, filled as it comes; from Spotter.capture.
    Block                  Consecutive audio, as a source delivers it.
    Source                 What audio comes from: anything with this protocol can be listened to.
    Stats                  What a spotter has done so far; from Spotter.stats.
    Sink                   A way out of the daemon; the protocol of a sink of your own.

Events, from Spotter.events, Spotter.process and Spotter.on(class)
    Event                  Any of these:
    Detection              A keyword was heard.
    Scores                 One hop's probabilities.
    GateChanged            The gate opened or closed.
    Captured               A capture is complete.
    AudioLost              Audio never arrived, or was dropped.
    DigitalSilence         The device began, or ceased, to deliver nothing but zeros.
    KeywordStuck           A score stayed high, so that the keyword is ignored until it falls.
    VerifierFailed         A call of the verifier failed: the first stage decides alone.

Errors, each also the builtin named
    KwsError               The base of all of them; its text says what to do.
    AudioError             Audio that can't be used (ValueError).
    DeviceError            A sound device that can't be opened, or was lost (OSError).
    ConfigError            An option that makes no sense (ValueError).
    DataError              Recordings or truth files that can't be used (ValueError).
    ModelError             A model file that can't be loaded or run (ValueError).
    CardError              A model card that is missing or malformed (a ModelError).
    ExportError            A checkpoint that can't be exported (RuntimeError).
    ParityError            An export that differs from its original (an ExportError).

On the command line: kws --help. Each of these has its own help: help(kws.Spotter).
Names are loaded on first use, so that `import kws` is quick and loads no library.
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
