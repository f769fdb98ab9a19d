"""The README: whatever it shows, works."""

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

README = Path(__file__).parent.parent / "README.md"
WORDS = Path(__file__).parent / "words"
RATE = 16_000
STUBS = {"arecord": "exec cat demo.wav", "jq": "exec cat", "pip": "echo installed"}
"""Programs that a reader may have and a test machine may not, or has no network for."""
AT_ONCE = """
from types import SimpleNamespace
import kws.sources.demo
kws.sources.demo.time = SimpleNamespace(sleep=lambda seconds: None)
"""
"""Runs as each Python starts: the demo recording need not be heard at the pace of speech."""


def blocks(language):
    text = README.read_text(encoding="utf-8")
    found = re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return [pytest.param(code, id=code.split("\n")[-2][:40]) for code in found]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A reader's folder: the demo recording, words in label folders, what goes around them."""
    shutil.copy(demo.PATH, tmp_path / "demo.flac")
    soundfile.write(tmp_path / "demo.wav", *soundfile.read(demo.PATH, dtype="int16"))
    for path in WORDS.glob("*/*.opus"):
        (tmp_path / "words" / path.stem).mkdir(parents=True, exist_ok=True)
        audio, rate = soundfile.read(path)
        soundfile.write(tmp_path / "words" / path.stem / f"{path.parent.name}.wav", audio, rate)
    rng = np.random.default_rng(1)
    for name, seconds in {"speech": 30, "noise": 10, "rooms": 0.2}.items():
        (tmp_path / name).mkdir()
        audio = rng.normal(0, 0.01, round(seconds * RATE))
        soundfile.write(tmp_path / name / "a.wav", audio, RATE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("code", blocks("python"))
def test_its_python_runs(folder, monkeypatch, code):
    """Each block runs by itself; the microphone hears the demo recording."""
    monkeypatch.setattr(microphone, "Microphone", lambda *_, **__: AudioFile(demo.PATH))
    exec(compile(code, str(README), "exec"), {"__name__": "__main__"})  # noqa: S102


@pytest.fixture(scope="module")
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


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A folder for what `kws export` wrote, by the line that did it: each is done once."""
    return tmp_path_factory.mktemp("exported"), {}


@pytest.mark.parametrize("code", blocks("sh"))
def test_its_shell_runs(folder, endpoint, exported, code):
    """Each line of each block ends well and says something."""
    kept, done_before = exported
    programs = folder / "programs"
    programs.mkdir()
    for name, body in STUBS.items():
        (programs / name).write_text(f"#!/bin/sh\n{body}\n")
        (programs / name).chmod(0o755)
    (programs / "sitecustomize.py").write_text(AT_ONCE)
    path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
    modules = os.pathsep.join([str(programs), os.environ.get("PYTHONPATH", "")]).strip(os.pathsep)
    surroundings = {"PATH": path, "PYTHONPATH": modules}
    for line in code.splitlines():
        if line in done_before:
            shutil.copy(kept / done_before[line], folder)
            continue
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", line],
            env={**os.environ, **surroundings, "HF_ENDPOINT": endpoint, "HF_HOME": str(folder)},
            capture_output=True,
            text=True,
            check=False,
        )

        assert done.returncode == 0, f"{line}\n{done.stderr}"
        assert done.stdout or done.stderr
        if line.startswith("kws export "):
            done_before[line] = line.rpartition(" -o ")[2]
            shutil.copy(folder / done_before[line], kept)
