"""Safe YAML: HyperPyYAML's language (YAML 1.2 with SpeechBrain's tags), read as data."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from kws.errors import ExportError
from kws.install_hint import install_hint

ROOTS = ("speechbrain.", "torch.", "torchaudio.")
"""Where the targets may lie that a file names beside the model's parts: optimisers, losses, seeds.

Even those are never imported; a file that names anything else was not made for a model.
"""
CALL = re.compile(r"!(new|name|apply|applyref|module):(.+)|tag:yaml\.org,2002:python/([^:]+):(.*)")


@dataclass(frozen=True)
class Call:
    """What a tag such as `!new:speechbrain.lobes.features.Fbank` asks to be made, as data."""

    tag: str
    target: str
    arguments: Any


@dataclass(frozen=True)
class Reference:
    """What stands behind `!ref` or `!copy`."""

    text: str


def parse(text: str) -> Any:
    """Parse a text, every tag as data: Call or Reference.

    Raises ExportError: a tag that can't be data, a target that is no part of a model; what PyYAML
    raises for malformed text.
    """
    try:
        import yaml
    except ImportError:
        raise ExportError(f"needs PyYAML; {install_hint('export')}") from None

    class Loader(yaml.SafeLoader):
        """A loader that can make nothing but data."""

        yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - its parent's, anew

        def construct_mapping(self, node: Any, deep: bool = True) -> dict[Any, Any]:
            keys = Counter(str(self.construct_object(key, deep=True)) for key, _ in node.value)
            if twice := [key for key, count in keys.items() if count > 1]:
                raise ExportError(f"names {', '.join(twice)} twice")
            return dict(super().construct_mapping(node, deep=deep))

    for tag, pattern, first in (
        ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
        ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
        ("int", r"[-+]?(0|[1-9][0-9_]*)", "-+0123456789"),
        ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*|(?=[eE])))([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ):
        Loader.add_implicit_resolver(
            f"tag:yaml.org,2002:{tag}", re.compile(f"^(?:{pattern})$"), list(first)
        )
    Loader.add_multi_constructor("", _inert)
    return yaml.load(text, Loader)  # noqa: S506 - a SafeLoader


def _inert(loader: Any, tag: str, node: Any) -> Any:
    """Make data of a node with a tag that YAML itself doesn't define. Raises ExportError."""
    match node.id:
        case "mapping":
            content = loader.construct_mapping(node, deep=True)
        case "sequence":
            content = loader.construct_sequence(node, deep=True)
        case _:
            content = loader.construct_scalar(node)
    if tag in ("!ref", "!copy") and isinstance(content, str):
        return Reference(content)
    if tag == "!tuple":
        return content
    if not (called := CALL.fullmatch(tag)):
        raise ExportError(f"holds {tag}, which can't be read as data: write out what it stands for")
    target = called[2] or called[4]
    if not target.startswith(ROOTS):
        raise ExportError(f"names {target}, which is no part of SpeechBrain or torch")
    return Call(called[1] or called[3], target, content)
