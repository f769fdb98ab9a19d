"""The examples: each runs as it stands, and does what its page promises."""

import ast
import asyncio
import runpy
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
import soundfile
from gpiozero import Device
from gpiozero.pins.mock import MockFactory
from test_microphone import PATIENCE_S, ROOT, pulse

import kws
from kws.errors import DeviceError
from kws.examples import assistant, asynchronous, gpio, lights
from kws.sources import microphone
from kws.sources.demo import Demo
from kws.sources.file import AudioFile

__all__ = ["pulse"]

RATE = 16_000
EXAMPLES = sorted(
    path.stem for path in (ROOT / "kws" / "examples").glob("*.py") if path.stem != "__init__"
)
VOICES = {"stop": "flite-awb"} | dict.fromkeys(["on", "off"], "espeak-ng-en-us+f3")
"""Who says it so that the bundled model surely hears it; everything else: flite-rms."""
SAVER = "import shutil, sys; shutil.copy(sys.argv[1], 'given.wav'); print('what was said')"
"""A recogniser."""


def said(path, *words, pause_s=1.0):
    """Write a recording of words with pauses in a quiet room; return its path."""
    room = np.random.default_rng(1)
    parts = []
    for word in ("", *words):
        if word:
            voice = VOICES.get(word, "flite-rms")
            parts += [soundfile.read(Path(__file__).parent / "words" / voice / f"{word}.opus")[0]]
        parts += [room.standard_normal(round(pause_s * RATE)) * 1e-3]
    soundfile.write(path, np.concatenate(parts), RATE)
    return path


@pytest.fixture
def hear(monkeypatch, tmp_path):
    """Let the microphone hear words, from here on: as fast as can be, or as one says them."""
    monkeypatch.chdir(tmp_path)

    def speak(*words, source=AudioFile, pause_s=1.0):
        path = said(tmp_path / "spoken.wav", *words, pause_s=pause_s)
        monkeypatch.setattr(microphone, "Microphone", lambda *_, **__: source(path))
        return path

    return speak


@pytest.fixture
def pins(monkeypatch):
    """A Raspberry Pi's pins."""
    factory = MockFactory()
    monkeypatch.setattr(Device, "pin_factory", factory)
    yield factory
    factory.reset()


def until(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not (met := condition()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return met


# -- lights ----------------------------------------------------------------------------------


class Lamp(HTTPServer):
    """A lamp with an address; asked: for what, so far."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Switch)
        self.asked = []


class Switch(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def lamp():
    with Lamp() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_lights_without_an_address_prints_the_words(hear, capsys):
    """What comes without the wake word is not heard."""
    hear("on", "computer", "off", "computer", "on")
    lights.main([])

    assert ["computer", "off", "computer", "on"] == capsys.readouterr().out.splitlines()[1:]


def test_lights_fetches_an_address_for_each_word(hear, lamp):
    hear("computer", "on", "computer", "off")
    lights.main([f"http://127.0.0.1:{lamp.server_port}/relay/0?turn={{word}}"])

    assert ["/relay/0?turn=on", "/relay/0?turn=off"] == lamp.asked


def test_a_lamp_that_is_away_does_not_end_it(hear, lamp, capsys):
    """Each try is told in one line, and the next word is heard."""
    lamp.server_close()
    hear("computer", "on", "computer", "off")
    address = f"http://127.0.0.1:{lamp.server_port}"
    lights.main([f"{address}/{{word}}"])
    shown = capsys.readouterr()

    assert ["computer", "on", "computer", "off"] == shown.out.splitlines()[1:]
    assert [f"{address}/on", f"{address}/off"] == [
        line.split(": ")[0] for line in shown.err.splitlines()
    ]


def test_an_address_is_http(capsys):
    with pytest.raises(SystemExit) as ended:
        lights.main(["file:///etc/passwd"])

    assert ended.value.code == 2
    assert "begins with http://" in capsys.readouterr().err


# -- assistant -------------------------------------------------------------------------------


def test_the_assistant_keeps_what_follows_the_wake_word(hear, tmp_path, capsys):
    """From the wake word's end on, sample by sample, until nobody speaks any more."""
    path = hear("computer", "seven", "house", "down", pause_s=0.5)
    assistant.main([])
    assert until(lambda: "said-" in capsys.readouterr().out)
    (kept,) = tmp_path.glob("said-*.wav")
    audio, rate = soundfile.read(kept, dtype="int16")
    (word,) = kws.spot(path, keywords="computer")
    spoken = soundfile.read(path, dtype="int16")[0]

    assert rate == RATE
    assert np.array_equal(spoken[word.end : word.end + len(audio)], audio)
    assert 2.0 < len(audio) / RATE


def test_the_assistant_hands_it_to_a_recogniser(hear, tmp_path, capfd):
    """What that prints is seen; no recording stays behind."""
    hear("computer", "seven")
    assistant.main([sys.executable, "-c", SAVER, "{wav}"])

    assert until(lambda: "what was said" in capfd.readouterr().out)
    assert 1.0 < soundfile.info(tmp_path / "given.wav").duration < 3.0
    assert not list(tmp_path.glob("said-*"))


def test_the_assistant_troubles_no_recogniser_when_nobody_speaks(hear, tmp_path, capfd):
    hear("computer", pause_s=2.0)
    assistant.main([sys.executable, "-c", SAVER, "{wav}"])

    assert capfd.readouterr().out.splitlines()[1:] == ["yes?", "nothing was said"]
    assert not (tmp_path / "given.wav").exists()


def test_a_recogniser_that_is_missing_is_told(hear, capfd):
    hear("computer", "seven")
    assistant.main(["no-such-recogniser", "{wav}"])

    assert until(
        lambda: "No such file or directory: 'no-such-recogniser'" in capfd.readouterr().err
    )


# -- gpio ------------------------------------------------------------------------------------


def test_words_switch_a_pin(hear, pins):
    pin = pins.pin("GPIO27")
    hear("on", "computer", "off", "computer", "on", "computer", "off")  # the first one in vain
    gpio.main(["27"])

    assert [False, True, False] == [was.state for was in pin.states]


@pytest.mark.parametrize("missing", ["gpiozero", "pins", "pin"])
def test_without_pins_gpio_says_what_to_install(monkeypatch, capsys, missing):
    """One line, and exit code 2."""
    if missing == "gpiozero":
        monkeypatch.setitem(sys.modules, "gpiozero", None)
    monkeypatch.delenv("GPIOZERO_PIN_FACTORY", raising=False)
    monkeypatch.setattr(Device, "pin_factory", MockFactory() if missing == "pin" else None)
    with pytest.raises(SystemExit) as ended:
        gpio.main(["99"])
    (line,) = capsys.readouterr().err.splitlines()

    assert ended.value.code == 2
    assert "apt install python3-gpiozero" in line


# -- asyncio ---------------------------------------------------------------------------------


def test_the_stopwatch_ticks_while_it_listens(hear, capsys):
    """In real time: once a second between go and stop, and not after."""
    hear("go", "stop", source=Demo, pause_s=1.9)
    asyncio.run(asynchronous.main())
    _, go, *seconds, stop = capsys.readouterr().out.splitlines()

    assert ("go", "stop") == (go, stop)
    assert ["1", "2"] == seconds[:2]
    assert len(seconds) < 5  # on a busy machine a recording takes longer than it lasts


# -- all of them -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("example", "words", "shown"),
    [
        ("assistant", ["computer", "seven"], " s: said-"),
        ("asynchronous", ["go"], "2\n"),
        ("gpio", [], "GPIO17"),
        ("lights", ["computer", "on"], "computer\non"),
    ],
)
def test_it_hears_a_microphone_until_ctrl_c(pulse, tmp_path, example, words, shown):
    """A real audio stream; it ends without a traceback."""
    env = {**pulse.env, "GPIOZERO_PIN_FACTORY": "mock", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-u", "-m", f"kws.examples.{example}"]
    with (tmp_path / "out").open("w") as out, (tmp_path / "err").open("w") as err:
        process = subprocess.Popen(command, cwd=tmp_path, env=env, stdout=out, stderr=err)
    try:
        assert until(lambda: listeners(pulse) == 2)  # one keeps the microphone awake
        pulse.play(said(tmp_path / "spoken.wav", *words)).wait(PATIENCE_S)
        assert until(lambda: shown in (tmp_path / "out").read_text())
        process.send_signal(signal.SIGINT)

        assert process.wait(PATIENCE_S) == 0
        assert "Traceback" not in (tmp_path / "err").read_text()
    finally:
        process.kill()
        process.wait()
    if example == "assistant":
        (kept,) = tmp_path.glob("said-*.wav")
        assert 1.0 < soundfile.info(kept).duration < 10.0


def listeners(pulse):
    """Return how many programs hear the microphone."""
    command = ["pactl", "list", "short", "source-outputs"]
    listed = subprocess.run(command, env=pulse.env, capture_output=True, text=True, check=True)
    return len(listed.stdout.splitlines())


@pytest.mark.parametrize("example", EXAMPLES)
def test_without_a_microphone_it_says_so_in_one_line(monkeypatch, pins, example):
    def none(*_, **__):
        raise DeviceError("there is no microphone")

    monkeypatch.setattr(microphone, "Microphone", none)
    monkeypatch.setattr(sys, "argv", [example])
    monkeypatch.delitem(sys.modules, f"kws.examples.{example}")
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(f"kws.examples.{example}", run_name="__main__")

    assert ended.value.code == f"{example}: there is no microphone"


@pytest.mark.parametrize("example", EXAMPLES)
def test_it_is_a_page_that_can_be_copied(example):
    """Short, and of kws nothing but what `import kws` gives."""
    text = (ROOT / "kws" / "examples" / f"{example}.py").read_text(encoding="utf-8")
    nodes = list(ast.walk(ast.parse(text)))
    imported = {
        alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names
    }
    imported |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    used = {
        node.attr
        for node in nodes
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "kws"
    }

    assert len(text.splitlines()) <= 70
    assert {"kws"} == {name for name in imported if name.split(".")[0] == "kws"}
    assert used <= set(kws.__all__)
