"""The webhook: against real servers that take facts, fail, hang and hang up."""

import base64
import json
import os
import socket
import ssl
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle

import pytest
from telling import World, certificate, find, heard, need, until

from kws.errors import ConfigError, SinkError
from kws.sinks import webhook


class Server:
    """Answers posts as it is told: a status, `hang` or `hang up`; then always with 204."""

    def __init__(self, *answers, context=None):
        self.answers, self.posts, self.done = list(answers), [], threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._answering())
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.host = f"127.0.0.1:{self._server.server_port}"
        self.url = f"http://{self.host}/hook"

    def _answering(self):
        world = self

        class Answer(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                world.posts.append((self.path, dict(self.headers), json.loads(body)))
                answer = world.answers.pop(0) if world.answers else 204
                if answer == "hang":
                    world.done.wait(5)
                    answer = 204  # for whoever has waited
                if answer != "hang up":
                    self.send_response(answer)
                    self.send_header("Location", "http://127.0.0.1:9/elsewhere")
                    with suppress(OSError):
                        self.end_headers()

            def log_message(self, *_):
                """Say nothing."""

        return Answer

    @contextmanager
    def running(self):
        thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield self
        finally:
            self.done.set()
            self._server.shutdown()
            self._server.server_close()
            thread.join()


@contextmanager
def serving(*answers, **options):
    with Server(*answers, **options).running() as server:
        yield server


@pytest.fixture
def world(monkeypatch):
    """Pauses are short, for whoever waits for the tests."""
    monkeypatch.setattr(webhook, "FIRST_PAUSE_S", 0.01)
    return World()


def test_a_fact_is_posted_as_json(world):
    with serving() as server:
        sink = world.make("webhook", url=server.url + "?token=x", headers={"x-own": "mine"})
        sink.start()
        sink.send(heard())
        sink.close()

    [(path, headers, body)] = server.posts
    assert "/hook?token=x" == path
    assert {"Content-Type": "application/json", "X-Own": "mine"}.items() <= headers.items()
    assert ("detection", "jarvis", 0.93) == (body["type"], body["keyword"], body["score"])


def test_headers_replace_ours_and_a_login_becomes_one(world):
    with serving() as server:
        own = {"content-type": "application/x-kws"}
        login = server.url.replace("http://", "http://us%40r:p%3Aw@")
        world.make("webhook", url=login, headers=own).send(heard())

    [(_, headers, _)] = server.posts
    assert "application/x-kws" == headers["Content-Type"]
    assert b"us@r:p:w" == base64.b64decode(headers["Authorization"].removeprefix("Basic "))


@pytest.mark.parametrize("trouble", [500, 503, 429, "hang", "hang up"])
def test_what_may_pass_is_tried_again(world, trouble):
    """All tries of a fact have one key, so that a server can tell that it knows it already."""
    with serving(trouble, trouble) as server:
        sink = world.make("webhook", url=server.url, timeout_s=0.3)
        sink.send(heard())
        sink.send(heard("stop"))

    keys = [headers["Idempotency-Key"] for _, headers, _ in server.posts]
    assert ["jarvis", "jarvis", "jarvis", "stop"] == [body["keyword"] for *_, body in server.posts]
    assert keys[0] == keys[1] == keys[2] != keys[3]


@pytest.mark.parametrize("status", [400, 401, 404])
def test_what_will_not_pass_is_not(world, status):
    with serving(status) as server:
        with pytest.raises(SinkError, match=f"{server.host}: answers {status}"):
            world.make("webhook", url=server.url).send(heard())
        assert 1 == len(server.posts)


def test_it_gives_up(world):
    with serving(500, 502, 503) as server:
        with pytest.raises(SinkError, match=f"{server.host}: answers 503; given up"):
            world.make("webhook", url=server.url, retries=2).send(heard())
        assert 3 == len(server.posts)


def test_pauses_grow():
    assert [0.5, 1, 2] == webhook.pauses(3)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(world, status):
    """They lead elsewhere; the error says that, and not where to: that too may be a secret."""
    with serving(status) as server:
        with pytest.raises(SinkError, match=f"answers {status}, it has moved") as caught:
            world.make("webhook", url=server.url).send(heard())
        assert 1 == len(server.posts)
    assert "elsewhere" not in str(caught.value)


def test_a_server_that_is_away_is_an_error(world):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(SinkError, match=f"http://127.0.0.1:{port}: Connection refused; given up"):
        world.make("webhook", url=f"http://127.0.0.1:{port}").send(heard())


def test_what_is_no_http_server_is_an_error(world):
    def answer():
        for _ in range(2):
            connection = server.accept()[0]
            with connection:
                connection.recv(65_536)
                connection.sendall(b"220 mail.example ESMTP\r\n")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer)
        thread.start()
        sink = world.make("webhook", url=f"http://127.0.0.1:{server.getsockname()[1]}", retries=1)
        with pytest.raises(SinkError, match=r"that is no HTTP server \(BadStatusLine\)"):
            sink.send(heard())
        thread.join()


@contextmanager
def dawdling(*parts, pause_s):
    """A server that sends the parts over and over, until its client has had enough."""

    def answer():
        with suppress(OSError):
            while True:
                with server.accept()[0] as connection, suppress(OSError):
                    connection.recv(65_536)
                    for part in cycle(parts):
                        connection.sendall(part)
                        if ended.wait(pause_s):
                            return

    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            ended.set()
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize("answer", [b"HTTP/1.1 204 No\r\nX: ", b"HTTP/1.1 100 Go on\r\n\r\n"])
def test_a_server_that_drips_holds_it_no_longer_than_one_that_is_silent(world, answer):
    """The time of a try is for all of it, not for each byte."""
    with (
        dawdling(answer, *[b"x"] * 10_000, pause_s=0.05) as url,
        pytest.raises(SinkError, match="timed out; given up"),
    ):
        world.make("webhook", url=url, timeout_s=0.5, retries=1).send(heard())


def test_an_answer_without_end_is_not_read_on(world):
    """It costs no processor until its time is over."""
    with (
        dawdling(b"HTTP/1.1 100 Continue\r\n\r\n" * 100, pause_s=0) as url,
        pytest.raises(SinkError, match="answers without end; given up"),
    ):
        world.make("webhook", url=url, timeout_s=600, retries=1).send(heard())


def test_closing_ends_a_pause(world, monkeypatch):
    monkeypatch.setattr(webhook, "FIRST_PAUSE_S", 600)
    errors = []
    with serving(503) as server:
        sink = world.make("webhook", url=server.url)

        def send():
            try:
                sink.send(heard())
            except SinkError as error:
                errors.append(str(error))

        sending = threading.Thread(target=send)
        sending.start()
        until(lambda: server.posts)
        sink.close()
        sending.join()

    assert [f"webhook http://{server.host}: answers 503; given up"] == errors


def test_errors_tell_no_secrets(world):
    """Neither login, path, query nor headers of a webhook."""
    for answer in (404, 500):
        with serving(*[answer] * 4) as server:
            url = f"http://secret1:secret2@{server.host}/secret3?key=secret4"
            sink = world.make("webhook", url=url, headers={"X-Key": "secret5"})
            with pytest.raises(SinkError) as caught:
                sink.send(heard())
        assert "secret" not in str(caught.value)

    for wrong in ({"url": "secret"}, {"url": "http://secret:x", "headers": {}}):
        with pytest.raises(ConfigError) as refused:
            world.make("webhook", **wrong)
        assert "secret" not in str(refused.value)
    with pytest.raises(ConfigError, match="'X-Key' holds what headers can't") as refused:
        world.make("webhook", url="http://host", headers={"X-Key": "secret\r\nX: y"})
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["", "host/path", "ftp://host", "http://", "http://host:port", "http://host:99999",
            "http://host/a b", "http://host/\r\nX: y", "http://höst", "http://[::1",
            f"http://{'a' * 64}/"],
)  # fmt: skip
def test_what_is_no_url_is_refused(world, url):
    with pytest.raises(ConfigError, match="it should look like https://"):
        world.make("webhook", url=url)


def test_a_header_without_a_name_is_refused(world):
    with pytest.raises(ConfigError, match="holds what headers can't"):
        world.make("webhook", url="http://host", headers={"X Y": "z"})


def test_https_needs_a_certificate_that_is_trusted(world, tmp_path, monkeypatch, request):
    need(request, "openssl", "openssl")
    made, key = certificate(tmp_path, find("openssl"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made, key)
    with serving(context=context) as server:
        with pytest.raises(SinkError, match="certificate verify failed"):
            world.make("webhook", url=f"https://{server.host}/", retries=0).send(heard())
        monkeypatch.setitem(os.environ, "SSL_CERT_FILE", str(made))
        world.make("webhook", url=f"https://{server.host}/").send(heard())

    assert 1 == len(server.posts)
