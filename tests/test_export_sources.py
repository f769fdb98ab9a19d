"""Where checkpoints come from: a folder, or the Hub, here played by a server of our own."""

import hashlib
import json
import os
import subprocess
import sys
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from export.sources import locate
from kws.errors import ExportError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {
    "config.json": b'{"architectures": ["SomethingElse"]}',
    "model.safetensors": b"safe",
    "pytorch_model.bin": b"pickled",
    "notes.py": b"code",
}


class Hub(BaseHTTPRequestHandler):
    """Answers as the Hub does: one repository, one gated one, no other."""

    def do_GET(self):
        self._answer(body=True)

    def do_HEAD(self):
        self._answer(body=False)

    def _answer(self, *, body):
        parts = self.path.split("?")[0].strip("/").split("/")
        if "gated" in parts:
            self._send(403, b"{}", {"X-Error-Code": "GatedRepo"}, body)
        elif parts[:3] == ["api", "models", "good"]:
            siblings = [{"rfilename": name} for name in FILES]
            told = {"id": "good/model", "sha": COMMIT, "siblings": siblings}
            self._send(200, json.dumps(told).encode(), {}, body)
        elif parts[0] == "good" and parts[-1] in FILES:
            content = FILES[parts[-1]]
            etag = f'"{hashlib.sha1(content, usedforsecurity=False).hexdigest()}"'
            self._send(200, content, {"ETag": etag, "X-Repo-Commit": COMMIT}, body)
        else:
            self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"}, body)

    def _send(self, code, content, headers, body):
        self.send_response(code)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def hub():
    """A Hub on this computer."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


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


def test_a_repository_is_downloaded_once_and_then_found_without_a_network(hub, tmp_path):
    """Safe weights and JSON only; code and pickles stay where they are."""
    endpoint = f"http://127.0.0.1:{hub.server_port}"
    first = ask("good/model", endpoint, tmp_path)
    found = {path.name for path in tmp_path.rglob("snapshots/*/*")}
    again = ask("good/model", "http://127.0.0.1:9", tmp_path)

    assert "downloading good/model" in first
    assert {"config.json", "model.safetensors"} == found
    assert first.splitlines()[-1] == again.strip()


@pytest.mark.parametrize(
    ("source", "wanted"),
    [("gated/model", "accept its terms"), ("nobody/nothing", "neither a folder here nor")],
)
def test_what_the_hub_does_not_give_is_told_in_one_line(source, wanted, hub, tmp_path):
    """A gated and a missing repository are told apart, as an ExportError."""
    told = ask(source, f"http://127.0.0.1:{hub.server_port}", tmp_path)

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
