"""Listening without a device: `kws listen`, `kws devices` and `kws doctor` over a recording."""

import json
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import models
import numpy as np
import pytest
from command import keywords, kws, model, words

from kws.errors import DeviceError
from kws.flow import AudioLost, Detection, DigitalSilence, KeywordStuck
from kws.sources import demo, devices, microphone
from kws.sources.demo import Demo
from kws.sources.devices import Input
from kws.sources.file import AudioFile
from kws.terminal import levels, pace
from kws.terminal.lines import Lines
from kws.terminal.view import View

__all__ = ["kws", "model", "words"]

ROOT = Path(__file__).parent.parent
INPUT = Input("Desk Mic", "ALSA", 48_000, 2, default=True, index=0)


class Recorded(AudioFile):
    """A microphone that hears a recording; then it ends, or `loss` happens."""

    live, loss = True, None
    input = INPUT

    def __iter__(self):
        yield from super().__iter__()
        if self.loss is not None:
            raise self.loss


@pytest.fixture
def heard(monkeypatch, words):
    """What every microphone hears."""
    monkeypatch.setattr(microphone, "Microphone", lambda *_, **__: Recorded(words))


@pytest.fixture
def deaf(monkeypatch):
    """A machine without a microphone."""
    monkeypatch.setattr(devices, "devices", list)


def test_listen_prints_plain_lines(kws, model, heard):
    """Detections on stdout; what it listens to and the summary on stderr."""
    result = kws("listen", "--model", model)

    assert result.code == 0
    assert [line.split()[2] for line in result.out.splitlines()] == ["yes", "no", "yes"]
    title, summary = result.err.splitlines()
    assert title == "listening to Desk Mic (ALSA), 16000 Hz, 1 channel"
    assert summary.startswith("heard 6.0 s, gate open 100% of it, 3 detections, 0.0 s of audio")


def test_listen_prints_json(kws, model, heard):
    """A line an event on stdout; the summary on stderr, as JSON too."""
    result = kws("listen", "--model", model, "--json")

    assert keywords(result) == ["yes", "no", "yes"]
    assert json.loads(result.err.splitlines()[-1])["heard_s"] == 6.0


def test_a_lost_device_is_exit_code_3(kws, model, heard, monkeypatch):
    """What was heard before is printed; then the reason, in one line."""
    monkeypatch.setattr(Recorded, "loss", DeviceError("Desk Mic (ALSA) is gone"))

    result = kws("listen", "--model", model, "--json")

    assert (result.code, len(keywords(result))) == (3, 3)
    assert result.err.splitlines()[-1] == "kws: Desk Mic (ALSA) is gone"


def test_ctrl_c_is_a_good_end(kws, model, heard, monkeypatch):
    """The summary, exit code 0."""
    monkeypatch.setattr(Recorded, "loss", KeyboardInterrupt())

    result = kws("listen", "--model", model, "--json")

    assert (result.code, json.loads(result.err.splitlines()[-1])["type"]) == (0, "summary")


def test_without_a_microphone_listen_says_so(kws, model, deaf):
    """One line, exit code 3."""
    result = kws("listen", "--model", model)

    assert (result.code, result.out) == (3, "")
    assert result.err == "kws: there is no microphone: connect one, or start the sound server\n"


def test_without_a_microphone_the_demo_can_be_heard(kws, model, deaf, monkeypatch, words):
    """Through the same chain, at the pace of speech; it says what it is."""
    monkeypatch.setattr(demo.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(demo, "Demo", lambda: Demo(words))

    result = kws("listen", "--model", model, "--json", "--demo")

    assert (result.code, keywords(result)) == (0, ["yes", "no", "yes"])
    assert "words of a speech synthesiser" in result.err.splitlines()[0]


@pytest.mark.skipif(sys.platform == "win32", reason="a thread's time is counted in steps of 16 ms")
def test_the_time_that_others_take_is_no_cost_of_a_model(tmp_path, monkeypatch):
    """A machine that is busy at the start is not taken for a slow one, for as long as this runs."""
    from kws.session import load

    window = load(models.write(tmp_path / "w.onnx", models.card("window")))
    run = window.run

    def slowly(*options):
        time.sleep(0.05)
        return run(*options)

    monkeypatch.setattr(window, "run", slowly)

    assert 0 < pace.call_seconds(window) < 0.05


@pytest.mark.parametrize(("cost_ms", "hop_ms"), [(2, 20), (8, 40), (10, 40)])
def test_a_slow_window_model_is_called_less_often(tmp_path, monkeypatch, capsys, cost_ms, hop_ms):
    """Calls cost at most a quarter of a core; a longer hop is told."""
    from kws.session import load

    window = load(models.write(tmp_path / "w.onnx", models.card("window")))
    monkeypatch.setattr(pace, "call_seconds", lambda _: cost_ms / 1000)

    assert pace.at_bearable_pace(window).card.hop == hop_ms * 16
    assert (f"every {hop_ms} ms instead of every 20" in capsys.readouterr().err) == (hop_ms > 20)


def test_a_window_model_that_is_too_slow_is_refused(kws, tmp_path, monkeypatch, heard):
    """Past half a window there is no use: it says what would do."""
    path = models.write(tmp_path / "w.onnx", models.card("window"))
    monkeypatch.setattr(pace, "call_seconds", lambda _: 0.1)

    result = kws("listen", "--model", path)

    assert result.code == 2
    assert "a call takes 100 ms, at most 10 ms would do" in result.err


def test_all_news_has_a_line(capsys):
    """Detections are results, the rest is told aside; as JSON all are results."""
    lost, stuck = AudioLost(1.0, 1.5), KeywordStuck("yes", 4.0)
    silence = DigitalSilence(silent=True, time_s=3.0), DigitalSilence(silent=False, time_s=4.0)
    for event in [lost, stuck, *silence]:
        Lines(as_json=False).show(event)
        Lines(as_json=True).show(event)

    said = capsys.readouterr()
    assert [json.loads(line)["type"] for line in said.out.splitlines()] == [
        "audio_lost", "keyword_stuck", "digital_silence", "digital_silence",
    ]  # fmt: skip
    assert len(said.err.splitlines()) == 4


def test_a_terminal_shows_meters(capsys):
    """Level, gate, every keyword's score and threshold, and the latest events."""
    names = [f"word{index}" for index in range(13)]
    spotter = SimpleNamespace(
        level_db=-30.0,
        gate_open=True,
        thresholds={**dict.fromkeys(names, 0.5), "word1": 0.99926},
        scores={"word0": 0.75, "word1": 1.0},
        stats=SimpleNamespace(audio_s=75.0),
    )
    nothing = np.zeros(1, np.float32)
    word = Detection("word0", 0.75, 0.5, 0, 1, 16_000, 16_000, -20.0, nothing, 0)
    with View(spotter) as view:
        view.say("listening to a test")
        view.show(word)

    shown = capsys.readouterr().out
    for text in ["listening to a test", "0:01:15", "-30 dBFS", "gate open", "0.75 / 0.50"]:
        assert text in shown
    for text in ["1.0000 / 0.9992", "│"]:
        assert text in shown
    assert all(name in shown for name in names)
    assert "1.00 s  word0  0.75" in shown


def test_devices_are_listed_with_their_levels(kws, monkeypatch):
    """Name, host API, rates, channels with the level of each, which is the default."""
    monkeypatch.setattr(devices, "devices", lambda: [INPUT])
    monkeypatch.setattr(Input, "rates", lambda _: [16_000, 48_000])
    samples = np.array([[0.1, 0.0]] * 100, np.float32)
    monkeypatch.setattr(levels, "record", lambda *_: samples)

    assert kws("devices").out.startswith("* Desk Mic (ALSA)")
    assert json.loads(kws("devices", "--json").out) == {
        "name": "Desk Mic", "host_api": "ALSA", "default": True, "rate": 48_000,
        "rates": [16_000, 48_000], "channels": 2, "levels_db": [-20.0, None], "error": None,
    }  # fmt: skip


@pytest.mark.parametrize(("level", "said"), [(0.1, "ok"), (0, "!!"), (1, "!!")])
def test_doctor_says_what_to_do(kws, model, monkeypatch, level, said):
    """Each line is fine, or what to do; the exit code tells whether all are."""
    monkeypatch.setattr(devices, "portaudio", _portaudio)
    monkeypatch.setattr(devices, "devices", lambda: [INPUT])
    monkeypatch.setattr(levels, "record", lambda *_: np.full((100, 1), level, np.float32))

    result = kws("doctor", "--model", model)

    marks = {line.split()[1]: line.split()[0] for line in result.out.splitlines()}
    assert list(marks) == [
        "python", "portaudio", "devices", "recording", "model", "inference", "voices",
    ]  # fmt: skip
    assert {**marks, "recording": "ok"} == dict.fromkeys(marks, "ok"), result.out
    assert (marks["recording"], result.code) == (said, 0 if said == "ok" else 1)


def _portaudio():
    return SimpleNamespace(get_portaudio_version=lambda: (1, "PortAudio V19, revision x"))


def bash(command):
    """Run a line of shell."""
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("stdin", ["</dev/null", "<&-"])
def test_stdin_that_is_closed_early_is_one_line(model, stdin):
    """Nothing came, or stdin was never open: exit code 2."""
    result = bash(f"{sys.executable} -m kws spot - --model {model} {stdin}")

    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("kws: stdin")
    assert result.stderr.count("\n") == 1


def test_stdout_that_is_closed_early_is_no_error(model, words):
    """`kws spot ... | head -1` has what it wanted."""
    files = " ".join([str(words)] * 20)
    result = bash(f"{sys.executable} -m kws spot {files} --model {model} | head -1")

    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.count("\n") == 1


def test_help_is_light():
    """`kws --help` loads neither numpy nor rich."""
    code = (
        "import sys; from kws.cli import main; main(['--help']);"
        "print(*{'numpy', 'rich', 'msgspec', 'soundfile'} & set(sys.modules), file=sys.stderr)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert "listen" in result.stdout
    assert result.stderr.strip() == ""
