"""What the tests of sinks tell them, and what these say to the daemon."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from kws import sinks
from kws.sinks import Around, Health, Heard, Keyword, Lost, Playing, Returned

PATIENCE_S = 30
"""How long a busy machine may take for what is done at once."""

KEYWORDS = (
    Keyword("jarvis", "wake", "jarvis"),
    Keyword("stop", "keyword", "stop"),
    Keyword("lights #1/on", "keyword", "lights one on"),
)


def heard(keyword="jarvis", **changes):
    return Heard(
        **{
            "wall_time": 1_790_000_000.25,
            "microphone": "kitchen",
            "keyword": keyword,
            "role": "wake",
            "phrase": "hey jarvis",
            "model": "bundled",
            "score": 0.93,
            "threshold": 0.5,
            "start_s": 1.5,
            "end_s": 2.25,
            "time_s": 2.5,
            "level_db": -31.5,
            **changes,
        }
    )


FACTS = [
    heard(),
    Lost(wall_time=1.0, microphone="kitchen", reason="unplugged"),
    Returned(wall_time=2.0, microphone="kitchen", away_s=1.5),
    Health(wall_time=3.0, microphone="kitchen", state="deaf", reasons=("silence", "for a minute")),
    Playing(wall_time=4.0, on=True),
]


class World:
    """What surrounds a sink. lines: what it logged. playing: what it told of the speaker."""

    def __init__(self, config=None):
        self.lines, self.playing = [], []
        self.around = Around(
            keywords=KEYWORDS,
            microphones=("kitchen",),
            playback=self.playing.append,
            log=lambda level, line: self.lines.append((level, line)),
            config=config,
        )

    def make(self, kind, **given):
        """Make a sink as the daemon makes it of a table of its config."""
        return sinks.make(kind, sinks.settings(kind, given), self.around)


def need(request, hint, *programs):
    """Leave a test out where a program is missing; in continuous integration it fails."""
    missing = [name for name in programs if find(name) is None]
    if missing:
        reason = f"{request.node.nodeid} needs {', '.join(missing)}: apt install {hint}"
        if os.environ.get("CI"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)


def find(program):
    """Return a program's path; users don't have Debian's folder for daemons in their PATH."""
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin")


def living(path):
    """Whether the process whose number stands in the file lives; nobody may have buried it."""
    try:
        stat = Path(f"/proc/{path.read_text().strip()}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def until(condition):
    """Wait until something is so."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert condition()


def certificate(folder, openssl):
    """Return the paths of a certificate for this computer that nobody trusts, and of its key."""
    made, key = folder / "certificate.pem", folder / "key.pem"
    extra = ["subjectAltName=IP:127.0.0.1", "keyUsage=critical,digitalSignature,keyCertSign"]
    subprocess.run(
        [
            *[openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"],
            *["-nodes", "-subj", "/CN=kws", "-days", "2", "-out", made, "-keyout", key],
            *[part for one in extra for part in ("-addext", one)],
        ],
        check=True,
        capture_output=True,
    )
    return made, key
