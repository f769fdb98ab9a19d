"""Hyperparams: SpeechBrain's hyperparams.yaml (HyperPyYAML), read as data; no tag is run."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from export.speechbrain import safeyaml
from export.speechbrain.safeyaml import Call, Reference
from kws.errors import ExportError

LARGEST, LONGEST = 200_000, 2_000
"""Bytes of a file, characters of a string after its references were filled in."""
REFERENCE = re.compile(r"<([^<>]*)>")
ARITHMETIC = re.compile(r"[-+*/%()0-9.eE\s]+")
OPERATORS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}


@dataclass(frozen=True)
class Hyperparams:
    """A hyperparams.yaml. Entries are resolved when asked for, so that unused ones cost nothing."""

    path: Path

    @cached_property
    def tree(self) -> dict[str, Any]:
        """The file's entries, references unresolved. Raises ExportError."""
        try:
            if self.path.stat().st_size > LARGEST:
                raise ExportError(f"{self.path}: is larger than {LARGEST:,} bytes")
            tree = safeyaml.parse(self.path.read_text(encoding="utf-8"))
        except ExportError as error:
            raise ExportError(f"{self.path}: {error}; nothing of it was run") from None
        except (Exception, RecursionError) as error:  # noqa: BLE001 - whatever a hostile file provokes
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise ExportError(f"{self.path}: can't be read: {reason}") from None
        if not isinstance(tree, dict):
            raise ExportError(f"{self.path}: holds no mapping")
        return tree

    def value(self, *keys: str) -> Any:
        """Return an entry with its references resolved; None where there is none.

        value("modules", "classifier") is what `classifier` is in `modules`. Raises ExportError.
        """
        try:
            return Resolver(self.tree).at(keys)
        except KeyError:
            return None
        except ExportError as error:
            raise ExportError(f"{self.path}: {' '.join(keys)}: {error}") from None
        except (ArithmeticError, RecursionError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ExportError(f"{self.path}: {' '.join(keys)}: {reason}") from None

    def part(self, name: str, known: Mapping[str, Mapping[str, Any]]) -> tuple[str, dict[str, Any]]:
        """Return the target of one of `modules` and all its arguments.

        known: the targets that can be rebuilt, with their classes' arguments and defaults, in
        order (`...`: has no default). Raises ExportError: another target, an argument that the
        class doesn't have, a missing one.
        """
        call = self.value("modules", name)
        if not isinstance(call, Call) or call.tag != "new":
            raise ExportError(f"{self.path}: modules names no {name} made by !new:")
        if call.target not in known:
            raise ExportError(
                f"{self.path}: {name}: {call.target} is not known; known: {', '.join(known)}"
            )
        defaults, given = known[call.target], call.arguments
        if isinstance(given, list):
            given = dict(zip(defaults, given, strict=False))
        elif not isinstance(given, dict):  # HyperPyYAML passes nothing else on
            given = {}
        if strange := [str(key) for key in given if key not in defaults]:
            raise ExportError(
                f"{self.path}: {name}: {call.target} has no argument {', '.join(strange)}"
            )
        arguments = {**defaults, **given}
        if missing := [key for key, value in arguments.items() if value is ...]:
            raise ExportError(f"{self.path}: {name}: {call.target} lacks {', '.join(missing)}")
        return call.target, arguments


class Resolver:
    """Fills in the references of a tree. Each node is resolved once: what is shared stays so."""

    def __init__(self, tree: dict[str, Any]) -> None:
        self._tree = tree
        self._done: dict[int, Any] = {}
        self._open: set[int] = set()

    def at(self, keys: tuple[str, ...]) -> Any:
        """Resolve what lies at these keys. Raises KeyError: nothing does."""
        node: Any = self._tree
        for key in keys:
            if isinstance(node, Reference):
                node = self.resolve(node)
            if isinstance(node, Call):
                node = node.arguments
            if not isinstance(node, dict):
                raise KeyError(key)
            node = node[key]
        return self.resolve(node)

    def resolve(self, node: Any) -> Any:
        """Return `node` without references. Raises ExportError: it refers to itself."""
        if not isinstance(node, Call | Reference | dict | list):
            return node
        if id(node) in self._done:
            return self._done[id(node)]
        if id(node) in self._open:
            raise ExportError("refers to itself")
        self._open.add(id(node))
        found = self._inside(node)
        self._open.discard(id(node))
        self._done[id(node)] = found
        return found

    def _inside(self, node: Any) -> Any:
        match node:
            case Reference(text):
                return self._filled(text)
            case Call(tag, target, arguments):
                return Call(tag, target, self.resolve(arguments))
            case dict():
                return {key: self.resolve(value) for key, value in node.items()}
            case _:
                return [self.resolve(value) for value in node]

    def _filled(self, text: str) -> Any:
        """One reference alone keeps its type; within a text it becomes text, or arithmetic."""
        if whole := REFERENCE.fullmatch(text):
            return self._referred(whole[1])
        filled = REFERENCE.sub(lambda found: self._written(found[1]), text)
        if len(filled) > LONGEST:
            raise ExportError(f"{text[:40]} grows beyond {LONGEST} characters")
        return _calculated(filled)

    def _written(self, name: str) -> str:
        value = self._referred(name)
        if isinstance(value, Call | dict | list):
            raise ExportError(f"<{name}> stands within a text, but is none")
        return str(value)

    def _referred(self, name: str) -> Any:
        """Resolve `key` or `key[inner]`."""
        try:
            return self.at(tuple(part.strip("]") for part in name.split("[")))
        except KeyError:
            raise ExportError(f"<{name}> is not in the file") from None


def _calculated(text: str) -> Any:
    """Work out numbers with + - * / // %; any other text stays as it is."""
    if not ARITHMETIC.fullmatch(text):
        return text
    try:
        return _number(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, TypeError, KeyError, MemoryError):
        return text


def _number(node: Any) -> Any:
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return node.value
    if isinstance(node, ast.BinOp):
        return OPERATORS[type(node.op)](_number(node.left), _number(node.right))
    raise TypeError
