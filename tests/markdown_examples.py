"""Running the examples of README.md and docs/: what each needs, and how it is run.

`python` and `sh` blocks run; `console` blocks need a microphone, a daemon, a network or root, and
are shown only.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import hub
import numpy as np
import pytest
import soundfile
import test_export_ast

from benchmarks import checkpoints
from export import demo
from kws.sources import microphone
from kws.sources.file import AudioFile

ROOT = Path(__file__).parent.parent
WORDS = Path(__file__).parent / "words"
RATE = 16_000
STUBS = {"arecord": "exec cat demo.wav", "jq": "exec cat", "pip": "echo installed"}
"""Programs that a reader may have and a test machine may not, or has no network for."""
AT_ONCE = """
from types import SimpleNamespace
import kws.sources.demo
kws.sources.demo.time = SimpleNamespace(sleep=lambda seconds: None)
"""
"""Runs as each Python starts: the demo recording need not be played at the pace of speech."""


def blocks(path, language):
    """Return the blocks of a language in a page, as they stand there."""
    text = path.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def named(path, code):
    """Return a block as a test's parameter, named after its page and its last line."""
    return pytest.param(code, id=f"{path.stem}: {code.splitlines()[-1][:40]}")


@pytest.fixture(scope="session")
def audio(tmp_path_factory):
    """The demo recording, words in label folders, what goes around them."""
    path = tmp_path_factory.mktemp("audio")
    shutil.copy(demo.PATH, path / "demo.flac")
    soundfile.write(path / "demo.wav", *soundfile.read(demo.PATH, dtype="int16"))
    for word in WORDS.glob("*/*.opus"):
        (path / "words" / word.stem).mkdir(parents=True, exist_ok=True)
        samples, rate = soundfile.read(word)
        soundfile.write(path / "words" / word.stem / f"{word.parent.name}.wav", samples, rate)
    rng = np.random.default_rng(1)
    for name, seconds in {"speech": 30, "noise": 10, "rooms": 0.2}.items():
        (path / name).mkdir()
        soundfile.write(path / name / "a.wav", rng.normal(0, 0.01, round(seconds * RATE)), RATE)
    return path


@pytest.fixture
def folder(audio, tmp_path, monkeypatch):
    """A reader's folder, with audio in it."""
    shutil.copytree(audio, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """A folder for what `kws export` wrote, and the file's name by the line that wrote it."""
    return tmp_path_factory.mktemp("exported"), {}


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory):
    """The Hub, with random weights under the published names; the AST is a small one."""
    folders = {
        "MIT/ast-finetuned-speech-commands-v2": tmp_path_factory.mktemp("ast"),
        "speechbrain/google_speech_command_xvector": tmp_path_factory.mktemp("xvector"),
    }
    ast, xvector = folders.values()
    test_export_ast.save(ast)
    checkpoints.MAKERS["x-vector (SpeechBrain)"](xvector)
    with hub.hub(folders) as address:
        yield address


def run_python(code, monkeypatch):
    """Run a block by itself; the microphone hears the demo recording."""
    monkeypatch.setattr(microphone, "Microphone", lambda *_, **__: AudioFile(demo.PATH))
    exec(compile(code, "example", "exec"), {"__name__": "__main__"})  # noqa: S102


def run_shell(lines, folder, exported, **environment):
    """Run lines in a shell, each by itself: it ends well and says something.

    exported: see the fixture; a line that exports runs once a session.
    """
    kept, written = exported
    programs = folder / "programs"
    programs.mkdir()
    for name, body in STUBS.items():
        (programs / name).write_text(f"#!/bin/sh\n{body}\n")
        (programs / name).chmod(0o755)
    (programs / "sitecustomize.py").write_text(AT_ONCE)
    path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
    modules = os.pathsep.join([str(programs), os.environ.get("PYTHONPATH", "")]).strip(os.pathsep)
    environment = {"PATH": path, "PYTHONPATH": modules, "HF_HOME": str(folder), **environment}
    for line in lines:
        if line in written:
            shutil.copy(kept / written[line], folder)
            continue
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", line],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )

        assert done.returncode == 0, f"{line}\n{done.stderr}"
        assert done.stdout or done.stderr, line
        if line.startswith("kws export "):
            written[line] = line.rpartition(" -o ")[2]
            shutil.copy(folder / written[line], kept)
