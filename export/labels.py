"""Labels: what is known of a checkpoint from the words it names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kws.card import Label
from kws.errors import ExportError
from kws.roles import rejoin

_WORDS = """
    backward bed bird cat dog down eight five follow forward four go happy house learn left marvin
    nine no off on one right seven sheila six stop three tree two up visual wow yes zero
"""
SPEECH_COMMANDS = frozenset(_WORDS.split())
"""The words of Speech Commands v0.02 (Warden, arXiv 1804.03209)."""
BACKGROUND = frozenset({"silence", "unknown", "background", "background_noise", "other", "noise"})
"""Labels that name no word, without the underscores that often surround them."""


def plain(label: str) -> str:
    """Return a label without case and the underscores that often surround it."""
    return label.strip("_ ").lower()


def is_background(label: str) -> bool:
    """Whether a label means that nothing of interest was heard."""
    return plain(label) in BACKGROUND


def are_commands(labels: Iterable[str]) -> bool:
    """Whether most labels are words of Speech Commands, which are said within a second."""
    words = [label.lower() for label in labels if not is_background(label)]
    return sum(word in SPEECH_COMMANDS for word in words) > len(words) / 2


def window_s(labels: Iterable[str]) -> float | None:
    """Return how long clips with such labels are; None where the labels don't tell."""
    return 1.0 if are_commands(labels) else None


def roles(labels: Sequence[str], wake: Sequence[str], background: Sequence[str]) -> list[Label]:
    """Return the labels with their roles. Raises ExportError: an unknown or a repeated name."""
    if repeated := {label for label in labels if labels.count(label) > 1}:
        raise ExportError(f"the checkpoint names {', '.join(sorted(repeated))} more than once")
    wake, background = rejoin(wake, labels), rejoin(background, labels)
    if unknown := {*wake, *background} - {*labels}:
        raise ExportError(
            f"no label {', '.join(sorted(unknown))}; there are {', '.join(labels[:40])}"
        )
    made = []
    for label in labels:
        if label in background or (label not in wake and is_background(label)):
            made.append(Label(label))
        else:
            made.append(Label(label, "wake" if label in wake else "keyword", phrase=label))
    return made
