"""Output: whatever stdout and stderr are, each thing that happens is one line, or works."""

import json
import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

import models
import pytest
from command import kws, model, words

from kws.errors import ConfigError
from kws.serve.config import default_path

__all__ = ["kws", "model", "words"]

posix = pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX only")
NOT_TEXT = os.fsdecode(b"w\xff\xe9.wav")


def ran(*args, stdout=subprocess.PIPE, **environ):
    """Run the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "kws", *map(str, args)],
        stdout=stdout, stderr=subprocess.PIPE, env={**os.environ, **environ}, check=False,
    )  # fmt: skip


@posix
@pytest.mark.parametrize("options", [[], ["--scores", "s.csv"], ["--workers", "2"]], ids=str)
def test_a_name_that_is_no_text_hides_no_other(kws, model, words, tmp_path, options):
    """The recording is heard, its name told with escapes, and the next one heard as ever."""
    odd, missing = shutil.copy(words, tmp_path / NOT_TEXT), tmp_path / f"no{NOT_TEXT}"
    options = [tmp_path / each if each == "s.csv" else each for each in options]
    result = kws("spot", odd, words, "--model", model, *options)

    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()
    assert len(lines) == 6
    assert all(r"/w\udcff\udce9.wav" in line for line in lines[:3])
    without = kws("spot", missing, words, "--model", model)
    assert without.code == 2
    assert len(without.out.splitlines()) == 3
    assert r"/now\udcff\udce9.wav: no such file" in without.err
    assert r"/w\udcff\udce9.wav: " in kws("classify", odd, "--model", model).out
    assert kws("info", missing).code == 2


@posix
def test_a_name_that_is_no_text_is_measured_and_drawn(kws, model, words, tmp_path):
    """In tables, on pages and in pictures."""
    folder = tmp_path / "clips" / "yes"
    folder.mkdir(parents=True)
    shutil.copy(words, folder / NOT_TEXT)
    shutil.copy(words, tmp_path / NOT_TEXT)
    (folder / f"bad{NOT_TEXT}").write_bytes(b"RIFF")
    page, picture = tmp_path / "page.html", tmp_path / "x.png"
    found = kws("eval", "--clips", folder.parent, "--model", model, "--report", page)
    drawn = kws("plot", tmp_path / NOT_TEXT, "-o", picture, "--model", model)

    assert (found.code, drawn.code) == (0, 0)
    assert r"w\udcff\udce9.wav" in page.read_text(encoding="utf-8")
    assert picture.exists()


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_any_encoding_of_stdout_will_do(words, tmp_path, model, encoding):
    """What it can't hold is escaped, in JSON as JSON does."""
    odd = shutil.copy(words, tmp_path / "ā 😀 é.wav")
    spotted = ran("spot", odd, "--model", model, PYTHONIOENCODING=encoding)
    told = ran("classify", odd, "--model", model, PYTHONIOENCODING=encoding)
    wrong = ran("spot", tmp_path / "ā", "--model", model, PYTHONIOENCODING=encoding)

    assert (spotted.returncode, told.returncode, wrong.returncode) == (0, 0, 2)
    names = {line["audio"] for line in map(json.loads, spotted.stdout.splitlines())}
    assert names == {str(odd)}
    assert b": no" in told.stdout
    assert wrong.stderr.count(b"\n") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a full device")
@pytest.mark.parametrize("args", [["info"], ["spot", "words"]], ids=str)
def test_a_full_stdout_is_one_line(words, model, args):
    args = [str(words) if arg == "words" else arg for arg in args]
    with open("/dev/full", "wb") as full:
        done = ran(*args, *(["--model", model] if len(args) > 1 else []), stdout=full)

    assert done.returncode == 2
    assert done.stderr == b"kws: stdout: No space left on device\n"


@posix
@pytest.mark.parametrize("shut", [">&-", ">&- 2>&-"])
def test_a_stdout_that_is_shut_takes_nothing(shut):
    command = f'"{sys.executable}" -m kws info --json {shut}'
    done = subprocess.run(["sh", "-c", command], capture_output=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@posix
def test_a_user_without_a_home_can_serve(kws, tmp_path, monkeypatch):
    """As in a container: the defaults hold, and what needs a home says so in one line."""

    def unknown(uid):
        raise KeyError(uid)

    for name in "HOME", "XDG_CONFIG_HOME":
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.chdir(tmp_path)
    for command in (["config", "init"], ["service", "status"], ["service", "install"]):
        result = kws(*command)
        assert result.code == 2
        assert result.err.count("\n") == 1
        assert "Traceback" not in result.err
    assert "has no home folder; set HOME or XDG_CONFIG_HOME" in kws("config", "init").err
    assert kws("config", "init", "mine.toml").code == 0
    assert "no home" not in kws("serve", "--check").err
    with pytest.raises(ConfigError, match="no home folder"):
        default_path()


def test_what_a_thread_holds_at_the_end_is_no_news():
    """Soxr takes it for a leak, and says so on stderr, after all else."""
    code = """if True:
        import threading, time, soxr
        from kws.terminal.quiet import quiet_libraries
        with quiet_libraries():
            pass
        begun = threading.Event()
        def hold():
            stream = soxr.ResampleStream(48_000, 16_000, 1)
            begun.set()
            time.sleep(60)
        threading.Thread(target=hold, daemon=True).start()
        begun.wait()
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)

    assert done.stderr == b""


def test_a_model_that_onnx_runtime_refuses_is_one_line(kws, tmp_path):
    """It would try once more, and print that to stdout."""
    path = models.write(tmp_path / "bad.onnx")
    path.write_bytes(path.read_bytes().replace(b"audio", b"\xe4udio", 1))  # no UTF-8
    result = kws("info", path)

    assert (result.code, result.out) == (2, "")
    assert result.err.count("\n") == 1
