"""How an extra is installed: the command names where this copy of kws came from."""

import json
import re
import shlex
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

from kws import install_hint
from kws.install_hint import PROJECT

ROOT = Path(__file__).parent.parent
SOURCES = [
    path
    for folder in ("kws", "export")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in {".py", ".toml", ".html", ".js"}
]


def installed(monkeypatch, tmp_path, origin):
    """Let kws be installed from `origin`, as pip keeps it; None: from a package index."""
    text = None if origin is None else json.dumps(origin)
    monkeypatch.setattr(install_hint, "PROJECT", tmp_path / "site-packages")
    distribution = SimpleNamespace(read_text=lambda name: text)
    monkeypatch.setattr(metadata, "distribution", lambda name: distribution)


def command(extra="eval"):
    return shlex.split(install_hint.install_hint(extra).partition("run: ")[2])


def test_in_a_checkout_it_names_the_folder():
    """By the Python that runs: the system's own pip may refuse, or be another one's."""
    assert [sys.executable, "-m", "pip", "install", f"{PROJECT}[zeroconf]"] == command("zeroconf")


def test_each_extra_that_a_message_names_exists():
    """Nobody is told to install an extra that the package does not offer."""
    call = re.compile(r"""(?:install_hint\(|missing_packages\([^()]*, )['"]([\w-]+)['"]\)""")
    named = {name for path in SOURCES for name in call.findall(path.read_text(encoding="utf-8"))}

    assert {"eval", "export", "import", "serve", "train", "zeroconf"} == named
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert not [name for name in named if not re.search(rf"^{name} = \[", project, re.MULTILINE)]


@pytest.mark.parametrize(
    ("origin", "source"),
    [
        ({"url": "https://example.com/kws.git", "vcs_info": {"vcs": "git", "commit_id": "c0"}},
         "kws[eval] @ git+https://example.com/kws.git@c0"),
        ({"url": "https://example.com/kws.whl", "archive_info": {}},
         "kws[eval] @ https://example.com/kws.whl"),
        ({"url": ROOT.as_uri(), "dir_info": {}}, f"{ROOT}[eval]"),
        ({"url": "file:///nowhere/kws", "dir_info": {}}, ".[eval]"),
        (None, ".[eval]"),
    ],
)  # fmt: skip
def test_an_installed_copy_names_its_origin(monkeypatch, tmp_path, origin, source):
    """A repository at its commit, a file, a folder; where nobody knows, a checkout."""
    installed(monkeypatch, tmp_path, origin)

    assert source == (command() or [""])[-1]


def test_nothing_else_tells_how_to_install():
    """It is on no index yet: only one module may name a command for it."""
    told = re.compile(r"pip install ['\"]?kws")
    wrong = [
        str(path.relative_to(ROOT))
        for path in SOURCES
        if path.stem != "install_hint" and told.search(path.read_text(encoding="utf-8"))
    ]

    assert not wrong
