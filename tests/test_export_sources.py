"""Where checkpoints come from: a folder, or the Hub, here played by a server of our own."""

import os
import subprocess
import sys
from functools import partial

import hub
import pytest

from export.sources import locate
from kws.errors import ExportError

FILES = {
    "config.json": '{"architectures": ["SomethingElse"]}',
    "model.safetensors": "safe",
    "pytorch_model.bin": "pickled",
    "notes.py": "code",
}


@pytest.fixture
def endpoint(tmp_path):
    """A Hub on this computer, with one repository."""
    folder = tmp_path / "repository"
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text)
    with hub.hub({"good/model": folder}) as address:
        yield address


def ask(source, endpoint, cache):
    """What `locate` says in a process of its own: the Hub's address is read once, at import."""
    code = (
        "import sys; from export.sources import locate\n"
        "try: print(locate(sys.argv[1], print).path)\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(cache)}
    for name in ("HF_HUB_OFFLINE", "HF_TOKEN"):
        environment.pop(name, None)
    run = partial(subprocess.run, capture_output=True, text=True, check=True)
    return run([sys.executable, "-c", code, source], env=environment).stdout


def test_a_repository_is_downloaded_once_and_then_found_without_a_network(endpoint, tmp_path):
    """Safe weights and JSON only; code and pickles stay where they are."""
    first = ask("good/model", endpoint, tmp_path / "cache")
    found = {path.name for path in tmp_path.rglob("snapshots/*/*")}
    again = ask("good/model", "http://127.0.0.1:9", tmp_path / "cache")

    assert "downloading good/model" in first
    assert {"config.json", "model.safetensors"} == found
    assert first.splitlines()[-1] == again.strip()


@pytest.mark.parametrize(
    ("source", "wanted"),
    [("gated/model", "accept its terms"), ("nobody/nothing", "neither a folder here nor")],
)
def test_what_the_hub_does_not_give_is_told_in_one_line(source, wanted, endpoint, tmp_path):
    """A gated and a missing repository are told apart, as an ExportError."""
    told = ask(source, endpoint, tmp_path)

    assert told.startswith("ExportError")
    assert wanted in told
    assert 1 == len(told.splitlines())


def test_without_a_network_the_user_learns_how_to_download(tmp_path):
    """Not cached, and the Hub can't be reached."""
    told = ask("some/model", "http://127.0.0.1:9", tmp_path)

    assert "can't be reached" in told
    assert "hf download some/model --local-dir DIR" in told


def test_what_is_no_source_at_all_is_refused(tmp_path):
    """Neither a path nor an id."""
    with pytest.raises(ExportError, match="no such file or folder"):
        locate(str(tmp_path / "nothing"), print)


def test_a_folder_is_called_by_its_name(tmp_path):
    """No path of this computer gets into a card."""
    checkpoint = locate(str(tmp_path), print)

    assert tmp_path.name == checkpoint.name
