"""Printing that waits for no reader: what is queued, what is dropped, what is told of it."""

import fcntl
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from telling import PATIENCE_S, until

from kws.serve import logs
from kws.serve.config import Log
from kws.terminal.queued_output import MOST_BYTES, QueuedOutput, queued_output
from kws.terminal.safe_output import drawable, safe_output

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sizes of pipes")

ROOT = Path(__file__).parent.parent
LINE = "x" * 99 + "\n"


LISTEN = """
import sys
from pathlib import Path
from kws.cli import main
from kws.flow import Detection
from kws.sources import devices
from kws.terminal.lines import Lines

show = Lines.show

def shown(lines, event):
    show(lines, event)
    if isinstance(event, Detection):
        Path(sys.argv[1]).touch()

devices.devices, Lines.show = list, shown
sys.exit(main(["listen", "--demo", *sys.argv[2:]]))
"""
"""`kws listen` without a microphone hears the demo; it leaves a file when a word was shown."""


class Pipe:
    """A pipe that takes 4096 bytes; what writes into it."""

    def __init__(self):
        self.out, descriptor = os.pipe()
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, 4_096)
        self.stream = os.fdopen(descriptor, "w", encoding="utf-8")

    def fill(self):
        """Let nothing more go in until somebody reads."""
        assert os.write(self.stream.fileno(), b"." * 4_096) == 4_096
        return self

    def read(self):
        """All that is written until it is closed."""
        with open(self.out, encoding="utf-8", closefd=False) as reader:
            return reader.read()


@pytest.fixture
def pipe():
    made = Pipe()
    yield made
    with suppress(OSError):
        os.close(made.out)
    with suppress(OSError):  # what waits in it finds no reader any more
        made.stream.close()


def test_what_is_read_arrives_whole_and_in_order(pipe):
    output = QueuedOutput(pipe.stream)
    for number in range(20):
        print(number, file=output)
    print("20", end="", file=output, flush=True)
    output.drain(PATIENCE_S)
    pipe.stream.close()

    assert [str(number) for number in range(21)] == pipe.read().splitlines()
    assert not output.dropped


def test_what_is_queued_is_harmless(pipe, monkeypatch):
    """No terminal obeys it, for it is queued as it would be printed."""
    monkeypatch.setattr(sys, "stderr", pipe.stream)
    with safe_output(), queued_output("stderr"):
        print("a\x1b[2Jb", file=sys.stderr)
        assert isinstance(drawable(sys.stderr), QueuedOutput)
    pipe.stream.close()

    assert "a\\u001b[2Jb\n" == pipe.read()


def test_nobody_who_writes_waits_and_a_gap_is_told_once(pipe):
    """What finds no room is counted; the reader finds a notice in its place."""
    output = QueuedOutput(pipe.fill().stream)
    output.notice = lambda count: f"{count} missing\n"
    for number in range(2 * MOST_BYTES // len(LINE)):
        output.write(f"{number:04}" + LINE[4:])
    lost = output.dropped
    assert 0 < lost < MOST_BYTES // len(LINE) + 100

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(pipe.read)
        until(lambda: output._waiting < MOST_BYTES // 2)
        output.write("after\n")
        output.drain(PATIENCE_S)
        pipe.stream.close()
        *lines, notice, last = reading.result(PATIENCE_S).lstrip(".").splitlines()

    assert [int(line[:4]) for line in lines] == list(range(2 * MOST_BYTES // len(LINE) - lost))
    assert (notice, last) == (f"{lost} missing", "after")


def test_a_reader_that_is_gone_is_told_to_who_asked(pipe):
    """Without that, lines are dropped: a log is no reason to end."""
    gone = []
    os.close(pipe.out)
    output = QueuedOutput(pipe.stream, lambda: gone.append(True))
    output.write("into the void\n")
    until(lambda: gone)
    with pytest.raises(BrokenPipeError):
        output.write("more\n")

    log = QueuedOutput(pipe.stream)
    log.write("into the void\n")
    until(lambda: log.dropped == 1)
    log.write("more\n")
    until(lambda: log.dropped == 2)


@pytest.mark.parametrize("as_json", [False, True])
def test_the_log_tells_of_lines_that_nobody_read(pipe, monkeypatch, as_json):
    """In its own format, in their place."""
    before = list(logs.LOG.handlers), logs.LOG.propagate
    output = QueuedOutput(pipe.stream)
    monkeypatch.setattr(sys, "stderr", output)
    try:
        logs.begin(Log(json=as_json))
        output.dropped = 3
        logs.say("info", "here again")
        assert logs.dropped() == 3
    finally:
        logs.LOG.handlers[:], logs.LOG.propagate = before
    output.drain(PATIENCE_S)
    pipe.stream.close()
    gap, line = pipe.read().splitlines()

    assert "3 lines are missing here" in gap
    assert "here again" in line
    assert gap.startswith("{") == as_json


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_listen_hears_and_ends_though_nobody_reads_what_it_prints(pipe, tmp_path, options):
    """Neither words nor the summary find a reader."""
    shown = tmp_path / "shown"
    command = [sys.executable, "-c", LISTEN, str(shown), *options]
    process = subprocess.Popen(command, cwd=ROOT, stdout=pipe.fill().stream, stderr=pipe.stream)
    try:
        until(shown.exists)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()
        process.wait()
