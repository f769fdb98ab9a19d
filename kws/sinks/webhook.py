"""Webhook: each fact is posted to a URL as JSON."""

from __future__ import annotations

import base64
import http.client
import io
import re
import socket
import ssl
import threading
import time
import uuid
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any, ClassVar
from urllib.parse import SplitResult, unquote, urlsplit

import msgspec

from kws.errors import ConfigError, SinkError
from kws.origin import Strict
from kws.permissions import exposures
from kws.sinks import Around, Fact, Heard

FIRST_PAUSE_S = 0.5
"""Before the second try; it doubles each time."""

MOST_BYTES = 1 << 16
"""Of an answer's status and headers, nothing else is read of it."""

HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
"""A header's name (RFC 9110, token)."""


class Settings(Strict, frozen=True):
    """headers: sent with each. timeout_s: of each whole try. retries: tries after the first one."""

    url: str
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 5.0
    retries: Annotated[int, msgspec.Meta(ge=0, le=10)] = 3


class Sink:
    """Posts facts, each until it is taken or all tries have failed.

    Tried again: no connection, no answer in time, 5xx, 429. All tries of a fact have the same
    Idempotency-Key. Redirects are not followed, proxies not asked. What is said of a URL is its
    host: paths and queries of webhooks are secrets, as headers are.

    Raises ConfigError: it is no http or https URL, or a header can't be sent.
    """

    wants: ClassVar[frozenset[type[Fact]]] = frozenset({Heard})

    def __init__(self, settings: Settings, around: Around) -> None:
        self._settings, self._url = settings, _checked(settings.url)
        self._where = f"webhook {self._url.scheme}://{self._url.netloc.rpartition('@')[2]}"
        self._target = (self._url.path or "/") + (f"?{self._url.query}" if self._url.query else "")
        self._headers = {"Content-Type": "application/json", "Connection": "close"}
        if self._url.username is not None:
            name, password = unquote(self._url.username), unquote(self._url.password or "")
            login = base64.b64encode(f"{name}:{password}".encode()).decode()
            self._headers["Authorization"] = f"Basic {login}"
        for header, value in settings.headers.items():
            if not HEADER.fullmatch(header) or not (value.isascii() and value.isprintable()):
                raise ConfigError(f"{self._where}: header {header!r} holds what headers can't")
            self._headers[header.title()] = value
        if around.config is not None and (settings.headers or self._url.username is not None):
            for line in exposures(Path(around.config)):
                around.log("warning", f"{self._where}: {line}")
        self._tls = ssl.create_default_context() if self._url.scheme == "https" else None
        self._closed = threading.Event()

    def start(self) -> None:
        """Nothing: each fact has a connection of its own."""

    def probe(self) -> None:
        """Connect, and ask for nothing. Raises SinkError: there is nobody."""
        try:
            self._connection(time.monotonic() + self._settings.timeout_s).close()
        except OSError as error:
            raise SinkError(
                f"{self._where}: can't be reached ({error.strerror or error})"
            ) from None

    def send(self, fact: Fact, /) -> None:
        """Post it. Raises SinkError: it was refused, or no try succeeded."""
        body = msgspec.json.encode(fact)
        headers = {**self._headers, "Idempotency-Key": uuid.uuid4().hex}
        trouble = self._post(body, headers)
        for pause in pauses(self._settings.retries):
            if trouble is None or self._closed.wait(pause):
                break
            trouble = self._post(body, headers)
        if trouble is not None:
            raise SinkError(f"{self._where}: {trouble}; given up")

    def close(self) -> None:
        """Try nothing again; from any thread."""
        self._closed.set()

    def _post(self, body: bytes, headers: dict[str, str]) -> str | None:
        """Return what went wrong. Raises SinkError: it would go wrong again."""
        try:
            until = time.monotonic() + self._settings.timeout_s
            with closing(self._connection(until)) as connection:
                connection.request("POST", self._target, body, headers)
                status = connection.getresponse().status
        except OSError as error:
            return error.strerror or str(error) or type(error).__name__
        except http.client.HTTPException as error:
            return f"that is no HTTP server ({type(error).__name__})"
        if 200 <= status < 300:
            return None
        if status >= 500 or status == 429:
            return f"answers {status}"
        if 300 <= status < 400:
            raise SinkError(f"{self._where}: answers {status}, it has moved; give its new URL")
        raise SinkError(f"{self._where}: answers {status}; check the URL and the headers")

    def _connection(self, until: float) -> http.client.HTTPConnection:
        """Return an open connection that is used up at `until`, however its server dawdles."""
        host = str(self._url.hostname)
        if self._tls is None:
            connection = http.client.HTTPConnection(host, self._url.port)
        else:
            connection = http.client.HTTPSConnection(host, self._url.port, context=self._tls)
        opened = _connected(host, connection.port, until)
        connection.sock = opened if self._tls is None else _secured(self._tls, opened, host, until)
        connection.sock.settimeout(_left(until))

        def response(sock: socket.socket, **options: Any) -> http.client.HTTPResponse:
            return http.client.HTTPResponse(_Bounded(sock, until), **options)  # type: ignore[arg-type]

        connection.response_class = response  # type: ignore[assignment]
        return connection


class _Bounded(io.RawIOBase):
    """What a server answers, up to a moment and so many bytes. Passes for a socket that is read.

    A socket's own timeout begins anew with each byte: a server that drips would hold us for ever.
    """

    def __init__(self, sock: socket.socket, until: float) -> None:
        self._sock, self._until, self._room = sock, until, MOST_BYTES

    def makefile(self, mode: str) -> io.BufferedReader:
        """Return what HTTP reads from."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what has come. Raises OSError: it is too late, or too much."""
        self._sock.settimeout(_left(self._until))
        read = self._sock.recv_into(buffer)
        self._room -= read
        if self._room < 0:
            raise OSError("answers without end")
        return read


def _left(until: float) -> float:
    """Return the seconds until then. Raises TimeoutError: there are none."""
    if (left := until - time.monotonic()) <= 0:
        raise TimeoutError("timed out")
    return left


def _connected(host: str, port: int, until: float) -> socket.socket:
    """Connect to the first of a host's addresses that answers. Raises OSError."""
    failure: OSError = OSError("has no address")
    for family, kind, protocol, _, address in socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM
    ):
        opened = socket.socket(family, kind, protocol)
        try:
            opened.settimeout(_left(until))
            opened.connect(address)
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            opened.close()
            failure = error
        else:
            return opened
    raise failure


def _secured(
    context: ssl.SSLContext, opened: socket.socket, host: str, until: float
) -> ssl.SSLSocket:
    """Return a connection within TLS. Raises OSError."""
    try:
        opened.settimeout(_left(until))
        return context.wrap_socket(opened, server_hostname=host)
    except OSError:
        opened.close()
        raise


def pauses(retries: int) -> list[float]:
    """Return the seconds before each further try."""
    return [FIRST_PAUSE_S * 2**n for n in range(retries)]


def _checked(url: str) -> SplitResult:
    # Nothing of the text is told: it may hold a password.
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        good = good and bool(str(parts.hostname).encode("idna"))  # or connecting would raise
    except ValueError:
        good = False
    if not good or not url.isascii() or re.search(r"[\x00-\x20\x7f]", url):
        raise ConfigError("webhook: url makes no sense; it should look like https://host:port/path")
    return parts
