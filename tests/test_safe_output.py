"""Names that others chose reach no terminal as orders: of labels, files, models, devices."""

import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import models
import msgspec
import pytest
import soundfile
from command import kws
from telling import PATIENCE_S, World, heard

from kws.card import Label
from kws.serve import logs
from kws.text import harmless, one_line

__all__ = ["kws"]

ROOT = Path(__file__).parent.parent
# To clear the screen, to set the title by two ways, to turn the direction, to begin a line.
BAD = "e\x1b[2J\x1b]0;t\x07\x9b2J\u202eb\r\n2"
OBEYED = set("\x1b\x07\x9b\u202e\r")


@pytest.fixture
def model(tmp_path):
    """A model whose words and description are of somebody who means harm."""
    labels = [Label(BAD, "keyword", BAD), Label("no", "keyword"), Label("jarvis", "wake")]
    card = models.card(
        labels=[*labels, Label(f"rest{BAD}")],
        thresholds={},
        name=BAD,
        description=BAD,
        licence=BAD,
        languages=[BAD],
        producer=BAD,
    )
    return models.write(tmp_path / "bad.onnx", card)


@pytest.fixture
def recording(tmp_path):
    """One word, in a file with a name that means harm."""
    path = tmp_path / f"{BAD.replace('/', '')}.wav"
    soundfile.write(path, models.tone("yes", 0.5), models.RATE)
    return path


def test_escaped_text_is_as_it_was_but_for_what_is_obeyed():
    assert harmless("hé  \t\n日本 שלום می‌خواهم") == "hé  \t\n日本 שלום می‌خواهم"
    assert harmless("a\x1b[2J\x9b\udcff") == r"a\u001b[2J\u009b\udcff"
    assert one_line("a\r\nb\t") == r"a\u000d\u000ab\u0009"
    assert json.loads(harmless(json.dumps(BAD, ensure_ascii=False))) == BAD


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("command", ["info", "classify", "spot", "eval"])
def test_no_command_prints_what_a_terminal_obeys(kws, model, recording, command, as_json):
    """And what it prints as JSON is the name as it is."""
    arguments = {
        "info": [model],
        "classify": ["--model", model, recording, f"{recording}.missing"],
        "spot": ["--model", model, recording, f"{recording}.missing"],
        "eval": ["--model", model, "--clips", recording.parent],
    }
    result = kws(command, *arguments[command], *["--json"] * as_json)
    said = result.out + result.err

    assert said
    assert not OBEYED & set(said)
    assert all(not line.startswith("2") for line in said.splitlines())
    if as_json and command == "info":
        assert json.loads(result.out)["name"] == BAD
    if as_json and command == "classify":
        assert json.loads(result.out)["audio"] == str(recording)


@pytest.mark.parametrize(
    "arguments",
    [
        [BAD],
        ["info", BAD],
        ["spot", BAD],
        ["spot", "--model", BAD, "x.wav"],
        ["serve", "--config", BAD],
        ["listen", "--device", BAD],
        ["export", BAD, "-o", "x.onnx"],
        ["record", BAD],
    ],
)
def test_no_error_holds_what_a_terminal_obeys(kws, arguments):
    result = kws(*arguments)

    assert result.code in {2, 3}
    assert result.err.count("\n") == 1
    assert not OBEYED & set(result.out + result.err)


def test_a_terminal_is_drawn_on_and_obeys_no_label(model):
    """`kws listen` on a terminal: colours and lines are ours, and nothing else is."""
    ours, theirs = pty.openpty()
    script = (
        "import sys, kws.sources.demo, kws.commands.listen as it\n"
        "title = sys.argv.pop()\n"
        "it._source = lambda *a, **b: (kws.sources.demo.Demo(), title)\n"
        "from kws.cli import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    line = [sys.executable, "-c", script, "listen", "--model", str(model), BAD]
    env = {**os.environ, "TERM": "xterm", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(line, stdout=theirs, stderr=theirs, env=env) as process:
        os.close(theirs)
        shown, end = b"", time.monotonic() + PATIENCE_S
        try:
            while shown.count(rb"e\u001b[2J") < 2 and time.monotonic() < end:
                shown += os.read(ours, 65_536)
        finally:
            process.kill()
            process.wait(PATIENCE_S)
            os.close(ours)

    assert shown.count(rb"e\u001b[2J") >= 2  # the title, and the keyword
    assert b"\x1b[" in shown
    assert not [each for each in (b"\x1b[2J", b"\x1b]", b"\x07") if each in shown]
    assert not {"\x9b", "\u202e"} & set(shown.decode(errors="replace"))


def test_facts_on_stdout_are_harmless(capfd):
    """They are the same JSON nevertheless."""
    World().make("jsonl").send(heard(BAD))
    said = capfd.readouterr().out

    assert not OBEYED & set(said)
    assert msgspec.json.decode(said)["keyword"] == BAD


def test_the_log_is_harmless(caplog):
    logs.tell(heard(BAD))

    assert not OBEYED & set(caplog.text)
