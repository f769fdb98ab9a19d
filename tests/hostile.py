"""Bad clients: all that somebody may send to a port, and how slowly; none of it makes sense."""

import os
import socket
import ssl
import sys
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import numpy as np
from wyoming.audio import AudioChunk, AudioStart

HOST = b"Host: localhost\r\n"
GET = b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n"
STREAM = b"GET /v1/events HTTP/1.1\r\n" + HOST + b"\r\n"
POST = b"POST /v1/classify HTTP/1.1\r\n" + HOST
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
UPGRADE = (
    b"GET /v1/%s HTTP/1.1\r\n"
    + HOST
    + b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
PATIENCE_S = 30


def event(it):
    """Return an event of Wyoming as bytes."""
    it = it.event()
    data = str(it.data).replace("'", '"').replace("None", "null").encode()
    payload = it.payload or b""
    head = '{"type":"%s","data_length":%d,"payload_length":%d}\n'
    return (head % (it.type, len(data), len(payload))).encode() + data + payload


DESCRIBE = b'{"type":"describe"}\n'
CHUNK = event(AudioStart(16_000, 2, 1)) + event(AudioChunk(16_000, 2, 1, bytes(2_048)))


def hello():
    """Return how a client of TLS begins."""
    sent = ssl.MemoryBIO()
    speaker = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), sent, server_hostname="a")
    with suppress(ssl.SSLWantReadError):
        speaker.do_handshake()
    return sent.read()


class Mob:
    """Clients who do their worst to two ports, each on a thread of its own, until it ends.

    counts: how often each did. kept: how many were still connected when they gave up.
    """

    def __init__(self, http, wyoming, seed=1):
        self.http, self.wyoming = http, wyoming
        self.counts, self.kept, self.failures = {}, [], []
        self._seed, self._ended = seed, threading.Event()

    @contextmanager
    def loose(self):
        """Let them begin."""
        acts = [self.noise, self.strangers, self.spoilt, self.crowd, self.greedy, self.cut_off]
        acts += [self.heavy, self.crumbs, self.deaf, self.sockets, self.drip]
        threads = [
            threading.Thread(target=self._run, args=(act, number), name=act.__name__)
            for number, act in enumerate(acts)
        ]
        for each in threads:
            each.start()
        try:
            yield self
        finally:
            self._ended.set()
            for each in threads:
                each.join(PATIENCE_S)
            self.failures += [f"{each.name} hangs" for each in threads if each.is_alive()]

    def _run(self, act, number):
        if sys.platform == "linux":  # what is tried is the daemon, not who gets the processor
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
        rng = np.random.default_rng([self._seed, number])
        while not self._ended.wait(0.005):
            try:
                act(rng)
            except OSError:  # turned away, as it should be
                pass
            except Exception as error:  # noqa: BLE001 - the test tells
                self.failures.append(f"{act.__name__}: {error!r}")
                return
            self.counts[act.__name__] = self.counts.get(act.__name__, 0) + 1

    @contextmanager
    def _to(self, port, sent=b"", wait_s=0.2):
        with socket.create_connection(("127.0.0.1", port), 5) as opened:
            opened.settimeout(wait_s)
            if sent:
                opened.sendall(sent)
            yield opened

    def _ports(self):
        return self.http, self.wyoming

    def noise(self, rng):
        """Random bytes."""
        for port in self._ports():
            with self._to(port, rng.bytes(rng.integers(1, 5_000))) as opened:
                opened.recv(100)

    def strangers(self, rng):
        """Those who want another protocol."""
        for port, sent in (
            (self.http, hello()),
            (self.wyoming, hello()),
            (self.http, DESCRIBE * 3),
            (self.wyoming, GET),
            (self.wyoming, UPGRADE % b"listen"),
            (self.http, UPGRADE.replace(b"localhost", b"\xff") % b"listen"),
            (self.http, b"POST /healthz HTTP/1.1\r\n" + HOST + CHUNKED + b"zzz\r\n\r\n"),
        ):
            with suppress(OSError), self._to(port, sent) as opened:
                opened.recv(100)

    def spoilt(self, rng):
        """What would be right, but for a few bytes."""
        right = [(self.http, each) for each in (GET, POST + b"Content-Length: 3\r\n\r\nRIF")]
        right += [(self.http, UPGRADE % b"listen"), (self.wyoming, DESCRIBE), (self.wyoming, CHUNK)]
        for port, sent in right:
            bad = bytearray(sent)
            for at in rng.integers(0, len(bad), rng.integers(1, 4)):
                bad[at] = rng.integers(0, 256)
            with suppress(OSError), self._to(port, bytes(bad), 0.05) as opened:
                opened.recv(100)

    def crowd(self, rng):
        """A hundred at once, who leave without a word; half of them slam the door."""
        for port in self._ports():
            with ExitStack() as stack:
                for number in range(100):
                    opened = stack.enter_context(self._to(port))
                    if number % 2:
                        opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    def greedy(self, rng):
        """Those who bring far too much."""
        much = bytes(1 << 20)
        for port, sent in (
            (self.http, b"GET / HTTP/1.1\r\nX: " + much),
            (self.http, b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 100_000),
            (self.http, POST + b"Content-Length: 999999999\r\n\r\n" + much * 12),
            (self.http, POST + b"Content-Length: 9000000\r\n\r\n" + much * 8),
            (self.http, POST + b'Content-Length: 9000000\r\n\r\n{"inputs":"' + b"A" * (8 << 20)),
            (self.wyoming, much),
            (self.wyoming, b'{"type":"ping","data_length":9000000}\n' + much),
            (self.wyoming, b'{"type":"audio-chunk","payload_length":9000000}\n' + much),
            (self.wyoming, b'{"type":"ping","data":' + b"[" * 60_000 + b"\n"),
        ):
            with suppress(OSError), self._to(port, sent) as opened:
                opened.recv(100)

    def heavy(self, rng):
        """Many bodies at once, each nearly as long as it may be, and none complete."""
        body = POST + b"Content-Length: 9999999\r\n\r\n" + bytes(9_000_000)
        with ExitStack() as stack:
            for _ in range(24):
                with suppress(OSError):
                    stack.enter_context(self._to(self.http, wait_s=1.0)).sendall(body)
            self._ended.wait(3.0)

    def cut_off(self, rng):
        """Those who leave in the midst of it, or close one half."""
        for port, sent in (
            (self.http, POST + b"Content-Length: 100\r\n\r\nRIFF"),
            (self.http, POST + CHUNKED + b"ff\r\nabc"),
            (self.http, GET[:-5]),
            (self.wyoming, CHUNK[: -rng.integers(1, len(CHUNK))]),
        ):
            with suppress(OSError), self._to(port, sent):
                pass
            with suppress(OSError), self._to(port, sent) as opened:
                opened.shutdown(socket.SHUT_WR)
                opened.recv(100)

    def crumbs(self, rng):
        """A body in the smallest pieces that there are, an event of each sample."""
        sample = event(AudioChunk(16_000, 2, 1, b"\0\0"))
        for port, sent in (
            (self.http, POST + CHUNKED + b"1\r\na\r\n" * 20_000),
            (self.wyoming, sample * 2_000),
        ):
            with suppress(OSError), self._to(port, sent) as opened:
                opened.recv(100)

    def deaf(self, rng):
        """Those who ask and ask, and never read."""
        with ExitStack() as stack:
            for port, sent in (
                (self.http, GET * 1_000),
                (self.http, STREAM),
                (self.wyoming, DESCRIBE * 1_000),
            ):
                opened = stack.enter_context(self._to(port))
                with suppress(TimeoutError):
                    for _ in range(20):
                        opened.sendall(sent)
            self._ended.wait(1.0)

    def sockets(self, rng):
        """What no WebSocket says."""
        for path in b"listen", b"events/ws":
            for sent in (
                rng.bytes(500),
                b"\x82\x03abc",
                b"\x82\xff" + (1 << 40).to_bytes(8, "big") + bytes(1 << 20),
                b"\x82\xfe\x10\x00" + bytes(4) + rng.bytes(4_096),
                (b"\x89\xfd" + bytes(129)) * 2_000,
                b"\x02\x80\0\0\0\0" * 10_000,
            ):
                with suppress(OSError), self._to(self.http, UPGRADE % path) as opened:
                    opened.recv(500)
                    opened.sendall(sent)
                    opened.recv(500)

    def drip(self, rng):
        """A byte a second, until they are let go."""
        with ExitStack() as stack:
            slow = [
                (stack.enter_context(self._to(port)), sent)
                for port, sent in (
                    (self.http, GET[:-4] + b"\r\nX: " + b"a" * 100),
                    (self.http, POST + b"Content-Length: 999\r\n\r\n" + bytes(99)),
                    (self.wyoming, CHUNK),
                    (self.wyoming, b""),
                )
            ]
            for opened, sent in slow:
                opened.setblocking(False)
                opened.send(sent[: max(0, len(sent) - 90)])
            for second in range(12):
                slow = [
                    (each, sent) for each, sent in slow if _there(each, sent[second - 90 :][:1])
                ]
                if not slow or self._ended.wait(1.0):
                    break
            else:
                self.kept += [each.getpeername()[1] for each, _ in slow]


def _there(opened, byte):
    """Send a byte; return whether somebody is still there to take it."""
    try:
        opened.send(byte)
        while opened.recv(4_096):
            pass
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def memory(pid, what="VmRSS"):
    """Return a process's memory in MiB."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) / 1_024 for line in file if line.startswith(what))


def sockets(pid):
    """Return how many sockets a process has open."""
    found = 0
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):  # just closed
            found += each.readlink().name.startswith("socket:")
    return found


def waited(condition, patience_s=PATIENCE_S):
    """Wait until something is so; return whether it came to be."""
    end = time.monotonic() + patience_s
    while not (found := condition()) and time.monotonic() < end:
        time.sleep(0.1)
    return found
