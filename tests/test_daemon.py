"""`kws serve` as a process, on a real PortAudio stream: whatever happens, it hears again."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import models
import numpy as np
import pytest
import soundfile
from telling import living

ROOT = Path(__file__).parent.parent
PATIENCE_S = 60
"""How long a busy machine may take for what is done at once."""
STOOD_S = 10
STOPS_S = 3
"""A second is promised; a busy machine takes longer to end Python itself."""

MODEL = '[[model]]\npath = "tones.onnx"\n'
REST = """
[record]
folder = "heard"

[[sink]]
type = "jsonl"
path = "facts.jsonl"

[[sink]]
type = "command"
run = ["sh", "-c", "echo $$ > pid; exec cat hangs"]
timeout_s = 1000
"""


class Served:
    """`kws serve` in another process, with a sink that writes a file, and one that hangs."""

    def __init__(self, folder, env, command=("-m", "kws", "serve"), config=MODEL, stderr=None):
        self.folder, self.config = folder, folder / "kws.toml"
        self._facts, self._err = folder / "facts.jsonl", folder / "err"
        models.write(folder / "tones.onnx")
        os.mkfifo(folder / "hangs")
        self.write(config)
        with self._err.open("w") as err:
            options = [sys.executable, *command, "--config", str(self.config)]
            self.process = subprocess.Popen(options, cwd=ROOT, env=env, stderr=stderr or err)

    def write(self, config):
        self.config.write_text(config + REST)

    def facts(self, *kinds):
        """What was told so far, of these kinds."""
        text = self._facts.read_text() if self._facts.exists() else ""
        found = [json.loads(line) for line in text.splitlines(keepends=True) if line[-1] == "\n"]
        return [fact for fact in found if fact["type"] in kinds]

    def keywords(self):
        return [fact["keyword"] for fact in self.facts("detection")]

    def losses(self):
        return self.facts("microphone_lost", "microphone_returned")

    def log(self):
        return self._err.read_text().splitlines()

    def until(self, condition):
        deadline = time.monotonic() + PATIENCE_S
        while not condition() and time.monotonic() < deadline and self.process.poll() is None:
            time.sleep(0.05)
        assert condition(), "\n".join(self.log())

    def hears(self, pulse, *keywords):
        """Play words, and see that each is told once."""
        before = len(self.keywords())
        pulse.play(said(self.folder, *keywords)).wait(PATIENCE_S)
        self.until(lambda: len(self.keywords()) >= before + len(keywords))
        assert [*keywords] == self.keywords()[before:]

    def end(self):
        """End it, and what it ran."""
        self.process.kill()
        self.process.wait()
        os.close(os.open(self.folder / "hangs", os.O_RDWR))


def said(folder, *keywords):
    """A recording of tones that the model takes for words."""
    parts = [models.noise(0.5)]
    for keyword in keywords:
        parts += [models.tone(keyword, 0.3), models.noise(0.7)]
    path = folder / f"{'-'.join(keywords)}.wav"
    soundfile.write(path, np.concatenate(parts), models.RATE)
    return path


@contextmanager
def serving(folder, env, **options):
    served = Served(folder, env, **options)
    try:
        yield served
    finally:
        served.end()


@pytest.fixture(scope="module")
def daemon(pulse, tmp_path_factory):
    """One daemon that lives through all that is done to it."""
    with serving(tmp_path_factory.mktemp("served"), pulse.env) as served:
        yield served


@pytest.fixture
def served(daemon):
    daemon.until(lambda: any("microphone: ok" in line for line in daemon.log()))
    return daemon


def test_words_are_told_beside_a_sink_that_hangs(served, pulse):
    """And recorded."""
    served.hears(pulse, "yes", "no", "jarvis")
    first = served.facts("detection")[0]
    recording = served.folder / first["recording"]
    served.until(recording.exists)

    assert ("microphone", "keyword", "tones") == tuple(
        first[name] for name in ("microphone", "role", "model")
    )
    assert 0 <= time.time() - first["wall_time"] < 2 * PATIENCE_S
    assert first["start_s"] < first["end_s"] <= first["time_s"]
    assert recording.parent == served.folder / "heard" / "yes"
    assert soundfile.info(recording).duration > 0.5
    assert not served.losses()


def test_a_new_config_takes_over_without_losing_a_word(served, pulse):
    words = ["yes", "no", "jarvis", "no", "yes", "no"]
    before = len(served.keywords())
    playing = pulse.play(said(served.folder, *words))
    for number in range(4):
        threshold = 0.5 + number / 20
        served.write(f"{MODEL}thresholds = {{ yes = {threshold}, no = {threshold} }}\n")
        served.process.send_signal(signal.SIGHUP)
        served.until(lambda n=number: sum("read again" in line for line in served.log()) > n)
        time.sleep(0.83)  # so that each falls upon another part of a word
    playing.wait(PATIENCE_S)
    served.until(lambda: len(served.keywords()) >= before + len(words))
    assert words == served.keywords()[before:]

    assert {0.5, 0.55, 0.6, 0.65} >= {fact["threshold"] for fact in served.facts("detection")}
    served.write(f'{MODEL}keywords = ["no", "jarvis"]\nthresholds = {{ no = 0.7 }}\n')
    served.process.send_signal(signal.SIGHUP)
    served.until(lambda: sum("read again" in line for line in served.log()) == 5)
    pulse.play(said(served.folder, "yes")).wait(PATIENCE_S)
    served.hears(pulse, "no")
    assert served.facts("detection")[-1]["threshold"] == 0.7
    served.write(MODEL)
    served.process.send_signal(signal.SIGHUP)
    served.hears(pulse, "jarvis", "yes")
    assert not served.losses()


def test_a_broken_config_changes_nothing_and_says_so(served, pulse):
    lines = len(served.log())
    served.write(f"{MODEL}tresholds = {{ no = 0.7 }}\n")
    served.process.send_signal(signal.SIGHUP)
    served.until(lambda: any("nothing was changed" in line for line in served.log()))

    (error,) = [line for line in served.log()[lines:] if "ERROR" in line]
    assert f"{served.config}, line 3: unknown key 'tresholds'; did you mean thresholds?" in error
    served.hears(pulse, "no", "yes")
    served.write(MODEL)


def one_outage(served, pulse, cause, *, cure=lambda: None):
    """Lose the microphone once; see that it is told once, and heard again."""
    before = len(served.losses())
    cause()
    served.until(lambda: len(served.losses()) > before)
    cure()
    served.until(lambda: len(served.losses()) > before + 1)
    served.hears(pulse, "yes", "no")
    lost, returned = served.losses()[before:]

    assert ("microphone_lost", "microphone_returned") == (lost["type"], returned["type"])
    told = [line for line in served.log() if f"microphone: lost: {lost['reason']}" in line]
    assert told
    assert served.process.poll() is None
    return lost["reason"], returned["away_s"]


def test_a_microphone_that_is_unplugged_is_heard_when_it_is_back(served, pulse):
    reason, _ = one_outage(served, pulse, pulse.unplug, cure=pulse.plug)

    assert reason == "default (ALSA) is gone: the sound system ended the recording"


def test_a_sound_server_that_is_started_anew_is_found(served, pulse):
    one_outage(served, pulse, pulse.kill_server, cure=pulse.start_server)


def test_a_sound_server_that_hangs_is_borne(served, pulse):
    reason, _ = one_outage(served, pulse, pulse.stop_server, cure=pulse.continue_server)

    assert reason == "default (ALSA) is gone: no audio for 3 s"


def test_a_process_that_stood_still_hears_what_was_kept(served, pulse):
    """The sound server kept all of it: nothing is told to be lost, and the word is heard."""
    before, words = len(served.losses()), len(served.keywords())
    served.process.send_signal(signal.SIGSTOP)
    pulse.play(said(served.folder, "no")).wait(PATIENCE_S)
    time.sleep(STOOD_S)
    served.process.send_signal(signal.SIGCONT)
    served.until(lambda: served.keywords()[words:] == ["no"])
    served.hears(pulse, "yes")

    assert before == len(served.losses())


def test_it_ends_with_all_that_was_heard_told(served, pulse):
    """Here the daemon of the tests above ends."""
    before = len(served.keywords())
    playing = pulse.play(said(served.folder, "yes", "no", "jarvis"))
    served.until(lambda: len(served.keywords()) > before)
    served.process.send_signal(signal.SIGTERM)

    assert served.process.wait(PATIENCE_S) == 0
    playing.wait(PATIENCE_S)
    heard = [match[1] for line in served.log() if (match := re.search(r" heard (\w+) ", line))]
    assert heard == served.keywords()


def test_a_microphone_that_is_not_there_yet_is_found_later(pulse, tmp_path):
    """And a sound server that hangs does not keep the process from ending."""
    pulse.unplug()
    with serving(tmp_path, pulse.env) as served:
        served.until(served.losses)
        time.sleep(2)  # it is tried again meanwhile
        pulse.plug()
        served.until(lambda: len(served.losses()) > 1)
        served.hears(pulse, "yes")
        kinds = [fact["type"] for fact in served.losses()]
        assert kinds == ["microphone_lost", "microphone_returned"]

        pulse.stop_server()
        try:
            served.until(lambda: len(served.losses()) > 2)
            served.process.send_signal(signal.SIGTERM)
            assert served.process.wait(PATIENCE_S) == 0
        finally:
            pulse.continue_server()


WRONG = """
import sys, time
from pathlib import Path
from kws.cli import main

right, wrong = time.time, Path(sys.argv[1])
time.time = lambda: right() - 315_360_000 * wrong.exists()
sys.exit(main(["serve", *sys.argv[2:]]))
"""
"""The daemon by a clock that is ten years slow for as long as there is a file."""


def test_a_wrong_clock_is_a_wrong_time_and_nothing_else(pulse, tmp_path):
    """It jumps back by ten years, and forth again, while words are said."""
    wrong = tmp_path / "wrong"
    with serving(tmp_path, pulse.env, command=("-c", WRONG, str(wrong))) as served:
        served.until(lambda: any("microphone: ok" in line for line in served.log()))
        served.hears(pulse, "yes")
        wrong.touch()
        served.hears(pulse, "no", "jarvis")
        wrong.unlink()
        served.hears(pulse, "yes")
        words, now = served.facts("detection"), time.time()

        assert [round((now - word["wall_time"]) / 31_536_000) for word in words] == [0, 10, 10, 0]
        assert words == sorted(words, key=lambda word: word["time_s"])
        assert not served.losses()
        assert ["ok"] == [fact["state"] for fact in served.facts("health")]
        for word in words:
            served.until((tmp_path / word["recording"]).exists)


SCRIPT = """
import sys, threading, time
import numpy as np
from kws.cli import main
from kws.commands import serve
from kws.flow import Block
from kws.serve import ports, vital

class Microphone:
    rate, live = 16_000, True
    def __iter__(self):
        for number in range(75):
            time.sleep(0.04)
            audio = np.random.default_rng(number).standard_normal(640).astype("f4") / 1000
            if 25 <= number < 33:  # 0.3 s of what the model takes for a word
                audio += 0.3 * np.sin(2 * np.pi * 500 * np.arange(640, dtype="f4") / 16_000)
            yield Block(audio, 640 * number, 16_000, time.time())
        threading.Event().wait()
    def poll_events(self):
        return []
    def close(self):
        pass

serve._microphone = lambda wanted: Microphone()
ports.inputs.refresh = lambda: None
vital.STUCK_S = 8
sys.exit(main(["serve", *sys.argv[1:]]))
"""
"""The daemon with a microphone that gives one word, hangs after three seconds, and says nothing."""


def test_a_command_that_runs_ends_with_the_daemon(tmp_path):
    """Within a second, also where no systemd cleans up."""
    with serving(tmp_path, os.environ, command=("-c", SCRIPT)) as served:
        pid = tmp_path / "pid"
        served.until(lambda: pid.exists() and pid.read_text())
        assert living(pid)
        served.process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        assert served.process.wait(PATIENCE_S) == 0
        took_s = time.monotonic() - began

        assert not living(pid)
        assert served.keywords() == ["yes"]
        assert any("command: sh: killed, because kws ends" in line for line in served.log())
        assert took_s < STOPS_S


def test_it_hears_and_ends_though_nobody_reads_its_log(tmp_path):
    """With stdout in the same pipe, which is full from the start."""
    config = MODEL + '[log]\nlevel = "debug"\n[[sink]]\ntype = "jsonl"\n'
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writing, b"." * 4_096)
    os.set_blocking(writing, True)
    program = "import os; os.dup2(2, 1)\n" + SCRIPT
    options = {"command": ("-c", program), "config": config, "stderr": writing}
    try:
        with serving(tmp_path, os.environ, **options) as served:
            served.until(lambda: served.keywords() == ["yes"])
            served.process.send_signal(signal.SIGTERM)

            assert served.process.wait(PATIENCE_S) == 0
    finally:
        os.close(reading)
        os.close(writing)


def test_the_watchdog_starves_where_audio_stalls_and_the_process_ends(tmp_path):
    """It is told READY=1, and WATCHDOG=1 for as long as audio comes; then the exit code is 4."""
    address, told = tmp_path / "notify", []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(address))
        systemd.settimeout(0.1)
        env = {**os.environ, "NOTIFY_SOCKET": str(address), "WATCHDOG_USEC": "30000000"}
        with serving(tmp_path, env, command=("-c", SCRIPT)) as served:

            def ended():
                try:
                    told.append((time.monotonic(), systemd.recv(4_096).decode()))
                except TimeoutError:
                    return served.process.poll() is not None
                return False

            deadline = time.monotonic() + PATIENCE_S
            while not ended() and time.monotonic() < deadline:
                pass
            code, log = served.process.poll(), served.log()

    assert code == 4
    assert log[-1] == "kws: microphone: its listener is stuck in the sound system"
    fed = [at for at, text in told if text == "WATCHDOG=1"]
    states = [(at, text) for at, text in told if text.startswith("STATUS=")]
    assert told[0][1].startswith("READY=1\nSTATUS=")
    assert told[-1][1] == "STOPPING=1"
    assert len(fed) > 5
    assert len([at for at, _ in states if at > fed[-1]]) > 3
    assert any("microphone: deaf: no frame for 5 s" in line for line in log)
