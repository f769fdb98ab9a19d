"""Logs: one line a fact, for people or as JSON."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Mapping

from kws.serve.config import Log
from kws.sinks import Fact, Health, Heard, Lost, Playing, Returned
from kws.terminal.queued_output import QueuedOutput
from kws.terminal.safe_output import drawable

LOG = logging.getLogger("kws")


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "text": record.getMessage(),
        }
        return json.dumps(line, ensure_ascii=False)


def begin(settings: Log, environ: Mapping[str, str] = os.environ) -> None:
    """Write to stderr from now on, as the settings say. Under systemd lines need no time."""
    writer = logging.StreamHandler(sys.stderr)
    if settings.json:
        writer.setFormatter(_Json())
    elif "JOURNAL_STREAM" in environ:
        writer.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    else:
        writer.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    output = drawable(sys.stderr)
    if isinstance(output, QueuedOutput):
        output.notice = lambda count: f"{writer.format(_gap(count))}\n"
    LOG.handlers[:] = [writer]
    LOG.setLevel(settings.level.upper())
    LOG.propagate = False


def _gap(count: int) -> logging.LogRecord:
    """Return what stands in the log in place of lines that nobody read in time."""
    text = "%d lines are missing here: nobody read them"
    return logging.LogRecord("kws", logging.WARNING, "", 0, text, (count,), None)


def dropped() -> int:
    """Return how many lines found no reader in time."""
    output = drawable(sys.stderr)
    return output.dropped if isinstance(output, QueuedOutput) else 0


def say(level: str, text: str) -> None:
    """Write one line, without what a terminal would take for an order."""
    plain = "".join(each if each.isprintable() else "?" for each in " ".join(text.split()))
    LOG.log(getattr(logging, level.upper()), "%s", plain)


def tell(fact: Fact, say: Callable[[str, str], None] = say) -> None:
    """Write what happened, with `say`."""
    where = f"{fact.microphone}: " if fact.microphone else ""
    if isinstance(fact, Heard):
        say("info", f"{where}heard {fact.keyword} {fact.score:.2f} at {fact.time_s:.2f} s")
    elif isinstance(fact, Lost):
        say("warning", f"{where}lost: {fact.reason}")
    elif isinstance(fact, Returned):
        say("warning", f"{where}hears again, after {fact.away_s:.1f} s")
    elif isinstance(fact, Health):
        say("info" if fact.state == "ok" else "warning", f"{where}{_health(fact)}")
    elif isinstance(fact, Playing):
        say("info", f"playback {'on' if fact.on else 'off'}")


def _health(fact: Health) -> str:
    return fact.state + (f": {'; '.join(fact.reasons)}" if fact.reasons else "")
