"""Wyoming: what no client may do to the daemon, to another client, or to the microphone."""

import asyncio
import json
import re
import socket
import threading
import time
from contextlib import ExitStack, suppress
from ipaddress import ip_address

import numpy as np
import pytest
from models import RATE, noise, tone
from serving import Clock, Fake
from telling import PATIENCE_S, until
from test_wyoming import model, names, said, served, serving, visit, visiting
from wyoming.audio import AudioChunk, AudioStart
from wyoming.error import Error
from wyoming.event import Event
from wyoming.ping import Ping
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from kws.errors import ConfigError
from kws.serve import logs, seldom
from kws.serve.build import build
from kws.serve.config import Config
from kws.serve.config import Model as Wanted
from kws.serve.daemon import Daemon
from kws.serve.ears import DiedError
from kws.serve.http.house import House
from kws.serve.network import Network, planned
from kws.serve.notify import Notify
from kws.serve.streams import Streams
from kws.serve.wyoming import announce, connection, server, wire
from kws.serve.wyoming.doors import door
from kws.serve.wyoming.settings import Wyoming
from kws.spotter import Spotter

__all__ = ["model", "served"]


@pytest.fixture
def lines(monkeypatch):
    """What is logged."""
    found = []
    monkeypatch.setattr(logs, "say", lambda level, text: found.append((level, text)))
    return found


def raw(made, data):
    """Send bytes, and return all that comes until the server closes."""
    with socket.create_connection(made.address, timeout=PATIENCE_S) as client:
        client.sendall(data)
        found = b""
        try:
            while more := client.recv(65_536):
                found += more
        except ConnectionResetError:
            pass
    return found


async def jarvis(guest):
    return names(await guest.hears(said("jarvis")))


def still_hears(made):
    return visit(made, jarvis) == [["jarvis"]]


def line(**header):
    return json.dumps(header).encode() + b"\n"


def written(event):
    """Return an event as bytes."""
    data = json.dumps(event.data).encode()
    payload = event.payload or b""
    head = line(type=event.type, data_length=len(data), payload_length=len(payload))
    return head + data + payload


MADE_UP = {
    "no JSON": b"hello\n",
    "no UTF-8": b"\xff\xfe\n",
    "no object": b"[1]\n",
    "no type": b"{}\n",
    "a type that is none": line(type=1),
    "data that is none": line(type="ping", data=[1]),
    "a length that is none": line(type="ping", data_length="x"),
    "a negative length": line(type="ping", data_length=-1),
    "a broken block": line(type="ping", data_length=3) + b"{]}",
    "a block that is no object": line(type="ping", data_length=3) + b"[1]",
    "much data": line(type="ping", data_length=wire.DATA + 1),
    "much audio": line(type="audio-chunk", payload_length=wire.PAYLOAD + 1),
    "depths": b'{"type":"ping","data":' + b"[" * 60_000 + b"\n",
    "a long line": b" " * (wire.HEADER + 2) + b"\n",
    "names that are none": line(type="detect", data={"names": "jarvis"}),
    "no format": line(type="audio-chunk", data={}),
    "no rate": line(type="audio-start", data={"rate": 0, "width": 2, "channels": 1}),
    "endless rate": b'{"type":"audio-start","data":{"rate":Infinity,"width":2,"channels":1}}\n',
    "odd width": line(type="audio-start", data={"rate": RATE, "width": 3, "channels": 1}),
    "half a sample": line(
        type="audio-chunk", data={"rate": RATE, "width": 2, "channels": 1}, payload_length=3
    )
    + b"abc",
}


@pytest.mark.parametrize("what", MADE_UP.values(), ids=MADE_UP)
def test_what_makes_no_sense_closes_with_an_error(served, lines, what):
    """One line says so, and others are heard as ever."""
    header, _, data = raw(served, what).partition(b"\n")

    assert json.loads(header)["type"] == "error"
    assert json.loads(data)["text"]
    assert [level for level, _ in lines] == ["warning"]
    assert still_hears(served)


def test_any_bytes_are_events_or_told_to_be_none(served, lines):
    """Whoever sends them: nothing goes wrong in here."""
    right = [*MADE_UP.values(), written(AudioChunk(RATE, 2, 1, bytes(64)).event())]
    for number in range(300):
        rng = np.random.default_rng(number)
        parts = [right[each] for each in rng.integers(0, len(right), rng.integers(0, 4))]
        data = bytearray(b"".join([*parts, rng.bytes(rng.integers(0, 50))]))
        for at in rng.integers(0, min(len(data), 200) + 1, rng.integers(0, 4)):
            data[at : at + 1] = rng.bytes(1)
        client = socket.create_connection(served.address, timeout=PATIENCE_S)
        with client, suppress(ConnectionError):
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            while client.recv(65_536):
                pass

    assert {level for level, _ in lines} <= {"warning"}
    until(lambda: not served._connections and not served._ears)
    assert still_hears(served)


def test_data_may_stand_in_the_line_too(served):
    """The block wins."""

    async def pings(guest):
        inline = {"type": "ping", "data": {"text": "line"}}
        guest._client._writer.write(json.dumps(inline).encode() + b"\n")
        first = await guest.next()
        block = b'{"text": "block"}'
        guest._client._writer.write(line(**inline, data_length=len(block)) + block)
        return first.data["text"], (await guest.next()).data["text"]

    assert visit(served, pings) == [("line", "block")]


def test_events_that_nobody_knows_are_passed_over(served):
    async def chats(guest):
        await guest.say(Event("transcribe", {"language": "en"}))
        return names(await guest.hears(said("yes")))

    assert visit(served, chats) == [["yes"]]


@pytest.mark.parametrize(
    ("width", "full", "zero"), [(1, 127, 128), (2, 32_767, 0), (4, 2_147_483_000, 0)]
)
def test_samples_of_any_width_are_heard(served, width, full, zero):
    async def plays(guest):
        audio = said("jarvis").astype(float)
        pcm = (audio * full + zero).astype({1: "u1", 2: "<i2", 4: "<i4"}[width]).tobytes()
        await guest.say(AudioChunk(RATE, width, 1, pcm))
        return names(await guest.told())

    assert visit(served, plays) == [["jarvis"]]


def test_channels_are_mixed(served):
    async def plays(guest):
        await guest.play(said("jarvis"), channels=2)
        return names(await guest.told())

    assert visit(served, plays) == [["jarvis"]]


# -- who leaves, and who stays too long --------------------------------------------------------


@pytest.mark.parametrize("sent", [b"", b'{"type"', line(type="ping", data_length=99) + b"{"])
def test_who_leaves_in_the_midst_of_something_leaves_no_trace(served, lines, sent):
    for _ in range(5):
        with socket.create_connection(served.address) as client:
            client.sendall(sent)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    until(lambda: not served._connections)

    assert lines == []
    assert still_hears(served)


def test_a_stream_ends_with_its_client(model, lines):
    """It hangs up without a word, as Home Assistant does; another takes its place."""

    async def hangs_up(guest):
        await guest.start()
        await guest.play(noise(0.2))
        await guest.ask(Ping("heard"))

    with serving(model, max_streams=1) as served:
        for _ in range(5):
            visit(served, hangs_up)
            until(lambda: not served._ears)
        assert still_hears(served)
    assert [level for level, _ in lines] == ["info"] * 2  # it listens, it heard


def test_one_stream_too_many_is_told_and_closed(model):
    async def fills(served):
        async with visiting(served) as first, visiting(served) as second:
            for guest in (first, second):
                await guest.start()
                await guest.say(Ping("begun"))
                await guest.next()
            async with visiting(served) as third:
                await third.start()
                refused = Error.from_event(await third.next()), await third.next()
            return refused, names(await first.hears(said("jarvis")))

    with serving(model, max_streams=2) as served:
        (error, closed), heard = asyncio.run(fills(served))
        assert "2 streams are heard already" in error.text
        assert closed is None
        assert heard == ["jarvis"]
        until(lambda: not served._connections)
        assert still_hears(served)


def test_who_is_sent_away_is_told_why_however_much_it_sends(model):
    """Home Assistant streams on: what nobody reads must not take the reason with it."""
    form = {"rate": RATE, "width": 2, "channels": 1}
    piece = line(type="audio-chunk", data=form, payload_length=2_048) + bytes(2_048)
    with serving(model, max_streams=1) as served:
        with socket.create_connection(served.address, timeout=PATIENCE_S) as first:
            first.sendall(piece + line(type="ping"))
            assert b"pong" in first.recv(65_536)
            for _ in range(5):
                told = raw(served, piece * 2_000)
                assert b"1 streams are heard already" in told
        until(lambda: not served._connections)


def test_what_comes_too_fast_waits_in_the_network(served, monkeypatch):
    """Nobody fills our memory with audio; others are heard meanwhile."""
    form = {"rate": RATE, "width": 2, "channels": 1}
    piece = line(type="audio-chunk", data=form, payload_length=2_048) + bytes(2_048)
    steps = Spotter.push_steps

    def dawdles(self, samples, rate, events):
        if samples is not None and not samples.any():
            time.sleep(0.02)
        return steps(self, samples, rate, events)

    monkeypatch.setattr(Spotter, "push_steps", dawdles)
    with socket.create_connection(served.address) as client:
        client.setblocking(False)
        sent, most, ends = 0, 0, time.monotonic() + 1.5
        while time.monotonic() < ends:
            try:
                sent += client.send(piece * 100)
            except BlockingIOError:
                time.sleep(0.005)
            for each in list(served._connections):
                ear = each._ear
                most = max(most, len(each._inbox), ear.waiting if ear else 0)
        assert sent > 1_000_000
        assert most < 300_000
        assert still_hears(served)


def test_connections_are_limited_too_and_silent_ones_make_way(model, monkeypatch):
    """All but the one that has a stream, however long that has been there."""
    monkeypatch.setattr(server, "SPARE", 1)
    with serving(model, max_streams=1) as served, ExitStack() as stack:

        def come(data):
            client = socket.create_connection(served.address, timeout=PATIENCE_S)
            client.sendall(data)
            return stack.enter_context(client)

        streaming = come(written(AudioStart(16_000, 2, 1).event()))
        until(lambda: [each for each in served._connections if each.has_stream])
        silent = [come(line(type="ping")[:-1]) for _ in range(5)]
        asking = come(line(type="describe"))
        assert asking.recv(10)
        assert len(served._connections) == 2
        for each in silent:
            with suppress(ConnectionError):
                assert each.recv(10) == b""
        streaming.sendall(line(type="ping"))
        assert streaming.recv(10)


def test_who_says_nothing_for_long_is_let_go(model, monkeypatch):
    """Neither a silent client nor half an event keeps a place."""
    monkeypatch.setattr(server, "SWEEP_S", 0.05)
    monkeypatch.setattr(connection, "IDLE_S", 0.3)
    with serving(model) as served:
        begun = time.monotonic()
        assert raw(served, b"") == b""
        assert raw(served, line(type="ping", data_length=5) + b"{") == b""
        assert time.monotonic() - begun > 0.5


def test_who_takes_nothing_is_let_go(model, monkeypatch):
    monkeypatch.setattr(server, "SWEEP_S", 0.05)
    monkeypatch.setattr(connection, "IDLE_S", 0.5)
    with serving(model) as served, socket.create_connection(served.address) as client:
        client.settimeout(PATIENCE_S)
        with pytest.raises(ConnectionError):
            client.sendall(line(type="describe") * 1_000_000)
        monkeypatch.undo()  # a busy machine may take half a second for the next client's audio
        assert still_hears(served)


def test_who_does_not_take_the_last_word_is_let_go(model, monkeypatch):
    """It counts until then; what it has not taken is dropped."""
    monkeypatch.setattr(connection, "LINGER_S", 0.5)
    with serving(model) as served, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        client.settimeout(PATIENCE_S)
        client.connect(served.address)
        until(lambda: served._connections)
        [there] = served._connections
        made = there._transport.get_extra_info("socket")
        made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
        client.sendall(line(type="describe") * 40 + b"nonsense\n")
        until(lambda: there._leaves)
        assert served._connections
        until(lambda: not served._connections)
        told = b""
        with suppress(ConnectionError):
            while more := client.recv(65_536):
                told += more
    assert told.count(b'"type": "info"') < 40


def test_nonsense_does_not_fill_the_log(served, lines):
    for _ in range(30):
        raw(served, b"nonsense\n")

    assert 0 < len(lines) <= seldom.LINES
    assert still_hears(served)


def test_what_goes_wrong_while_hearing_is_that_clients_alone(served, lines, monkeypatch):
    def breaks(self, samples, rate, events):
        if rate == 48_000:
            raise MemoryError("no more")
        return steps(self, samples, rate, events)

    steps = Spotter.push_steps
    monkeypatch.setattr(Spotter, "push_steps", breaks)

    async def plays(guest):
        await guest.play(said("jarvis", rate=48_000), 48_000, piece=500_000)
        return await guest.next()

    assert visit(served, plays, jarvis) == [None, ["jarvis"]]
    assert ("error", "wyoming 127.0.0.1: MemoryError: no more") in lines


def test_a_model_that_takes_its_time_keeps_nobody_from_asking(served, monkeypatch):
    """The loop answers while it hears."""

    def dawdles(self, samples, rate, events):
        time.sleep(1.0)
        return []

    monkeypatch.setattr(Spotter, "push_steps", dawdles)

    async def both(made):
        async with visiting(made) as slow, visiting(made) as other:
            await slow.play(noise(0.01))
            begun = time.monotonic()
            await other.ask(Ping("?"))
            return time.monotonic() - begun

    assert asyncio.run(both(served)) < 0.5


# -- who may come in ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("allow", "address", "let_in"),
    [
        ([], "127.0.0.1", True),
        ([], "::1", True),
        ([], "::ffff:127.0.0.1", True),
        ([], "192.168.1.5", False),
        (["192.168.1.5"], "192.168.1.5", True),
        (["192.168.1.5"], "::ffff:192.168.1.5", True),
        (["192.168.1.5"], "192.168.1.6", False),
        (["192.168.1.0/24", "fd00::/8"], "192.168.1.77", True),
        (["192.168.1.7/24"], "192.168.1.77", True),
        (["192.168.1.0/24", "fd00::/8"], "fd12::1%eth0", True),
        (["192.168.1.0/24"], "10.0.0.1", False),
        (["any"], "10.0.0.1", True),
        ([], "", False),
    ],
)
def test_who_may_come_in(allow, address, let_in):
    assert door("wyoming", "tcp://0.0.0.0:1", allow or ["1.2.3.4"]).lets_in(address) is let_in


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"uri": "tcp://0.0.0.0:10400"}, "say which ones may connect"),
        ({"uri": "tcp://[::]:10400"}, "say which ones may connect"),
        ({"uri": "tcp://kitchen.local:10400"}, "say which ones may connect"),
        ({"uri": "tcp://127.0.0.1"}, "no address to listen on"),
        ({"uri": "http://127.0.0.1:10400"}, "no address to listen on"),
        ({"uri": "tcp://127.0.0.1:99999"}, "no address to listen on"),
        ({"uri": "127.0.0.1:10400"}, "no address to listen on"),
        ({"allow": ("kitchen",)}, "'kitchen' is no address"),
    ],
)
def test_a_door_that_can_not_be_is_refused(model, settings, said):
    config = Config(model=[Wanted(str(model))], wyoming=Wyoming(**settings))
    with pytest.raises(ConfigError, match=said):
        planned(build(config))


def test_strangers_are_closed_at_once(model, monkeypatch, lines):
    """And told of once each. In a test nobody comes from elsewhere, so nobody is let in."""
    monkeypatch.setattr(server.Door, "lets_in", lambda self, address: False)
    with serving(model) as served:
        assert [raw(served, line(type="describe")) for _ in range(3)] == [b"", b"", b""]
    told = [text for level, text in lines if level == "warning"]
    assert told == ["wyoming: 127.0.0.1 was turned away: allow does not name it"]


def test_that_everybody_may_connect_is_said_at_each_start(model, lines):
    for _ in range(2):
        with serving(model, allow=("any",)):
            pass

    assert [text for level, text in lines if level == "warning"] == [
        'wyoming: allow = ["any"]: everybody may connect'
    ] * 2


def test_a_config_without_a_wake_word_has_nothing_to_offer(model):
    config = Config(model=[Wanted(str(model), keywords=("no",))], wyoming=Wyoming())
    with pytest.raises(ConfigError, match="commands = true"):
        planned(build(config))


# -- in the daemon -------------------------------------------------------------------------------


def test_the_daemon_hears_for_others_beside_its_microphone(model, tmp_path, lines):
    """Until it ends, and at once then, whoever is connected."""
    played = [step for _ in range(200) for step in (tone("jarvis", 0.3), noise(0.7))]

    class Slow(Fake):
        def __iter__(self):
            for block in super().__iter__():
                time.sleep(0.01)
                yield block

    path, facts = tmp_path / "kws.toml", tmp_path / "facts.jsonl"
    path.write_text(
        f'[[model]]\npath = "{model}"\n[wyoming]\nuri = "tcp://127.0.0.1:0"\n'
        f'[[sink]]\ntype = "jsonl"\npath = "{facts}"\n'
    )
    daemon = Daemon(path, lambda microphone: Slow(Clock(), played), Notify({}))
    running = threading.Thread(target=daemon.run)
    running.start()
    try:
        until(lambda: daemon.wyoming_address)
        made = daemon._network._wyoming
        assert visit(made, *[jarvis] * 8) == [["jarvis"]] * 8
        until(lambda: facts.exists() and facts.read_text().count('"jarvis"') > 5)
        with socket.create_connection(made.address, timeout=PATIENCE_S) as client:
            begun = time.monotonic()
            daemon.stop()
            assert client.recv(1) == b""
    finally:
        daemon.stop()
        running.join(PATIENCE_S)
    assert time.monotonic() - begun < 5
    assert made.failure is None


def test_a_daemon_without_a_microphone_hears_for_others(model, tmp_path):
    """On a machine in the cellar; nothing is lost there, and its watchdog is fed."""
    path, told = tmp_path / "kws.toml", []
    path.write_text(
        f'microphone = []\n[[model]]\npath = "{model}"\n[wyoming]\nuri = "tcp://127.0.0.1:0"\n'
    )
    notify = Notify({})
    notify.watchdog = lambda: told.append("alive")
    daemon = Daemon(path, lambda microphone: pytest.fail("a microphone"), notify)
    running = threading.Thread(target=daemon.run)
    running.start()
    try:
        until(lambda: daemon.wyoming_address)
        assert visit(daemon._network._wyoming, jarvis) == [["jarvis"]]
        until(lambda: told)
    finally:
        daemon.stop()
        running.join(PATIENCE_S)
    assert not running.is_alive()


def test_a_server_that_died_ends_the_daemon(network, model):
    made = arranged(network, model)
    network.check()
    made.failure = MemoryError("no more")

    with pytest.raises(DiedError, match=r"wyoming: its thread died \(MemoryError: no more\)"):
        network.check()


# -- as the config says ------------------------------------------------------------------------


def arranged(network, model, **settings):
    """Let it be as a config says, and return the server."""
    keywords = settings.pop("keywords", ())
    config = Config(
        model=[Wanted(str(model), keywords=keywords)],
        wyoming=Wyoming(**{"uri": "tcp://127.0.0.1:0", **settings}),
    )
    network.arrange(planned(build(config)))
    until(lambda: network._wyoming.address)
    return network._wyoming


@pytest.fixture
def network():
    config = Config()
    made = Network(House(None, None, None, build(config), None))
    yield made
    made.close(PATIENCE_S)


def test_without_its_table_nothing_listens(network, model):
    network.arrange(planned(build(Config(model=[Wanted(str(model))]))))

    assert network._wyoming is None


def test_clients_stay_where_only_the_words_change(network, model):
    made = arranged(network, model)

    async def stays():
        async with visiting(made) as guest:
            first = names(await guest.hears(said("jarvis", "yes")))
            arranged(network, model, keywords=("jarvis",))
            return first, names(await guest.hears(said("jarvis", "yes")))

    assert asyncio.run(stays()) == (["jarvis", "yes"], ["jarvis"])
    assert network._wyoming is made


def test_another_address_is_another_server(network, model):
    """And none, where the table is gone."""
    first = arranged(network, model)
    port = first.address[1]
    second = arranged(network, model, max_streams=7, uri=f"tcp://127.0.0.1:{port}")
    assert second is not first
    assert still_hears(second)
    network.arrange(planned(build(Config(model=[Wanted(str(model))]))))

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_an_address_that_is_taken_is_tried_again(network, model, lines):
    """The microphone needs none."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = Config(model=[Wanted(str(model))], wyoming=Wyoming(uri=f"tcp://127.0.0.1:{port}"))
        network.arrange(planned(build(config)))
        until(lambda: any("can't listen" in text for _, text in lines))
        network.check()
    until(lambda: network._wyoming.address)

    assert still_hears(network._wyoming)


# -- so that it is found -------------------------------------------------------------------------


def test_it_is_found_by_multicast_until_it_ends(model, lines):
    """On this computer's own interface only: no test speaks to the network around it."""

    async def found(made):
        async with AsyncZeroconf(interfaces=["127.0.0.1"]) as known:
            seen = asyncio.Queue()

            def changed(zeroconf, service_type, name, state_change):
                seen.put_nowait((name, state_change.name))

            browser = AsyncServiceBrowser(known.zeroconf, [announce.TYPE], handlers=[changed])
            name, added = await asyncio.wait_for(seen.get(), PATIENCE_S)
            until(lambda: ("info", f"wyoming: announced by zeroconf as {name}") in lines)
            service = AsyncServiceInfo(announce.TYPE, name)
            await service.async_request(known.zeroconf, 3_000)
            await asyncio.to_thread(made.shut, PATIENCE_S)
            _, removed = await asyncio.wait_for(seen.get(), PATIENCE_S)
            await browser.async_cancel()
            return name, added, removed, service

    config = Config(model=[Wanted(str(model))], wyoming=Wyoming())
    settings = Wyoming(uri="tcp://127.0.0.1:0", zeroconf=True)
    made = server.Server(settings, planned(build(config)).offer, Streams())
    try:
        until(lambda: made.address)
        name, added, removed, service = asyncio.run(found(made))
    finally:
        made.shut(PATIENCE_S)
    assert (added, removed) == ("Added", "Removed")
    assert re.fullmatch(r"kws .+\._wyoming\._tcp\.local\.", name)
    assert (service.parsed_addresses(), service.port) == (["127.0.0.1"], made.address[1])
    assert made.failure is None


def test_what_nobody_reaches_is_not_announced(model, monkeypatch):
    wanted = Wyoming(zeroconf=True)
    config = Config(model=[Wanted(str(model))], wyoming=wanted)
    with pytest.raises(ConfigError, match=r"nobody else reaches 127\.0\.0\.1"):
        planned(build(config))
    monkeypatch.setattr(announce, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"zeroconf is missing; run: .*\[zeroconf\]"):
        planned(build(config))
    planned(build(Config(model=[Wanted(str(model))], wyoming=Wyoming())))


def test_a_network_without_multicast_is_told_and_borne(model, lines, monkeypatch):
    def fails(**options):
        raise OSError("no network")

    monkeypatch.setattr("zeroconf.asyncio.AsyncZeroconf", fails)
    config = Config(model=[Wanted(str(model))], wyoming=Wyoming())
    settings = Wyoming(uri="tcp://127.0.0.1:0", zeroconf=True)
    made = server.Server(settings, planned(build(config)).offer, Streams())
    try:
        until(lambda: ("warning", "wyoming: can't be announced by zeroconf: no network") in lines)
        assert still_hears(made)
    finally:
        made.shut(PATIENCE_S)
    assert made.failure is None


def test_others_are_told_addresses_that_they_reach():
    found = [ip_address(each) for each in announce._addresses()]

    assert not any(each.is_loopback or each.is_link_local for each in found)
