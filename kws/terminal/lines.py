"""Lines: events and figures as people and programs read them, one a line."""

from __future__ import annotations

import codecs
import json
import math
import re
import sys
from collections.abc import Mapping
from typing import Any, TextIO

import msgspec

from kws.event_json import as_json_event
from kws.flow import AudioLost, Detection, DigitalSilence, Event, KeywordStuck, VerifierFailed
from kws.text import one_line

SURROGATE = re.compile("[\ud800-\udfff]")
"""What Python makes of a byte that is no UTF-8."""


def share(score: float) -> str:
    """Return a score or a threshold, 0 to 1, with as many digits as tell it from others."""
    # Thresholds stand close below 1, where two digits would round them all up to it.
    return f"{score:.2f}" if score < 0.99 else f"{math.floor(score * 10_000) / 10_000:.4f}"


def sentence(event: Event) -> str | None:
    """Return an event as people read it; None for what is no news."""
    match event:
        case Detection():
            when, text = event.time_s, f"{event.keyword}  {share(event.score)}"
        case AudioLost():
            when, text = event.end_s, f"{event.end_s - event.start_s:.2f} s of audio lost"
        case KeywordStuck():
            when, text = event.time_s, f"{event.keyword} stays high: unheard until it falls"
        case VerifierFailed():
            when, text = event.time_s, f"the first stage decides alone: {event.reason}"
        case DigitalSilence(silent=True):
            when, text = event.time_s, "nothing but zeros: is the microphone muted?"
        case DigitalSilence():
            when, text = event.time_s, "the microphone is heard again"
        case _:
            return None
    return f"{when:8.2f} s  {text}"


class Lines:
    """Prints events as they come: detections to stdout, the rest of the news to stderr.

    as_json: all of them to stdout, as JSON.
    """

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json

    def show(self, event: Event) -> None:
        """Print one event, if it is news."""
        if self._as_json:
            if (news := as_json_event(event)) is not None:
                print_json(msgspec.to_builtins(news))
        elif (text := sentence(event)) is not None:
            aside = None if isinstance(event, Detection) else sys.stderr
            print(one_line(text), file=aside, flush=True)

    def say(self, text: str) -> None:
        """Print a remark."""
        print(one_line(text), file=sys.stderr, flush=True)

    note = say

    def draw(self) -> None:
        """Do nothing: a line stays as it was printed."""


def print_json(value: Mapping[str, Any], file: TextIO | None = None) -> None:
    """Print one JSON object to stdout, or `file`, at once: a pipe's other end is waiting.

    Where that is not UTF-8, what is not ASCII is escaped, as are names of files that are no text.
    """
    out = sys.stdout if file is None else file
    text = json.dumps(value, ensure_ascii=not _is_utf8(out))
    print(SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", text), file=out, flush=True)


def _is_utf8(out: TextIO) -> bool:
    try:
        return codecs.lookup(out.encoding or "utf-8").name == "utf-8"
    except LookupError:
        return False
