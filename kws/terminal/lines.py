"""Lines: events and figures as people and programs read them, one a line."""

from __future__ import annotations

import codecs
import json
import math
import re
import sys
from collections.abc import Mapping
from typing import Any, TextIO

from kws.flow import AudioLost, Detection, DigitalSilence, Event, KeywordStuck, VerifierFailed
from kws.text import one_line

SURROGATE = re.compile("[\ud800-\udfff]")
"""What Python makes of a byte that is no UTF-8."""


def record(event: Event, *, audio: str | None = None) -> dict[str, Any] | None:
    """Return an event as a JSON object, its class as `type`; None for what is no news.

    audio: the name of the recording, where it is one. Scores and times are rounded: to four
    digits, and to milliseconds.
    """
    match event:
        case Detection():
            where = {} if audio is None else {"audio": audio}
            when = {} if event.wall_time is None else {"wall_time": round(event.wall_time, 3)}
            return {
                "type": "detection",
                **where,
                "keyword": event.keyword,
                "score": round(float(event.score), 4),
                "start_s": round(event.start_s, 3),
                "end_s": round(event.end_s, 3),
                "time_s": round(event.time_s, 3),
                **when,
            }
        case AudioLost():
            lost = {"start_s": round(event.start_s, 3), "end_s": round(event.end_s, 3)}
            return {"type": "audio_lost", **lost}
        case KeywordStuck():
            stuck = {"keyword": event.keyword, "time_s": round(event.time_s, 3)}
            return {"type": "keyword_stuck", **stuck}
        case VerifierFailed():
            failed = {"reason": event.reason, "time_s": round(event.time_s, 3)}
            return {"type": "verifier_failed", **failed}
        case DigitalSilence():
            silence = {"silent": event.silent, "time_s": round(event.time_s, 3)}
            return {"type": "digital_silence", **silence}
    return None


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
            if (news := record(event)) is not None:
                print_json(news)
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
