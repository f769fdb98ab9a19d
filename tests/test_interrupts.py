"""What a model computes without end, and what waits for a pipe, can be ended."""

import os
import signal
import subprocess
import sys
import threading

import models
import numpy as np
import onnx
import pytest
from command import kws, model, words
from onnx import TensorProto, helper
from telling import PATIENCE_S, until
from test_http import living

from kws import interrupts
from kws.card import KEY, encode
from kws.errors import ModelError
from kws.files import read_regular, write_private
from kws.serve import daemon
from kws.session import load

__all__ = ["kws", "model", "words"]


def endless(path):
    """Write a stream model whose Loop has no end."""
    info, node = helper.make_tensor_value_info, helper.make_node
    body = helper.make_graph(
        [node("Identity", ["go"], ["goes"]), node("Identity", ["before"], ["after"])],
        "body",
        [
            info("number", TensorProto.INT64, []),
            info("go", TensorProto.BOOL, []),
            info("before", TensorProto.FLOAT, None),
        ],
        [info("goes", TensorProto.BOOL, []), info("after", TensorProto.FLOAT, None)],
    )
    made = onnx.load(models.write(path))
    [mean] = [each for each in made.graph.node if each.op_type == "ReduceMean"]
    mean.input[0] = "at last"
    loop = node("Loop", ["", "yes", "powers"], ["at last"], body=body)
    made.graph.node.insert([*made.graph.node].index(mean), loop)
    made.graph.initializer.append(helper.make_tensor("yes", TensorProto.BOOL, [], [True]))
    helper.set_model_props(made, {KEY: encode(models.card())})
    onnx.save(made, str(path))
    return path


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_command_whose_model_does_not(tmp_path, ending):
    path = endless(tmp_path / "endless.onnx")
    command = [sys.executable, "-m", "kws", "info", str(path)]
    begun = "import onnxruntime\nprint('begun', flush=True)\n"
    # A shell lets what it runs in the background ignore SIGINT.
    begun += "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
    script = f"{begun}import sys\nfrom kws.cli import main\nsys.exit(main(sys.argv[1:]))"
    command[1:3] = ["-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline() == b"begun\n"
            until(lambda: busy(process.pid))
            process.send_signal(ending)
            said = process.stderr.read()
            assert process.wait(PATIENCE_S) == (130 if ending == signal.SIGINT else -ending)
            assert said == b""
        finally:
            process.kill()


def busy(pid):
    """Whether a process has used more of a processor than starting takes."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") > 2.0


def test_a_time_limit_ends_what_does_not_end(tmp_path):
    """And nothing that comes after it."""
    path = endless(tmp_path / "endless.onnx")
    with pytest.raises(ModelError, match="did not end"), interrupts.time_limit(0.2):
        load(path)
    with interrupts.time_limit(600):
        tones = load(models.write(tmp_path / "tones.onnx"))

    assert tones.run(np.zeros((1, models.HOP), np.float32))[0].shape == (1, 4)


def test_calls_of_other_threads_are_not_ended(tmp_path, monkeypatch):
    """Those that hear while a config is read again."""
    tones, found = load(models.write(tmp_path / "tones.onnx")), []
    monkeypatch.setattr(interrupts, "STEP_S", 0.001)

    def hear():
        audio, state = np.zeros((1, models.HOP), np.float32), None
        for _ in range(1_000):
            scores, state = tones.run(audio, state)
            found.append(scores)

    thread = threading.Thread(target=hear)
    with interrupts.time_limit(0.0):
        thread.start()
        thread.join()

    assert len(found) == 1_000


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A daemon that runs in the main thread until it is told to end, for what `do` does."""
    monkeypatch.setattr(daemon, "RELOAD_S", 0.5)
    monkeypatch.setattr(interrupts, "MAIN", None)
    with living(tmp_path) as home:
        # The daemon of these tests has a thread of its own.
        monkeypatch.setattr(interrupts, "MAIN", home._thread.ident)
        yield home


def reloaded(home):
    """Read the config again, and wait until that is done."""
    done = threading.Event()
    home.daemon.reload()
    home.daemon._asked.put(done.set)
    assert done.wait(PATIENCE_S)


def test_a_model_without_end_does_not_stop_a_daemon_at_reload(here, caplog):
    was = here.daemon._built
    endless(here.folder / "tones.onnx")
    reloaded(here)

    assert here.daemon._built is was
    assert here.ask("GET", "/openapi.json")[0] == 200


@pytest.mark.parametrize("which", ["the config", "overrides", "a model", "a token"])
def test_a_pipe_does_not_stop_a_daemon_at_reload(here, which):
    """Nobody writes into it, and nobody ever will."""
    was, pipe = here.daemon._built, here.folder / "pipe"
    os.mkfifo(pipe)
    if which == "the config":
        here.path.unlink()
        pipe.rename(here.path)
    elif which == "overrides":
        here.write(f'[listen]\noverrides = "{pipe}"\n[http]\nport = 0\n')
    elif which == "a model":
        pipe.replace(here.folder / "tones.onnx")
    else:
        here.write(f'[http]\nport = 0\ntoken_file = "{pipe}"\n')
    reloaded(here)

    assert here.daemon._built is was


def test_only_regular_files_are_read(tmp_path):
    pipe, full = tmp_path / "pipe", tmp_path / "full"
    os.mkfifo(pipe)
    full.write_bytes(b"more")
    with pytest.raises(OSError, match="no regular file"):
        read_regular(pipe)
    with pytest.raises(OSError, match="no regular file"):
        read_regular("/dev/zero")
    with pytest.raises(OSError, match="more than 3 bytes"):
        read_regular(full, 3)
    with pytest.raises(IsADirectoryError):
        read_regular(tmp_path)

    assert read_regular(full) == b"more"


@pytest.mark.parametrize("command", ["info", "spot", "export", "serve", "listen"])
def test_commands_refuse_pipes_in_one_line(kws, model, words, tmp_path, command):
    """Where a file is to be read that has a beginning and an end."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    arguments = {
        "info": [pipe],
        "spot": [words, "--model", model, "--overrides", pipe],
        "export": [pipe, "-o", tmp_path / "out.onnx"],
        "serve": ["--config", pipe, "--check"],
        "listen": ["--model", model, "--overrides", pipe],
    }
    result = kws(command, *arguments[command])

    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "regular file" in result.err


def test_a_pipe_that_is_to_be_written_is_replaced(tmp_path):
    """Where files are written whole; nobody reads it, and nobody ever will."""
    pipe = tmp_path / "thresholds.json"
    os.mkfifo(pipe)
    write_private(pipe, b"{}")

    assert pipe.is_file()
    assert pipe.read_bytes() == b"{}"
