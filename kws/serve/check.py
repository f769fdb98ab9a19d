"""Check: all that is wrong with a config, told at once; and what of it does not work now."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from kws import sinks
from kws.errors import ConfigError, KwsError
from kws.home import expanded
from kws.serve import where
from kws.serve.audience import seats
from kws.serve.build import Built, build
from kws.serve.config import Config, Microphone, convert
from kws.serve.network import planned
from kws.serve.where import SettingError, told
from kws.sources import devices

MOST = 100
"""Mistakes that are told."""
WORDS = {"keywords", "thresholds", "false_alarms", "wake", "live", "overrides"}
"""Settings that can't be judged without all the models."""


def mistakes(path: Path) -> list[str]:
    """Return all that is wrong with a config, a line each.

    What was found is left out, and the rest looked at again. Raises ConfigError: it can't be read.
    """
    text = where.text(path)
    data, found, whole = where.loaded(text, path), list[str](), True
    for _ in range(MOST):
        try:
            config = _converted(data, text, path)
            _build(config, path)
            break
        except SettingError as error:
            steps = error.steps
            about_models = steps[:1] == ("model",) and steps[2:] in ((), ("path",))
            if whole or not (steps[2:] == () if about_models else WORDS & {*map(str, steps)}):
                found.append(str(error))
            whole = whole and not about_models
            if not _forget(data, steps):
                break
        except KwsError as error:
            return [*found, str(error)]
    return list(dict.fromkeys(found))


def _converted(data: dict[str, Any], text: str, path: Path) -> Config:
    """Return the config. Raises SettingError, with the line in its text."""
    try:
        return convert(data)
    except SettingError as error:
        line = where.placed(str(error), error.steps, text, path)
        raise SettingError(line, error.steps) from None


def _build(config: Config, path: Path) -> None:
    """Make all that a config asks for. Raises SettingError, with the line in its text."""
    try:
        built = build(config, path)
        planned(built)
        seats(built, path, lambda _: None)
    except SettingError as error:
        raise SettingError(str(told(error, path)), error.steps) from None


def _forget(data: dict[str, Any], steps: where.Path) -> bool:
    """Take a setting away, so that it does not hide others; whether that was possible.

    Parts of lists keep their numbers, by which lines are found.
    """
    match steps:
        case ("sink", int(number), *rest) if not rest or rest[0] not in data["sink"][number]:
            data["sink"][number] = {"type": "jsonl"}
        case ("sink", int(number), "type"):
            data["sink"][number] = {"type": "jsonl"}
        case ("microphone", int(number), "name"):
            data["microphone"][number]["name"] = f"microphone {number}"
        case ("model", int(number)):  # it knows a word of another
            del data["model"][number:]
        case _:
            return _delete(data, steps)
    return True


def _delete(data: Any, steps: where.Path) -> bool:
    """Delete what a path leads to, or else the table around it."""
    try:
        for step in steps[:-1]:
            data = data[step]
        del data[steps[-1]]
    except (LookupError, TypeError):
        return len(steps) > 1 and _delete(data, steps[:-1])
    return True


def troubles(built: Built, path: Path | None) -> Iterator[str]:
    """Yield what would not work now, a line each: microphones, folders, logins.

    Nothing is opened that a running daemon holds, and nothing is told to anyone.
    """
    tries: list[tuple[where.Path, Callable[[], None]]] = [
        (("microphone", number, "device"), partial(_look, wanted))
        for number, wanted in enumerate(built.config.microphone)
    ]
    if built.config.record.folder:
        tries.append((("record", "folder"), partial(_write, expanded(built.config.record.folder))))
    tries += [
        (("sink", number), seat.sink.probe)
        for number, seat in enumerate(seats(built, path, lambda _: None))
        if isinstance(seat.sink, sinks.Probing)
    ]
    for steps, attempt in tries:
        if trouble := _trouble(attempt):
            yield str(told(SettingError(trouble, steps), path))


def _trouble(attempt: Callable[[], None]) -> str | None:
    try:
        attempt()
    except KwsError as error:
        return str(error)
    return None


def _look(wanted: Microphone) -> None:
    """Raise KwsError where a microphone is not there, or lacks the channel."""
    found = devices.find(wanted.device or None)
    if isinstance(wanted.channel, int) and wanted.channel > found.channels:
        raise ConfigError(f"{found} has no channel {wanted.channel}: it has {found.channels}")


def _write(folder: Path) -> None:
    """Raise ConfigError where a folder can neither be written nor made."""
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise ConfigError(f"{folder} can't be written")
