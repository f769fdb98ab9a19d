"""What no client may do over HTTP: keep a connection, fill the log, come in by another name."""

import hmac
import io
import json
import logging
import re
import socket
import struct
import threading
import time
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from models import RATE
from telling import PATIENCE_S, until
from test_http import TOKEN, accepted, home, living, recording, upgrade

from kws.errors import AudioError
from kws.serve import logs, seldom
from kws.serve.audience import Audience
from kws.serve.http import listen
from kws.serve.http.clip import decode
from kws.sinks import Playing

__all__ = ["home"]

HOST = b"Host: localhost\r\n"
SOCKET = (
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)
GET = b"GET /openapi.json HTTP/1.1\r\n" + HOST + b"\r\n"


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """A daemon with little patience, and few connections."""
    folder = tmp_path_factory.mktemp("quick")
    with living(folder, "[http]\nport = 0\ntimeout_s = 1.0\nconnections = 4\n") as it:
        yield it
        assert it.failure is None


@pytest.fixture
def lines(monkeypatch):
    """What is logged, but for how the microphones are."""
    found = []

    def say(level, text):
        if not text.startswith("microphone: "):
            found.append((level, text))

    monkeypatch.setattr(logs, "say", say)
    return found


def open_to(home):
    return set(home.daemon._network._web._server._server.server_state.connections)


def connections(home):
    return len(open_to(home))


def all_of(opened):
    """Return all that comes until the server closes."""
    found = b""
    with suppress(ConnectionError):
        while more := opened.recv(65_536):
            found += more
    return found


def answered(home, request):
    """Return the status and the JSON with which a connection ends."""
    with home.plain(request) as opened:
        head, _, body = all_of(opened).partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


# -- what is no HTTP --------------------------------------------------------------------------

ODD = {
    "no HTTP": b"\xff\xfe\x00\r\n\r\n",
    "TLS": bytes.fromhex("16030100c8010000c40303") + bytes(200) + b"\r\n\r\n",
    "Wyoming": b'{"type":"describe"}\n\n',
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n",
    "two lengths": b"POST /v1/classify HTTP/1.1\r\n"
    + HOST
    + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\na",
    "a length below zero": b"POST /v1/classify HTTP/1.1\r\n"
    + HOST
    + b"Content-Length: -1\r\n\r\na",
    "a coding that nobody knows": b"POST /v1/classify HTTP/1.1\r\n"
    + HOST
    + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "length and coding": b"POST /v1/classify HTTP/1.1\r\n"
    + HOST
    + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a broken coding": b"POST /v1/classify HTTP/1.1\r\n"
    + HOST
    + b"Transfer-Encoding: chunked\r\n\r\nzzz\r\n\r\n",
    "a path of other bytes": b"GET /\xff HTTP/1.1\r\n" + HOST + b"\r\n",
    "a WebSocket of other bytes": b"GET /v1/events/ws HTTP/1.1\r\nHost: \xff\r\n"
    + SOCKET
    + b"\r\n",
    "extensions of other bytes": b"GET /v1/events/ws HTTP/1.1\r\n"
    + HOST
    + SOCKET
    + b"Sec-WebSocket-Extensions: \xff\r\n\r\n",
}


@pytest.mark.parametrize("request_", ODD.values(), ids=ODD)
def test_what_is_no_request_is_told_so_in_one_line(quick, request_, lines):
    """And neither the log nor the count of connections keeps a trace."""
    status, answer = answered(quick, request_)

    assert (status, list(answer)) == (400, ["error"])
    until(lambda: not connections(quick))
    assert {level for level, _ in lines} <= {"debug"}


AFTER = {
    "405": b"POST /healthz HTTP/1.1\r\n",
    "a stream": b"GET /v1/events HTTP/1.1\r\n",
}


@pytest.mark.parametrize("head", AFTER.values(), ids=AFTER)
def test_nonsense_after_the_answer_ends_the_connection(quick, head, lines):
    with quick.plain(head + HOST + b"Transfer-Encoding: chunked\r\n\r\n") as opened:
        assert opened.recv(9) == b"HTTP/1.1 "
        opened.sendall(b"zzz\r\n\r\n")
        all_of(opened)

    until(lambda: not connections(quick))
    assert {level for level, _ in lines} <= {"debug"}


@pytest.mark.parametrize("host", ["xn--a", "a" * 70 + ".b"])
def test_upgrades_that_can_not_be_read_keep_no_place(quick, host, lines):
    """As many as there are places."""
    for _ in range(20):
        with quick.plain(
            f"GET /v1/listen HTTP/1.1\r\nHost: {host}\r\n".encode() + SOCKET + b"\r\n"
        ) as opened:
            all_of(opened)

    until(lambda: not connections(quick))
    assert quick.ask("GET", "/openapi.json")[0] == 200
    assert {level for level, _ in lines} <= {"debug"}


@pytest.mark.parametrize("path", ["/v1/classify", "/v1/playback"])
def test_json_of_any_depth_is_no_trouble_of_ours(home, path):
    deep = b'{"x":' + b"[" * (900 if path.endswith("playback") else 100_000)
    status, _, answer = home.ask("POST", path, deep)

    assert (status, list(answer)) == (422, ["error"])


@pytest.mark.parametrize(
    "target",
    [b"http://localhost/healthz", b"http://evil.example/healthz", b"*", b"localhost:80", b"//a"],
)
def test_a_target_that_is_no_path_leads_nowhere(home, target):
    method = b"OPTIONS " if target == b"*" else b"GET "
    with home.plain(
        method + target + b" HTTP/1.1\r\nConnection: close\r\n" + HOST + b"\r\n"
    ) as opened:
        head, _, body = all_of(opened).partition(b"\r\n\r\n")

    assert head.split()[1] in {b"400", b"404"}
    assert list(json.loads(body)) == ["error"]


@pytest.mark.parametrize("path", ["/v1/events", "/v1/live"])
def test_who_asks_for_the_head_of_a_stream_gets_that_alone(home, path):
    """And may go on to ask, as after any answer."""
    with home.connected() as connection:
        connection.request("HEAD", path)
        answer = connection.getresponse()
        assert answer.getheader("content-type").startswith("text/event-stream")
        assert answer.read() == b""
        connection.request("GET", "/openapi.json")
        assert connection.getresponse().status == 200
    assert not home.daemon._house.feed.followers + home.daemon._house.live.followers


# -- who takes his time -----------------------------------------------------------------------


def trickled(opened, data, wait_s):
    """Send byte by byte until the server closes, but not for long."""
    end = time.monotonic() + PATIENCE_S
    opened.settimeout(wait_s)
    with suppress(ConnectionError):
        for number in range(10_000):
            opened.sendall(data[number % len(data) :][:1])
            with suppress(TimeoutError):
                if not opened.recv(4_096):
                    break
            if time.monotonic() > end:
                pytest.fail("it is still connected")


SLOW = {
    "a head": (b"GET /openapi.json HTTP/1.1\r\nX: ", b"a"),
    "a second head": (GET + b"GET /openapi.json HTTP/1.1\r\nX: ", b"a"),
    "a body that nobody reads": (
        b"POST /healthz HTTP/1.1\r\n" + HOST + b"Content-Length: 99999999\r\n\r\n",
        b"a",
    ),
    "a body of a stranger": (
        b"POST /v1/classify HTTP/1.1\r\nHost: evil.example\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"1\r\na\r\n",
    ),
    "a body": (b"POST /v1/classify HTTP/1.1\r\n" + HOST + b"Content-Length: 99999\r\n\r\n", b"R"),
}


@pytest.mark.parametrize(("begun", "more"), SLOW.values(), ids=SLOW)
def test_a_byte_now_and_then_keeps_no_connection(quick, begun, more):
    """Each is soon enough for itself, all together are not."""
    with quick.plain(begun) as opened:
        trickled(opened, more, 0.1)

    until(lambda: not connections(quick))


def unread(home, requests):
    """Ask, and read nothing until the server has let go; return what was there to read then."""
    until(lambda: not connections(home))
    with socket.socket() as opened:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        opened.settimeout(PATIENCE_S)
        opened.connect(home.daemon.http_address)
        until(lambda: connections(home))
        [there] = home.daemon._network._web._server._server.server_state.connections
        ours = there.transport.get_extra_info("socket")
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
        opened.sendall(requests)
        until(lambda: not connections(home))
        return all_of(opened)


@pytest.mark.parametrize("last", [b"", b"\xff\r\n\r\n"], ids=["much", "the last"])
def test_who_reads_no_answer_is_let_go(quick, last):
    """Also where all is answered, and no more than what the server would keep for him."""
    with quick.plain(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")) as opened:
        size = len(all_of(opened))
    count = 100_000 // size if last else 2_000
    answers = unread(quick, GET * count + last)

    assert answers.count(b"HTTP/1.1 200") < count
    assert quick.ask("GET", "/openapi.json")[0] == 200


def test_who_pings_and_reads_nothing_is_let_go(home):
    """Before its pongs fill the memory."""
    with socket.socket() as opened:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        opened.settimeout(PATIENCE_S)
        opened.connect(home.daemon.http_address)
        opened.sendall(b"GET /v1/events/ws HTTP/1.1\r\n" + HOST + SOCKET + b"\r\n")
        assert opened.recv(12) == b"HTTP/1.1 101"
        ping = b"\x89\xfd" + bytes(4) + bytes(125)
        with pytest.raises(ConnectionError):
            opened.sendall(ping * 500_000)
    until(lambda: not home.daemon._house.feed.followers)


@contextmanager
def busy(home):
    """Everything that is to be classified waits meanwhile."""
    release = threading.Event()
    home.daemon._house.classifying._waiting.put((Future(), release.wait))
    try:
        yield home.daemon._house.classifying._waiting
    finally:
        release.set()


def test_one_connection_too_many_is_told(quick):
    """As long as all others wait for an answer, and none of them for its client."""
    clip = recording("WAV")
    with ExitStack() as stack:
        waiting = [stack.enter_context(quick.connected()) for _ in range(4)]
        with busy(quick) as queue:
            for each in waiting:
                each.request("POST", "/v1/classify", clip)
            until(lambda: queue.qsize() >= 4)
            for request in GET, GET.replace(HOST, HOST + SOCKET):
                status, answer = answered(quick, request)
                assert (status, answer) == (503, {"error": "too many connections"})
        assert [each.getresponse().status for each in waiting] == [200] * 4
    until(lambda: not connections(quick))


@pytest.mark.parametrize(
    "begun", [b"", *(begun for begun, _ in SLOW.values())], ids=["nothing", *SLOW]
)
def test_slow_clients_shut_nobody_out(home, begun):
    """Many more than there is room for: who finishes is answered, and the slowest are let go."""
    with ExitStack() as stack:
        for _ in range(40):
            stack.enter_context(home.plain(begun))
        assert {home.ask("GET", "/openapi.json")[0] for _ in range(10)} == {200}
        assert connections(home) <= home.daemon._house.settings.connections
    until(lambda: not connections(home))


def test_who_sends_a_body_stays_where_others_say_nothing(home):
    """A recording takes its time; slow heads make way, and not this."""
    clip = recording("WAV")
    head = b"POST /v1/classify HTTP/1.1\r\nConnection: close\r\n" + HOST
    with ExitStack() as stack:
        begun = head + b"Content-Length: %d\r\n\r\n" % len(clip) + clip[:-1]
        sending = stack.enter_context(home.plain(begun))
        until(lambda: [each for each in open_to(home) if (each.slowness or (False,))[0]])
        for _ in range(40):
            stack.enter_context(home.plain(b"GET / HTTP/1.1\r\n"))
        assert home.ask("GET", "/openapi.json")[0] == 200
        sending.sendall(clip[-1:])
        assert all_of(sending).startswith(b"HTTP/1.1 200")


def test_a_message_without_end_is_cut_off(home):
    """Before it fills the memory."""
    part = b"\x00\xff" + (1 << 16).to_bytes(8, "big") + bytes(4) + bytes(1 << 16)
    for path in "/v1/listen", "/v1/events/ws":
        with home.plain(f"GET {path} HTTP/1.1\r\n".encode() + HOST + SOCKET + b"\r\n") as opened:
            assert opened.recv(12) == b"HTTP/1.1 101"
            opened.sendall(b"\x02" + part[1:])
            with pytest.raises(ConnectionError):
                opened.sendall(part * 1_000)
    until(lambda: not connections(home))


def test_who_finds_it_busy_is_told_when_to_come_again(home):
    """While others wait for their turn; they get their answers."""
    clip = recording("WAV")
    with ExitStack() as stack:
        waiting = [stack.enter_context(home.connected()) for _ in range(9)]
        with busy(home) as queue:
            for each in waiting:
                each.request("POST", "/v1/classify", clip)
            until(lambda: queue.qsize() >= 9)
            status, headers, answer = home.ask("POST", "/v1/classify", clip)
        assert status == 503
        assert headers["Retry-After"] == "1"
        assert list(answer) == ["error"]
        assert {each.getresponse().status for each in waiting} == {200}
    assert home.ask("POST", "/v1/classify", clip)[0] == 200


# -- who may come in --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        "evil@localhost",
        "localhost/",
        "localhost#",
        "[localhost]",
        "[::1",
        "::1",
        "localhost.",
        "[]",
        "localhost:80:80",
        "127.0.0.1.evil.example",
        "0x7f.1",
        ":80",
        "localhost,evil.example",
    ],
)
def test_what_only_looks_like_our_name_is_not(home, host):
    assert home.ask("GET", "/openapi.json", Host=host)[0] == 421


@pytest.mark.parametrize("host", ["LocalHost", "localhost:", "127.0.0.1:1", "[::1]", "[FE80::1]:9"])
def test_our_names_may_be_written_in_many_ways(home, host):
    assert home.ask("GET", "/openapi.json", Host=host)[0] == 200


@pytest.mark.parametrize(
    ("site", "mode", "status"),
    [
        ("same-origin", "cors", 200),
        ("none", "navigate", 200),
        ("cross-site", "navigate", 200),
        ("cross-site", "no-cors", 403),
        ("same-site", "no-cors", 403),
    ],
)
def test_no_page_of_others_has_us_as_a_picture(home, site, mode, status):
    """A link may lead here; a browser tells which it is."""
    headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode}

    assert home.ask("GET", "/openapi.json", **headers)[0] == status


def test_pages_of_friends_are_told_that_they_may(home):
    """A browser asks before it posts; only who is named in origins gets a yes."""
    before = {"Access-Control-Request-Method": "POST"}
    asked = {**before, "Access-Control-Request-Headers": "authorization"}
    status, headers, _ = home.ask("OPTIONS", "/v1/classify", Origin="http://mine", **asked)
    assert (status, headers["Access-Control-Allow-Origin"]) == (200, "http://mine")
    assert "Authorization" in headers["Access-Control-Allow-Headers"]
    status, headers, _ = home.ask("GET", "/openapi.json", Origin="http://mine")
    assert (status, headers["Access-Control-Allow-Origin"]) == (200, "http://mine")
    assert headers["Vary"] == "Origin"

    for origin in "http://evil.example", "https://mine", "http://mine.evil.example", "null", "":
        status, headers, _ = home.ask("OPTIONS", "/v1/classify", Origin=origin, **before)
        assert (status, headers["Access-Control-Allow-Origin"]) == (403, None)
        status, headers, _ = home.ask("POST", "/v1/playback", b'{"on": true}', Origin=origin)
        assert (status, headers["Access-Control-Allow-Origin"]) == (403, None)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A daemon that asks everyone for the token, on IPv6."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "token").write_text(f"{TOKEN}\n")
    door = 'host = "::1"\nport = 0\norigins = ["http://mine"]'
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        pytest.skip(f"there is no IPv6 here ({error})")
    with living(folder, f'[http]\n{door}\ntoken_file = "{folder}/token"\n') as it:
        yield it
        assert it.failure is None


def test_a_browser_may_ask_without_the_token_whether_it_may(guarded):
    """It sends none with that question; nothing else is answered without."""
    asked = {"Access-Control-Request-Method": "POST", "Origin": "http://mine"}
    assert guarded.ask("OPTIONS", "/v1/classify", **asked)[0] == 200
    assert guarded.ask("OPTIONS", "/v1/classify")[0] == 401
    assert guarded.ask("POST", "/v1/playback", b'{"on": true}', Origin="http://mine")[0] == 401
    assert guarded.ask("OPTIONS", "/v1/classify", **asked | {"Origin": "http://evil"})[0] == 403


def test_it_is_asked_over_ipv6(guarded):
    known = {"Authorization": f"Bearer {TOKEN}"}
    assert guarded.daemon.http_address[0] == "::1"
    assert guarded.ask("GET", "/openapi.json", **known)[0] == 200
    status, _, labels = guarded.ask("POST", "/v1/classify", recording("FLAC"), **known)
    assert (status, labels[0]["label"]) == (200, "no")
    assert guarded.ask("GET", "/openapi.json", Host="evil.example", **known)[0] == 421


@pytest.mark.parametrize("word", ["", "x", TOKEN[:-1], TOKEN + "x", "é" * len(TOKEN), "\x80\xff"])
def test_a_token_is_compared_in_constant_time(guarded, monkeypatch, word):
    """Whatever was sent: how long the answer takes tells nothing."""
    compared = []

    def compare(one, other):
        compared.append((one, other))
        return right(one, other)

    right = hmac.compare_digest
    monkeypatch.setattr("kws.serve.http.doors.hmac.compare_digest", compare)
    assert guarded.ask("GET", "/openapi.json", Authorization=f"Bearer {word}")[0] == 401
    assert guarded.ask("GET", "/openapi.json", Authorization=f"Bearer {TOKEN}")[0] == 200
    assert [other for _, other in compared] == [TOKEN.encode()] * 2


def refused(answer):
    """Return the status and the JSON with which a WebSocket was turned away."""
    status = int(answer.readline().split()[1])
    while answer.readline() != b"\r\n":
        pass
    return status, json.loads(answer.read())


def test_a_websocket_is_told_why_not(quick, guarded):
    with upgrade(guarded) as answer:
        assert refused(answer) == (401, {"error": "a bearer token is needed"})
    with upgrade(quick, Host="evil.example") as answer:
        assert refused(answer)[0] == 421
    with upgrade(quick, Origin="http://evil.example") as answer:
        assert refused(answer)[0] == 403
    with upgrade(quick) as one, upgrade(quick) as two:
        assert accepted(one)
        assert accepted(two)
        until(lambda: quick.daemon._house.feed.followers == 2)
        with upgrade(quick) as answer:
            assert refused(answer) == (503, {"error": "too many follow already"})


def test_a_websocket_needs_the_token_too(guarded):
    with upgrade(guarded) as answer:
        assert not accepted(answer)
    with upgrade(guarded, Authorization=f"Bearer {TOKEN}") as answer:
        assert accepted(answer)
    with upgrade(guarded, "/v1/listen") as answer:
        assert not accepted(answer)


# -- recordings that are not what they say ----------------------------------------------------

WAVE, FLAC = recording("WAV"), recording("FLAC")


def wave(size, audio=None, riff=None):
    """A WAV whose header says that it has so many bytes of audio."""
    riff = WAVE[4:8] if riff is None else struct.pack("<I", riff)
    return WAVE[:4] + riff + WAVE[8:40] + struct.pack("<I", size) + (audio or WAVE[44:])


def flac(promised):
    """A FLAC whose header says that it has so many samples."""
    at = 8 + 14  # the low 32 bits of their number
    return FLAC[:at] + promised.to_bytes(4, "big") + FLAC[at + 4 :]


@pytest.mark.parametrize(
    "body",
    [
        wave(0),
        wave(0, riff=0),
        wave(0xFFFF_FFFF, riff=0xFFFF_FFFF),
        wave(0x7FFF_FFDB, riff=0x7FFF_FFFF),
        WAVE + b"LIST\4\0\0\0abcd",
        flac(0),
    ],
    ids=["0", "0, 0", "most", "most with a sign", "more after it", "FLAC"],
)
def test_who_writes_into_a_pipe_can_not_know_the_length(home, body):
    found, wanted = (home.ask("POST", "/v1/classify", each)[2] for each in (body, WAVE))

    for one, other in zip(found, wanted, strict=True):
        assert one == {"label": other["label"], "score": pytest.approx(other["score"], abs=1e-4)}


def floats(value):
    content = io.BytesIO()
    soundfile.write(content, np.full(RATE, value, np.float32), RATE, format="WAV", subtype="FLOAT")
    return content.getvalue()


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (WAVE[:-1_000], "cut off: its header promises 32000 bytes of audio, 31000 came"),
        (wave(1 << 30), "cut off"),
        (FLAC[:-500], "cut off|can't be read|not audio that can be read"),
        (flac(16_001), "cut off: 16000 samples of the 16001"),
        (floats(np.nan), "NaN"),
        (floats(3e38), "louder than anything can be"),
        (floats(np.inf), "louder than anything can be"),
        (WAVE[:36], "not audio that can be read"),
    ],
    ids=["WAV", "far more", "FLAC", "one more", "NaN", "loud", "endless", "no audio"],
)
def test_what_was_cut_off_is_told_and_not_scored(home, body, why):
    status, _, answer = home.ask("POST", "/v1/classify", body)

    assert status == 422
    assert re.search(why, answer["error"])


@settings(max_examples=300, deadline=None)
@given(
    whole=st.sampled_from([WAVE, FLAC, recording("OGG")]),
    changes=st.lists(st.tuples(st.integers(0, 4_000), st.binary(min_size=1, max_size=4))),
    end=st.integers(0, 40_000),
)
def test_any_bytes_are_a_recording_or_told_to_be_none(whole, changes, end):
    body = bytearray(whole[:end])
    for at, change in changes:
        body[at : at + len(change)] = change
    with suppress(AudioError):
        samples = decode(bytes(body), RATE, 2.0)
        assert len(samples) <= 2 * RATE + 1
        assert np.isfinite(samples).all()


def test_hours_in_a_few_bytes_are_not_unpacked(home):
    content = io.BytesIO()
    with soundfile.SoundFile(content, "w", RATE, 1, format="FLAC") as file:
        for _ in range(36):
            file.write(np.zeros(100 * RATE, np.float32))
    body = content.getvalue()
    status, _, answer = home.ask("POST", "/v1/classify", body)

    assert len(body) < 300_000
    assert (status, answer) == (422, {"error": "the clip is longer than 60 s"})


# -- microphones elsewhere --------------------------------------------------------------------


def frame(payload, kind=0x82):
    """A message of a client, behind a mask of zeros."""
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else b"\xff" + size.to_bytes(8, "big")
    return bytes([kind]) + length + bytes(4) + payload


def closing(answer):
    """Return the code with which a WebSocket is closed; 1006: it broke off."""
    with suppress(ConnectionError):
        while first := answer.read(2):
            content = answer.read(first[1])
            if first[0] == 0x88:
                return int.from_bytes(content[:2], "big")
    return 1006


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(bytes(listen.LONGEST + 2)), 1009),
        (frame(b"abc"), 1003),
        (frame(b""), 1003),
        (frame(b"hello", 0x81), 1003),
        (frame(b"\xff\xff", 0x81), 1006),
        (b"\x82\x02ab", 1006),
        (b"\xff" * 100, 1006),
        (frame(b"", 0x8F), 1006),
        (frame(b"x" * 200, 0x89), 1006),
    ],
    ids=["long", "odd", "empty", "text", "no text", "open", "noise", "kind", "long ping"],
)
def test_what_is_no_audio_ends_a_microphone(home, sent, code, lines):
    with upgrade(home, "/v1/listen") as answer:
        assert accepted(answer)
        with suppress(ConnectionError):
            answer.write(sent)
            answer.flush()
        assert closing(answer) == code
        if code != 1006:
            with suppress(ConnectionError):
                answer.write(frame(code.to_bytes(2, "big"), 0x88))
                answer.flush()
    until(lambda: not connections(home))
    assert {level for level, _ in lines} <= {"debug"}


def test_a_message_without_end_ends_a_microphone(home):
    """Why is not always heard by who still talks."""
    with upgrade(home, "/v1/listen") as answer:
        assert accepted(answer)
        with suppress(ConnectionError):
            answer.write(b"\x82\xff" + (1 << 40).to_bytes(8, "big") + bytes(4 << 20))
            answer.flush()
        assert closing(answer) in {1006, 1009}
    until(lambda: not connections(home))


def test_a_microphone_that_is_silent_has_gone(home, monkeypatch):
    monkeypatch.setattr(listen, "SILENT_S", 0.3)
    with upgrade(home, "/v1/listen") as answer:
        assert accepted(answer)
        assert closing(answer) == 1003


def test_one_microphone_too_many_is_turned_away(home):
    """And has its place when another leaves."""
    with ExitStack() as stack:
        for _ in range(listen.MOST):
            assert accepted(stack.enter_context(upgrade(home, "/v1/listen")))
        with upgrade(home, "/v1/listen") as answer:
            assert not accepted(answer)

    def heard():
        with upgrade(home, "/v1/listen") as answer:
            return accepted(answer)

    until(heard)


# -- the log ----------------------------------------------------------------------------------


def test_strangers_can_not_fill_the_log(lines, monkeypatch):
    now = [1_000.0]
    monkeypatch.setattr(seldom.time, "monotonic", lambda: now[0])
    said = seldom.Seldom()
    for number in range(100):
        said.say("warning", f"nonsense {number}")
    assert lines == [("warning", f"nonsense {number}") for number in range(10)]
    now[0] += 60
    said.say("warning", "again")
    said.say("warning", "and again")
    assert lines[10:] == [
        ("warning", "again (and 90 more like it, before)"),
        ("warning", "and again"),
    ]


def test_who_turns_the_playback_on_and_off_can_not_fill_the_log(lines):
    """Any client may do so, as often as it likes."""
    audience = Audience()
    for number in range(100):
        audience.tell(Playing(wall_time=0.0, on=number % 2 == 0))

    assert lines == [("info", f"playback {('on', 'off')[n % 2]}") for n in range(seldom.LINES)]


def test_no_line_gives_a_terminal_orders(caplog):
    with caplog.at_level(logging.INFO, "kws"):
        logging.getLogger("kws").addHandler(caplog.handler)
        logs.say("error", "http: /\x1b[31m\x07\n\u202e: é")
        logging.getLogger("kws").removeHandler(caplog.handler)

    assert {record.getMessage() for record in caplog.records} == {"http: /?[31m? ?: é"}


# -- while servers change ---------------------------------------------------------------------


def test_servers_that_share_an_address_do_not_hang_in_it(tmp_path):
    """Both are told of whoever comes; the one that is too late must not wait for the next."""
    with living(tmp_path) as home:
        ended, statuses = threading.Event(), []

        def ask():
            while not ended.is_set():
                statuses.append(home.ask("GET", "/openapi.json")[0])

        asking = [threading.Thread(target=ask) for _ in range(4)]
        for each in asking:
            each.start()
        try:
            for number in range(4):
                before = home.daemon._network._web._server
                home.write(f"[http]\nport = 0\nclip_s = {number + 1}\n")
                home.daemon.reload()
                until(lambda was=before: home.daemon._network._web._server is not was)
                until(lambda was=before: not was.running)
                assert home.daemon._network._web._server.running
        finally:
            ended.set()
            for each in asking:
                each.join(PATIENCE_S)
        assert not any(each.is_alive() for each in asking)
        assert len(statuses) > 20
        assert set(statuses) == {200}
