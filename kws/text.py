"""Text: names that others chose, shown so that no terminal obeys them."""

from __future__ import annotations

import re

OBEYED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but for line breaks and tabs, what turns the direction of writing, and halves
of characters: bytes of a file's name that are no UTF-8."""
BREAKS = re.compile("[\t\n\r]")


def harmless(text: str) -> str:
    r"""Return a text with `\u001b` for an escape character and the like; lines stay lines.

    Within JSON that is the same string as before.
    """
    return OBEYED.sub(_escaped, text)


def one_line(text: str) -> str:
    r"""Return a text as `harmless` does, and with `\u000a` for a line break."""
    return BREAKS.sub(_escaped, harmless(text))


def _escaped(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"
