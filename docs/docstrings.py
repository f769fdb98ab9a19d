"""Show a docstring's arguments and fields as a list.

In the code they stand in running text: "rate: Hz. channels: how many." A line each reads better on
a page.
"""

from __future__ import annotations

import re
from inspect import cleandoc
from typing import Any

from griffe import Class, Extension, Function

NAMES = r"(?<![\w`])((?:{0})(?:, (?:{0}))*): "
RAISES = re.compile(r"(?<=\.) Raises (?=[A-Z])")


def listed(text: str, names: list[str]) -> str:
    """Return a docstring with a list item for each of the names that it explains."""
    parts = [part for part in text.split("\n\n") if part.strip()]
    return "\n\n".join([*parts[:1], *(_shown(part, names) for part in parts[1:])])


def _shown(part: str, names: list[str]) -> str:
    """Return a paragraph as Markdown: an example as code, what it explains as a list."""
    if part.lstrip().startswith(">>>"):
        return f"```pycon\n{cleandoc(part)}\n```"
    part = RAISES.sub("\n\nRaises ", " ".join(part.split()))
    if names:
        pattern = re.compile(NAMES.format("|".join(map(re.escape, sorted(names, key=len)[::-1]))))
        part = pattern.sub(lambda found: f"\n- `{found[1].replace(', ', '`, `')}`: ", part)
    before, dash, after = part.replace(" \n- ", "\n- ").partition("\n- ")
    return f"{before}\n{dash}{after}" if before and dash else part.strip()


class Listed(Extension):
    """Change the docstrings of functions and classes as they are read."""

    def on_function(self, *, func: Function, **_: Any) -> None:
        """List a function's arguments."""
        if func.docstring and "```" not in func.docstring.value:
            func.docstring.value = listed(func.docstring.value, [p.name for p in func.parameters])

    def on_class(self, *, cls: Class, **_: Any) -> None:
        """List a class's arguments and fields."""
        if not cls.docstring or "```" in cls.docstring.value:
            return
        names = [name for name, each in cls.members.items() if each.is_attribute]
        made = cls.members.get("__init__")
        if isinstance(made, Function):
            names += [parameter.name for parameter in made.parameters]
        cls.docstring.value = listed(cls.docstring.value, [*dict.fromkeys(names)])
