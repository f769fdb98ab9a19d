"""Where: which line of a TOML file an error is about, which name was meant, and what is wrong."""

from __future__ import annotations

import pathlib
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

import msgspec

from kws.errors import ConfigError, KwsError
from kws.files import read_regular

STEP = re.compile(r"\.([\w-]+)|\[(\d+)\]|\[\.\.\.\]")
MISSING = re.compile("Object missing required field `(.*)`")
GOT = re.compile("(?:Invalid enum value |Expected .*, got )(.*)")
TYPE = re.compile("`(.*?)`")
WORDS = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
}
"""How msgspec calls types, in a user's words."""

Path = tuple[str | int, ...]


class SettingError(ConfigError):
    """What a setting asks for can't be had. steps: the way to it in the file."""

    def __init__(self, what: str, steps: Path) -> None:
        super().__init__(what)
        self.steps = steps


@contextmanager
def about(*steps: str | int) -> Iterator[None]:
    """Let what goes wrong in here be about this setting. Raises SettingError."""
    try:
        yield
    except SettingError:
        raise
    except KwsError as error:
        raise SettingError(str(error), steps) from None


def told(error: SettingError, path: pathlib.Path | None) -> ConfigError:
    """Return an error that shows only when the setting is used, with its line in the file."""
    if path is None:
        return ConfigError(str(error))
    what = f"{key(error.steps)}: {str(error).removeprefix(f'{path}: ')}"
    return ConfigError(placed(what, error.steps, text(path), path))


def text(path: pathlib.Path) -> str:
    """Return what stands in a config. Raises ConfigError: it can't be read."""
    try:
        return read_regular(path).decode("utf-8-sig")  # some editors begin with a mark
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file; `kws config init` writes one") from None
    except OSError as error:
        raise ConfigError(f"{path}: can't be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: can't be read (it is not UTF-8)") from None


def placed(what: str, steps: Path, text: str, path: object) -> str:
    """Return what is wrong, after the file and the line where it stands."""
    number = line(text, steps)
    return f"{path}{f', line {number}' if number else ''}: {what}"


def key(steps: Path) -> str:
    """Return the key, or the table, that such a way leads to."""
    return next(step for step in reversed(steps) if isinstance(step, str))


def parse(text: str) -> dict[str, Any]:
    """Return what a TOML text says. Raises ValueError: it is none; why, and in which line."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    return tomllib.loads(text)


def loaded(text: str, path: pathlib.Path) -> dict[str, Any]:
    """Return what a config's text says. Raises ConfigError: it is no TOML."""
    try:
        data = parse(text)
        endless(data)  # walks through all of it
    except (ValueError, RecursionError) as error:  # the latter: nested too deeply
        raise ConfigError(f"{path}: is no TOML: {error}") from None
    return data


def steps(path: str) -> Path:
    """Return the steps of a msgspec path: `.model[1].path` -> ("model", 1, "path")."""
    found = [match.groups() for match in STEP.finditer(path)]
    return tuple(name or int(index) for name, index in found if name or index)


def line(text: str, path: Path) -> int | None:
    """Return the number of the line where a path's value begins, or else the table around it.

    None: not even that is there. The text must be TOML.
    """
    lines = text.split("\n")
    found, depth, begin = None, 0, 1
    for number in range(1, len(lines) + 1):
        try:
            data = parse("\n".join(lines[:number]))
        except ValueError:  # in the midst of a value of several lines
            continue
        if (reached := _reached(data, path)) > depth:
            found, depth = begin, reached
        begin = number + 1
    return found


def endless(value: Any, path: Path = ()) -> Path | None:
    """Return the path to nan, inf, or a number past 64 bits; None: there is no such."""
    if isinstance(value, float | int):
        return None if abs(value) < 2**63 else path
    inside: Iterable[tuple[str | int, Any]] = ()
    if isinstance(value, dict):
        inside = value.items()
    elif isinstance(value, list):
        inside = enumerate(value)
    return next((found for step, each in inside if (found := endless(each, (*path, step)))), None)


def near(wanted: str, names: Sequence[str]) -> str:
    """Return a hint at what was meant, or at all that there is."""
    found = get_close_matches(wanted, names, n=2, cutoff=0.5)
    return f"did you mean {' or '.join(found)}?" if found else f"there are {', '.join(names)}"


def kind(struct: Any, path: Path) -> Any:
    """Return what msgspec knows of a struct's part that a path leads to; None: nothing."""
    info = msgspec.inspect.type_info(struct)
    for step in path:
        info = _inside(info, step)
    return info


def names(kind: Any) -> list[str]:
    """Return the keys of such a table."""
    return [each.encode_name for each in getattr(kind, "fields", ())]


def header(name: str, kind: Any) -> str:
    """Return how a table of such a kind begins."""
    several = isinstance(kind, msgspec.inspect.ListType)
    return f"[[{name}]], there may be several" if several else f"[{name}]"


def plain(what: str, kind: Any) -> str:
    """Return what msgspec says of such a value, in a user's words."""
    if missing := MISSING.match(what):
        return f"{missing[1]} is missing"
    if (got := GOT.match(what)) and (words := _words(kind)):
        what = f"Expected {' or '.join(words)}, got {got[1]}"
    return TYPE.sub(_in_words, what.replace("Expected", "expected", 1))


def _reached(data: Any, path: Path) -> int:
    """Return how many of a path's steps lead somewhere."""
    try:
        return 1 + _reached(data[path[0]], path[1:])
    except (LookupError, TypeError):
        return 0


def _inside(info: Any, step: str | int) -> Any:
    if isinstance(step, int):
        return getattr(info, "item_type", None)
    found = next((f.type for f in getattr(info, "fields", ()) if f.encode_name == step), None)
    tables = [each for each in getattr(found, "types", ()) if hasattr(each, "fields")]
    return tables[0] if tables else found  # a table that may be missing is that table


def _words(kind: Any) -> list[str]:
    """Return what can be given where only certain words can."""
    parts = getattr(kind, "types", (kind,))
    literals = [each for each in parts if isinstance(each, msgspec.inspect.LiteralType)]
    words = [repr(value) for each in literals for value in each.values]
    number = any(isinstance(each, msgspec.inspect.IntType) for each in parts)
    return [WORDS["int"], *words] if words and number else words


def _in_words(match: re.Match[str]) -> str:
    types = [each for each in match[1].split(" | ") if each != "null"]
    return " or ".join(WORDS.get(each, each) for each in types)
