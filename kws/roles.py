"""Roles: which of the models' words are armed, and whether they wake or command."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import TypeAlias

from kws.card import Card
from kws.errors import ConfigError

Names: TypeAlias = str | Iterable[str]


def find_roles(
    cards: Sequence[Card],
    keywords: Names | None = None,
    wake: Names | None = None,
) -> dict[str, str]:
    """Return the armed keywords with their role, `keyword` or `wake`.

    keywords: None is all. wake: the words that commands must follow; the cards' other wake words
    are then off, unless named as keywords. Raises ConfigError for names that can't be so.
    """
    spotted = {label.name: label.role for one in cards for label in one.keywords}
    if not spotted:
        raise ConfigError(
            "the model names no keyword to spot; `kws classify` takes it, "
            "with --embedding where it gives embeddings only"
        )
    waking = _waking(wake, spotted)
    if keywords is not None:
        armed = known(keywords, spotted, "keyword")
    else:
        armed = [name for name, role in spotted.items() if role == "keyword" or not waking]
    if not armed and not waking:
        raise ConfigError(f"no keyword is armed; there are {', '.join(spotted)}")
    heard = {name: "keyword" if waking else str(spotted[name]) for name in armed}
    return heard | dict.fromkeys(waking, "wake")


def _waking(wake: Names | None, roles: Mapping[str, str]) -> list[str]:
    found = [] if wake is None else known(wake, roles, "wake word")
    if wake is not None and not found:
        raise ConfigError("wake names no word, so that no command could ever count; leave it out")
    real = [name for name, role in roles.items() if role == "wake"]
    if real and (wrong := sorted({*found} - {*real})):
        raise ConfigError(
            f"{wrong[0]!r} is a command, not a wake word; wake words: {', '.join(real)}"
        )
    return found


def rejoin(parts: Sequence[str], names: Iterable[str]) -> list[str]:
    """Return the parts of `a,b`, those put together again that a name with commas was cut into."""
    there = {_unspaced(name): name for name in names if "," in name}
    found: list[str] = []
    at = 0
    while at < len(parts):
        end = len(parts)
        while end > at + 1 and _unspaced(",".join(parts[at:end])) not in there:
            end -= 1
        found.append(there.get(_unspaced(",".join(parts[at:end])), parts[at]))
        at = end
    return found


def _unspaced(name: str) -> str:
    return ",".join(part.strip() for part in name.split(","))


def known(wanted: Names, names: Iterable[str], what: str) -> list[str]:
    """Return the wanted names; raise ConfigError, with the near ones, where one is unknown."""
    names = list(names)
    found = [wanted] if isinstance(wanted, str) else list(wanted)
    for name in found:
        if name not in names:
            raise ConfigError(f"unknown {what} {name!r}; {near(str(name), names)}")
    return found


def near(name: str, names: Sequence[str]) -> str:
    """Return a hint at what was meant by a name, or at all that there are."""
    found = get_close_matches(name, names, n=3, cutoff=0.5)
    return f"did you mean {', '.join(found)}?" if found else f"there are {', '.join(names)}"
