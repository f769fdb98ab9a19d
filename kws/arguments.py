"""Arguments: whether what a program passes is of a kind that makes sense, before it is used."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from numbers import Integral, Real
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from kws.errors import ConfigError

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class Changeable(Protocol):
    """An object whose settings may be changed from any thread."""

    _changing: threading.RLock


Owner = TypeVar("Owner", bound=Changeable)


def exclusive(
    method: Callable[Concatenate[Owner, Parameters], Result],
) -> Callable[Concatenate[Owner, Parameters], Result]:
    """Let no two such methods of an object run at the same time: neither sees half a change."""

    @wraps(method)
    def alone(owner: Owner, /, *args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        with owner._changing:  # noqa: SLF001 - it is for this
            return method(owner, *args, **kwargs)

    return alone


def check_options(**given: Any) -> None:
    """Raise ConfigError for an option of a spotter that is of the wrong type; None is none."""
    for name, value in given.items():
        fits, expected = _KINDS[name]
        if value is not None and not fits(value):
            raise ConfigError(f"{name}={value!r} makes no sense; give {expected}")


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_level(value: object) -> bool:
    return _is_number(value) or (
        isinstance(value, Mapping) and all(_is_number(each) for each in value.values())
    )


def _is_channel(value: object) -> bool:
    return value == "mean" or (isinstance(value, Integral) and not isinstance(value, bool))


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_path(value: object) -> bool:
    return isinstance(value, str | os.PathLike)


def _is_overrides(value: object) -> bool:
    return _is_path(value) or hasattr(value, "decision")


def _is_verifier(value: object) -> bool:
    return _is_path(value) or hasattr(value, "card") or hasattr(value, "model")


def _is_names(value: object) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, bytes)


_NAMES = (_is_names, "a name, or a list of names")
_LEVEL = (_is_level, "a number, or a dict of numbers by keyword")
_NUMBER = (_is_number, "a number")
_KINDS: dict[str, tuple[Callable[[object], bool], str]] = {
    "keywords": _NAMES,
    "wake": _NAMES,
    "live": _NAMES,
    "threshold": _LEVEL,
    "sensitivity": _LEVEL,
    "false_alarms": _LEVEL,
    "raise_to": _NUMBER,
    "max_s": _NUMBER,
    "gate": (_is_text, "its name"),
    "device": (_is_text, "a part of its name"),
    "channel": (_is_channel, 'a number from 1 on, or "mean"'),
    "overrides": (_is_overrides, "a path"),
    "verify": (_is_verifier, 'a window model, its path, "bundled" or "none"'),
}
"""What each option may be."""
