"""Gates: what tells voice from the rest. One a file, found by the file's name."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from kws.errors import ConfigError
from kws.flow import Samples
from kws.steps import Answer, Run

if TYPE_CHECKING:
    from kws.session import Model


class Detector(Protocol):
    """Tells for each frame whether there is voice in it."""

    frame: int
    """Samples a frame."""
    tells_voice: bool
    """False where the answer says nothing about voice, so that words are placed by energy."""

    def voiced(self, frame: Samples, /) -> bool:
        """Return whether there is voice in the next frame, float32 [frame]."""

    def reset(self) -> None:
        """Forget everything heard so far."""


@runtime_checkable
class Asking(Detector, Protocol):
    """A detector that runs a network, and can wait for its answer."""

    def hear(self, frame: Samples, /) -> bool | Run:
        """Return whether there is voice in the next frame, or the call that it takes to tell."""

    def told(self, answer: Answer, /) -> bool:
        """Return whether there is voice in the frame that asked."""


def names() -> list[str]:
    """Return the names of all gates."""
    return sorted(module.name for module in iter_modules(__path__))


def detector(
    name: str,
    rate: int,
    parameters: Mapping[str, int | float | str],
    model: Model | None = None,
) -> Detector:
    """Make the named gate's detector for one stream at `rate`.

    model: the network that a model file holds for its gate. Raises ConfigError: no such gate, a
    rate or a parameter that it does not take.
    """
    if name not in names():
        raise ConfigError(f"there is no gate {name!r}; there are {', '.join(names())}")
    make = import_module(f"kws.gates.{name}").Detector
    network: dict[str, Any] = {} if model is None else {"model": model}
    try:
        made: Detector = make(rate, **parameters, **network)
    except TypeError:
        raise ConfigError(f"gate {name} does not take {dict(parameters)}") from None
    return made
