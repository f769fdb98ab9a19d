"""The README: whatever it shows, works."""

import pytest
from markdown_examples import (
    ROOT,
    audio,
    blocks,
    endpoint,
    exported,
    folder,
    named,
    run_python,
    run_shell,
)

__all__ = ["audio", "endpoint", "exported", "folder"]

README = ROOT / "README.md"


@pytest.mark.parametrize("code", [named(README, code) for code in blocks(README, "python")])
def test_its_python_runs(folder, monkeypatch, code):
    """Each block runs by itself; the microphone hears the demo recording."""
    run_python(code, monkeypatch)


@pytest.mark.parametrize("code", [named(README, code) for code in blocks(README, "sh")])
def test_its_shell_runs(folder, endpoint, exported, code):
    """Each line of each block ends well and says something."""
    run_shell(code.splitlines(), folder, exported, HF_ENDPOINT=endpoint)
