"""The HTTP side of `kws serve`: a real socket of the real daemon, with a microphone by hand."""

import base64
import http.client
import io
import json
import queue
import re
import socket
import threading
import time
from contextlib import closing, contextmanager, suppress

import huggingface_hub
import models
import numpy as np
import pytest
import soundfile
from models import RATE, noise, tone
from telling import PATIENCE_S, until

import kws
from kws.errors import ConfigError
from kws.flow import Block
from kws.serve.daemon import Daemon
from kws.serve.ears import DiedError
from kws.serve.notify import Notify

TOKEN = "nobody guesses this".replace(" ", "-")


class Said:
    """A microphone that hears quiet noise, and what it is given. closed: it ends."""

    live, rate = True, RATE

    def __init__(self):
        self.closed, self.mute = threading.Event(), threading.Event()
        self._words = queue.SimpleQueue()

    def say(self, *words):
        for word in words:
            self._words.put(np.concatenate([tone(word, 0.3), noise(0.7)]))

    def __iter__(self):
        at = 0
        while not self.closed.wait(0.01):
            if self.mute.is_set():
                continue
            samples = noise(0.02) if self._words.empty() else self._words.get()
            for part in np.array_split(samples, len(samples) // 320):
                yield Block(part, at, RATE, time.time())
                at += len(part)

    def poll_events(self):
        return []

    def close(self):
        self.closed.set()


class Home:
    """A daemon that runs in this process. failure: what it ended with."""

    def __init__(self, folder, settings):
        self.folder, self.path, self.microphone = folder, folder / "kws.toml", Said()
        models.write(folder / "tones.onnx")
        self.write(settings)
        self.daemon = Daemon(self.path, lambda _: self.microphone, Notify({}))
        self.failure = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        until(
            lambda: self.failure or (self.daemon.http_address and self.daemon._network._web._server)
        )

    def _run(self):
        try:
            self.daemon.run()
        except BaseException as error:  # noqa: BLE001 - the test says whether it should
            self.failure = error

    def write(self, settings):
        model = f'[[model]]\npath = "{self.folder}/tones.onnx"\n'
        facts = f'[[sink]]\ntype = "jsonl"\npath = "{self.folder}/facts.jsonl"\n'
        self.path.write_text(f"{model}{facts}{settings}")

    @property
    def url(self):
        return "http://{}:{}".format(*self.daemon.http_address)

    def ask(self, method, path, body=None, **headers):
        """Return the status, the headers and what was answered."""
        with self.connected() as connection:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            text = answer.read()
        is_json = answer.getheader("content-type", "").startswith("application/json")
        return answer.status, answer.headers, json.loads(text) if is_json else text.decode()

    @contextmanager
    def connected(self):
        connection = http.client.HTTPConnection(*self.daemon.http_address, timeout=PATIENCE_S)
        try:
            yield connection
        finally:
            connection.close()

    def plain(self, data=b""):
        """Return a socket, having sent this."""
        opened = socket.create_connection(self.daemon.http_address, PATIENCE_S)
        opened.sendall(data)
        return opened

    def close(self):
        self.daemon.stop()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()


@contextmanager
def living(folder, settings="[http]\nport = 0\n"):
    home = Home(folder, settings)
    try:
        yield home
    finally:
        home.close()


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    with living(
        tmp_path_factory.mktemp("home"), "[http]\nport = 0\norigins = ['http://mine']"
    ) as it:
        yield it
        assert it.failure is None


def recording(form, word="no", seconds=1.0, rate=RATE):
    content = io.BytesIO()
    time_s = np.arange(round(seconds * rate)) / rate
    audio = 0.3 * np.sin(2 * np.pi * models.TONES[word] * time_s)
    soundfile.write(content, audio, rate, format=form)
    return content.getvalue()


# -- classify -------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["WAV", "FLAC", "OGG"])
def test_the_client_of_hugging_face_needs_only_another_address(home, form, tmp_path):
    path = tmp_path / f"clip.{form.lower()}"
    path.write_bytes(recording(form))
    client = huggingface_hub.InferenceClient(model=f"{home.url}/v1/classify")
    raw = client.audio_classification(path.read_bytes())
    two = client.audio_classification(path.read_bytes(), top_k=2, function_to_apply="sigmoid")

    right = kws.classify(path, model=str(home.folder / "tones.onnx"))
    assert [(each.label, pytest.approx(each.score, abs=1e-6)) for each in raw] == right
    assert raw[0].label == "no"
    assert two == raw[:2]


def test_the_word_may_lie_anywhere_in_a_recording(home):
    content = io.BytesIO()
    audio = np.concatenate([noise(3), tone("no", 0.4), noise(3)])
    soundfile.write(content, audio, RATE, format="WAV")
    _, _, labels = home.ask("POST", "/v1/classify?top_k=1", content.getvalue())

    assert labels[0]["label"] == "no"
    assert labels[0]["score"] > 0.5


def test_a_recording_of_another_rate_is_heard_as_well(home):
    status, _, labels = home.ask("POST", "/v1/classify?top_k=1", recording("WAV", rate=44_100))

    assert (status, labels[0]["label"], len(labels)) == (200, "no", 1)


@pytest.mark.parametrize(
    ("body", "status", "why"),
    [
        (b"", 422, "makes no sense"),
        (b"nonsense", 422, "neither WAV nor FLAC nor Ogg"),
        (b"RIFF\0\0\0\0WAVEnonsense", 422, "not audio that can be read"),
        (recording("FLAC")[:60], 422, "not audio that can be read|is empty"),
        (b"fLaC" + bytes(1_000), 422, "not audio that can be read"),
        (recording("FLAC", seconds=61), 422, "longer than 60 s"),
        (recording("WAV", seconds=0), 422, "empty"),
        (b"{", 422, "makes no sense"),
        (b'{"inputs": 1}', 422, "makes no sense"),
        (b'{"inputs": "***"}', 422, "no base64"),
        (b'{"inputs": "/etc/passwd"}', 422, "base64|neither"),
        (b'{"inputs": "", "parameters": {"top_k": 0}}', 422, "top_k"),
        (
            json.dumps(
                {
                    "inputs": base64.b64encode(recording("WAV")).decode(),
                    "parameters": {"function_to_apply": "softmax"},
                }
            ).encode(),
            422,
            "sigmoid",
        ),
        (bytes(10_000_001), 413, "longer than 10000000 bytes"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_is_no_recording_is_refused_in_one_line(home, body, status, why):
    found, _, answer = home.ask("POST", "/v1/classify", body)

    assert (found, list(answer)) == (status, ["error"])
    assert re.search(why, answer["error"])
    assert "\n" not in answer["error"]


def test_a_body_without_a_length_has_the_same_limit(home):
    with home.connected() as connection:
        endless = (bytes(1 << 20) for _ in range(11))
        connection.request("POST", "/v1/classify", endless, encode_chunked=True)
        assert connection.getresponse().status == 413


def test_who_never_stops_is_cut_off(home):
    def sent():
        for number in range(100):
            counts.append(number)
            yield bytes(1 << 20)

    counts = []
    with home.connected() as connection, suppress(ConnectionError):
        connection.request("POST", "/v1/classify", sent(), encode_chunked=True)

    assert 30 < len(counts) < 90


# -- what happens ---------------------------------------------------------------------------


def lines(answer):
    """Return the facts of a stream of server-sent events, as they come."""
    for line in answer:
        if line.startswith(b"data: "):
            yield json.loads(line.removeprefix(b"data: "))


def test_events_are_what_the_sinks_are_told(home):
    with home.connected() as connection:
        connection.request("GET", "/v1/events")
        answer = connection.getresponse()
        assert answer.getheader("content-type").startswith("text/event-stream")
        assert answer.readline() == b": alive\n"
        home.microphone.say("yes", "no")
        home.ask("POST", "/v1/playback", b'{"on": true}')
        home.ask("POST", "/v1/playback", b'{"on": false}')
        stream = lines(answer)
        found = [next(stream) for _ in range(4)]

    def told():
        lines = (home.folder / "facts.jsonl").read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    until(lambda: all(fact in told() for fact in found))
    assert [fact["keyword"] for fact in found if fact["type"] == "detection"] == ["yes", "no"]
    assert [fact["on"] for fact in found if fact["type"] == "playback"] == [True, False]


@pytest.mark.parametrize("body", [b"", b"{}", b'{"on": 1}', b'{"on": true, "x": 1}', b"x" * 2_000])
def test_playback_is_on_or_off(home, body):
    status, _, answer = home.ask("POST", "/v1/playback", body)

    assert status in {413, 422}
    assert list(answer) == ["error"]


def test_health_tells_how_old_the_last_frame_is(home):
    home.microphone.say("yes")
    until(lambda: home.ask("GET", "/healthz")[0] == 200)
    _, _, answer = home.ask("GET", "/healthz")
    microphone = answer["microphones"]["microphone"]

    assert (answer["status"], microphone["reasons"]) == ("ok", [])
    assert 0 <= microphone["frame_age_s"] < 5
    assert 0 <= microphone["inference_age_s"] < 5


def test_who_hears_nothing_is_not_healthy(tmp_path, monkeypatch):
    monkeypatch.setattr("kws.serve.vital.FRESH_S", 0.5)
    with living(tmp_path) as home:
        until(lambda: home.ask("GET", "/healthz")[0] == 200)
        home.microphone.mute.set()
        until(lambda: home.ask("GET", "/healthz")[0] == 503)
        _, _, answer = home.ask("GET", "/healthz")

        assert answer["status"] == "deaf"
        assert "no frame for" in answer["microphones"]["microphone"]["reasons"][0]
        home.microphone.mute.clear()
        until(lambda: home.ask("GET", "/healthz")[0] == 200)


def figures(home):
    status, headers, text = home.ask("GET", "/metrics")
    assert status == 200
    assert headers["content-type"].startswith("text/plain; version=0.0.4")
    rows = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in rows}


def test_figures_count_what_was_heard(home):
    at, word = (
        'microphone="microphone"',
        'kws_detections_total{microphone="microphone",keyword="no"}',
    )
    before = figures(home)
    home.microphone.say("no")
    until(lambda: figures(home).get(word, 0) > before.get(word, 0))
    after = figures(home)

    assert after[word] == before.get(word, 0) + 1
    heard = after[f"kws_audio_seconds_total{{{at}}}"] - before[f"kws_audio_seconds_total{{{at}}}"]
    scored = after[f"kws_inferences_total{{{at}}}"] - before[f"kws_inferences_total{{{at}}}"]
    assert scored == pytest.approx(heard / 0.02, abs=2)
    counts = [after[f'kws_hop_seconds_bucket{{{at},le="{le}"}}'] for le in ("0.001", "1.0", "+Inf")]
    assert counts == sorted(counts)
    assert counts[-1] == after[f"kws_hop_seconds_count{{{at}}}"]
    assert after['kws_sink_sent_total{sink="0:jsonl"}'] >= 1
    assert after["process_resident_memory_bytes"] > 1e7


# -- doors ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:1"}, 200),
        ({"Host": "[::1]:8765"}, 200),
        ({"Host": "evil.example"}, 421),
        ({"Host": "localhost.evil.example:8765"}, 421),
        ({"Host": ""}, 421),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://mine"}, 200),
        ({"Origin": "http://localhost:1", "Host": "localhost:1"}, 200),
        ({"Origin": "http://localhost:2", "Host": "localhost:1"}, 403),
    ],
)
def test_neither_foreign_names_nor_foreign_pages_come_in(home, headers, status):
    found, _, answer = home.ask("GET", "/openapi.json", **headers)

    assert (found, "error" in answer) == (status, status != 200)


@contextmanager
def upgrade(home, path="/v1/events/ws", **headers):
    given = {
        "Host": "localhost", "Upgrade": "websocket", "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": base64.b64encode(bytes(16)).decode(),
        **headers,
    }  # fmt: skip
    head = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    request = f"GET {path} HTTP/1.1\r\n{head}\r\n".encode()
    with home.plain(request) as opened, opened.makefile("rwb") as answer:
        yield answer


def accepted(answer):
    """Whether a WebSocket was let in; its messages come next."""
    status = answer.readline()
    while answer.readline() != b"\r\n":
        pass
    return b" 101 " in status


def message(answer):
    """Return the next message of a WebSocket."""
    first, length = answer.read(2)
    if length == 126:
        length = int.from_bytes(answer.read(2), "big")
    assert first == 0x81
    return json.loads(answer.read(length))


def test_a_websocket_gives_the_same(home):
    with upgrade(home) as answer:
        assert accepted(answer)
        until(lambda: home.daemon._house.feed.followers)
        home.microphone.say("yes")
        fact = message(answer)

    assert (fact["type"], fact["keyword"]) == ("detection", "yes")
    until(lambda: not home.daemon._house.feed.followers)


def test_a_microphone_elsewhere_is_told_its_words(home):
    """48 kHz, in messages of 0.1 s, each behind a mask of zeros."""
    count = len(home.daemon._house.words)
    time_s = np.arange(14_400) / 48_000
    word = 0.3 * np.sin(2 * np.pi * models.TONES["no"] * time_s)
    audio = np.concatenate([np.zeros(24_000), word, np.zeros(48_000)])
    pcm = (32_767 * audio).astype("<i2").tobytes()
    with upgrade(home, "/v1/listen?rate=48000") as answer:
        assert accepted(answer)
        for at in range(0, len(pcm), 9_600):
            part = pcm[at : at + 9_600]
            answer.write(b"\x82\xfe" + len(part).to_bytes(2, "big") + bytes(4) + part)
        answer.flush()
        told = message(answer)

    assert (told["type"], told["keyword"]) == ("detection", "no")
    assert 0.5 <= told["end_s"] <= 0.85
    assert len(home.daemon._house.words) == count


@pytest.mark.parametrize("rate", ["1", "x", "", "9" * 20])
def test_no_microphone_has_such_a_rate(home, rate):
    with upgrade(home, f"/v1/listen?rate={rate}") as answer:
        assert not accepted(answer)


def test_a_foreign_page_gets_no_websocket(home):
    with upgrade(home, Origin="http://evil.example") as answer:
        assert b" 403 " in answer.readline()


def test_what_get_answers_of_thresholds_post_takes(home):
    """As a whole, with what else it says, or the levels alone."""
    _, _, before = home.ask("GET", "/v1/thresholds")
    status, _, after = home.ask("POST", "/v1/thresholds", json.dumps(before))
    assert (status, after["thresholds"]) == (200, before["thresholds"])
    changed = {**before, "thresholds": {**before["thresholds"], "yes": 0.87}}
    status, _, after = home.ask("POST", "/v1/thresholds", json.dumps(changed))
    assert (status, after["thresholds"]["yes"]) == (200, 0.87)
    for wrong in ({"thresholds": {}}, {"thresholds": {"yes": 2}}, {"thresholds": 0.5}, {"a": {}}):
        assert home.ask("POST", "/v1/thresholds", json.dumps(wrong))[0] == 422


def test_a_server_may_only_classify(tmp_path):
    """Without a microphone: it is alive, and hears what it is sent."""

    class Deaf(Home):
        def write(self, settings):
            super().write(settings)
            self.path.write_text(f"microphone = []\n{self.path.read_text()}")

    home = Deaf(tmp_path, "[http]\nport = 0")
    with closing(home):
        status, _, said = home.ask("POST", "/v1/classify", recording("WAV"))
        assert (status, said[0]["label"]) == (200, "no")
        assert home.ask("GET", "/healthz")[0] == 200
        assert home.ask("GET", "/v1/thresholds")[0] == 200


def test_others_come_in_with_the_token_only(tmp_path):
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    with living(
        tmp_path, f'[http]\nhost = "0.0.0.0"\nport = 0\ntoken_file = "{tmp_path}/token"'
    ) as home:
        for path in "/healthz", "/metrics", "/v1/events", "/v1/thresholds":
            assert home.ask("GET", path)[0] == 401
        for wrong in TOKEN, f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer ", "Bearer é":
            assert home.ask("GET", "/openapi.json", Authorization=wrong)[0] == 401
        assert home.ask("GET", "/openapi.json", Authorization=f"Bearer {TOKEN}")[0] == 200
        client = huggingface_hub.InferenceClient(
            model=f"http://127.0.0.1:{home.daemon.http_address[1]}/v1/classify",
            token=TOKEN,
        )
        assert client.audio_classification(recording("WAV"))[0].label == "no"


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ('host = "0.0.0.0"', 5, "name a token_file"),
        ('token_file = "none"', 5, "none can't be read"),
        ('token_file = "short"', 5, "16 characters or more"),
        ("prot = 1", 6, "did you mean port"),
    ],
)
def test_it_does_not_start_with_an_open_door(tmp_path, monkeypatch, text, line, why):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "short").write_text("short")
    with pytest.raises(ConfigError, match=why):
        Home(tmp_path, f"[http]\n{text}\n")


def test_who_is_slow_is_let_go(tmp_path):
    with living(tmp_path, "[http]\nport = 0\ntimeout_s = 0.5\n") as home:
        post = b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\nRIFF"
        asked = home.ask("GET", "/openapi.json")[0]
        began = time.monotonic()
        silent, partial, body = home.plain(), home.plain(b"GET / HT"), home.plain(post)
        assert (silent.recv(1), partial.recv(1)) == (b"", b"")
        assert body.recv(4_096).startswith(b"HTTP/1.1 408 ")
        assert asked == 200
        assert time.monotonic() - began < PATIENCE_S / 2
        for each in silent, partial, body:
            each.close()


def test_streams_leave_room_for_other_questions(tmp_path):
    with living(tmp_path, "[http]\nport = 0\nconnections = 4\n") as home:
        get = b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n"
        streams = [home.plain(get) for _ in range(2)]
        assert all(each.recv(4_096).startswith(b"HTTP/1.1 200 ") for each in streams)
        third = home.plain(get)
        assert third.recv(4_096).startswith(b"HTTP/1.1 503 ")
        assert home.ask("GET", "/openapi.json")[0] == 200
        for each in [*streams, third]:
            each.close()
        until(lambda: not home.daemon._house.feed.followers)


# -- the daemon -----------------------------------------------------------------------------


def test_no_path_leads_to_a_file(home):
    for path in "/../kws.toml", "/%2e%2e/kws.toml", "/v1/classify/../../kws.toml", "//etc/passwd":
        status, _, answer = home.ask("GET", path)
        assert (status, list(answer)) == (404, ["error"])
    assert home.ask("GET", "/v1/classify")[0] == 405


def test_a_new_config_turns_nobody_away(tmp_path):
    """The server goes on where its own settings stay; where they change, the address stays open."""
    with living(tmp_path) as home:
        first, url = home.daemon._network._web._server, home.url
        home.write("[http]\nport = 0\n[health]\nquiet_min = 5\n")
        home.daemon.reload()
        until(lambda: home.daemon._built.config.health.quiet_min == 5)
        assert home.daemon._network._web._server is first

        home.write("[http]\nport = 0\nbody_mb = 0.001\n")
        home.daemon.reload()
        while home.daemon._network._web._server is first:
            assert home.ask("GET", "/openapi.json")[0] == 200
        until(lambda: home.ask("POST", "/v1/classify", bytes(2_000))[0] == 413)
        assert home.url == url

        home.write("")
        home.daemon.reload()
        until(lambda: home.daemon.http_address is None)


def test_it_says_where_it_answers(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr("kws.serve.logs.say", lambda level, text: said.append(text))
    with living(tmp_path) as home:
        assert f"http: answers at {home.url}" in said


def test_an_address_that_is_taken_is_told(tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken, living(tmp_path) as home:
        port, said = taken.getsockname()[1], []
        monkeypatch.setattr("kws.serve.logs.say", lambda level, text: said.append(text))
        home.write(f"[http]\nport = {port}\n")
        home.daemon.reload()
        until(lambda: any("nothing was changed" in line for line in said))

        assert any(f"port {port}: " in line for line in said)
        assert home.ask("GET", "/openapi.json")[0] == 200


def test_a_server_that_dies_ends_the_daemon(tmp_path):
    with living(tmp_path) as home:
        home.daemon._network._web._server.close()
        until(lambda: home.failure)

        assert isinstance(home.failure, DiedError)
        assert "http: its thread died" in str(home.failure)
