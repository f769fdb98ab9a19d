"""The Hub, played by a server on this computer: folders under ids, one gated id, no others."""

import hashlib
import json
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def hub(folders):
    """Serve folders by id, as `owner/name`; give the address for HF_ENDPOINT."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Hub, folders))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class Hub(BaseHTTPRequestHandler):
    """Answers what a snapshot download asks."""

    def __init__(self, folders, *arguments):
        self._folders = folders
        super().__init__(*arguments)

    def do_GET(self):
        self._answer(body=True)

    def do_HEAD(self):
        self._answer(body=False)

    def _answer(self, *, body):
        parts = self.path.split("?")[0].strip("/").split("/")
        about = parts[:2] == ["api", "models"]
        folder = self._folders.get("/".join(parts[2:4] if about else parts[:2]))
        if "gated" in parts:
            self._send(403, b"{}", {"X-Error-Code": "GatedRepo"}, body)
        elif folder is None:
            self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"}, body)
        elif about:
            siblings = [{"rfilename": path.name} for path in sorted(folder.iterdir())]
            told = {"id": "/".join(parts[2:4]), "sha": COMMIT, "siblings": siblings}
            self._send(200, json.dumps(told).encode(), {}, body)
        else:
            content = (folder / parts[-1]).read_bytes()
            etag = f'"{hashlib.sha1(content, usedforsecurity=False).hexdigest()}"'
            self._send(200, content, {"ETag": etag, "X-Repo-Commit": COMMIT}, body)

    def _send(self, code, content, headers, body):
        self.send_response(code)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *_):
        """Say nothing."""
