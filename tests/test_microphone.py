"""The microphone: a real PortAudio stream over a virtual device, and what can happen to one."""

import json
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import models
import numpy as np
import pytest
import soundfile
from telling import need

from benchmarks.microphone import virtual_microphone
from export import demo

ROOT = Path(__file__).parent.parent
PATIENCE_S = 60
"""How long a busy machine may take for what is done at once."""


@pytest.fixture
def pulse(request):
    """A virtual microphone of its own for each test, for here it is taken away."""
    need(request, "pulseaudio-utils", "pulseaudio", "pactl", "paplay")
    with virtual_microphone() as microphone:
        yield microphone


class Listener:
    """`kws listen` in another process; what it printed so far."""

    def __init__(self, folder, env, *options):
        self._out, self._err = folder / "out", folder / "err"
        with self._out.open("w") as out, self._err.open("w") as err:
            command = [sys.executable, "-m", "kws", "listen", "--json", *options]
            self.process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=out, stderr=err)

    def news(self):
        return [json.loads(line) for line in self._out.read_text().splitlines()]

    def keywords(self):
        return [line["keyword"] for line in self.news() if line["type"] == "detection"]

    def remarks(self):
        return self._err.read_text().splitlines()

    def until(self, condition):
        deadline = time.monotonic() + PATIENCE_S
        while not condition() and time.monotonic() < deadline and self.process.poll() is None:
            time.sleep(0.05)
        assert condition(), (self.news(), self.remarks())


@contextmanager
def listening(folder, pulse, *options):
    """Run `kws listen`; go on when the first audio has come: what is played earlier is lost."""
    listener = Listener(folder, pulse.env, *options)
    try:
        listener.until(lambda: any("listening" in line for line in listener.remarks()))
        yield listener
    finally:
        listener.process.kill()
        listener.process.wait()


def tones(folder, *keywords):
    """A recording of tones that the model of tones takes for words."""
    parts = [models.noise(0.5)]
    for keyword in keywords:
        parts += [models.tone(keyword, 0.3), models.noise(0.7)]
    path = folder / "tones.wav"
    soundfile.write(path, np.concatenate(parts), models.RATE)
    return path


def test_words_played_into_a_microphone_are_heard_in_order(pulse, tmp_path):
    """The bundled model, a real audio stream, resampled: the right keywords, once each."""
    with listening(tmp_path, pulse) as listener:
        pulse.play(demo.PATH).wait(PATIENCE_S)
        listener.until(lambda: len(listener.keywords()) >= len(demo.expected()))

        assert listener.keywords() == demo.expected()


def test_ctrl_c_ends_with_a_summary(pulse, tmp_path):
    """Exit code 0, and figures on stderr."""
    model = models.write(tmp_path / "tones.onnx")
    with listening(tmp_path, pulse, "--model", str(model)) as listener:
        pulse.play(tones(tmp_path, "yes", "no")).wait(PATIENCE_S)
        listener.until(lambda: len(listener.keywords()) == 2)
        listener.process.send_signal(signal.SIGINT)

        assert listener.process.wait(PATIENCE_S) == 0
        assert listener.keywords() == ["yes", "no"]
        summary = json.loads(listener.remarks()[-1])
        assert summary["detections"] == 2
        assert summary["heard_s"] > 2
        assert summary["cpu_s"] > 0


def test_a_process_that_was_stopped_hears_what_was_kept(pulse, tmp_path):
    """Stopped for longer than a dead device is waited for; the sound server kept all, in order."""
    model = models.write(tmp_path / "tones.onnx")
    with listening(tmp_path, pulse, "--model", str(model)) as listener:
        listener.process.send_signal(signal.SIGSTOP)
        pulse.play(tones(tmp_path, "no")).wait(PATIENCE_S)
        time.sleep(5)
        listener.process.send_signal(signal.SIGCONT)
        pulse.play(tones(tmp_path, "yes")).wait(PATIENCE_S)
        listener.until(lambda: listener.keywords() == ["no", "yes"])

        assert not [line for line in listener.news() if line["type"] == "audio_lost"]


@pytest.mark.parametrize("loss", ["unplug", "kill_server"])
def test_a_microphone_that_goes_away_is_an_error(pulse, tmp_path, loss):
    """Unplugged, or with the sound server dead: one clear line and exit code 3, never silence."""
    model = models.write(tmp_path / "tones.onnx")
    with listening(tmp_path, pulse, "--model", str(model)) as listener:
        getattr(pulse, loss)()

        assert listener.process.wait(PATIENCE_S) == 3
        assert [line for line in listener.remarks() if "is gone" in line] == [
            "kws: default (ALSA) is gone: the sound system ended the recording"
        ]
