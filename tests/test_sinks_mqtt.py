"""MQTT: against a real Mosquitto, which is stopped, killed and restarted."""

import getpass
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion
from telling import FACTS, KEYWORDS, World, certificate, find, heard, need, until

import kws
from kws.errors import ConfigError, SinkError
from kws.sinks import Playing, mqtt
from kws.sinks.mqtt.topics import slug

BASE = "kws/desk"
LIGHTS = slug("lights #1/on")


class Broker:
    """A Mosquitto on a port of its own, which remembers nothing when it is started again."""

    def __init__(self, folder, *lines):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._config = folder / "mosquitto.conf"
        rules = lines or ["allow_anonymous true"]
        settings = [f"listener {self.port} 127.0.0.1", f"user {getpass.getuser()}", *rules]
        self._config.write_text("\n".join(settings))
        self.start()

    def start(self):
        command = [find("mosquitto"), "-c", self._config]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        until(self._answers)

    def _answers(self):
        try:
            socket.create_connection(("127.0.0.1", self.port)).close()
        except OSError:
            return False
        return True

    def kill(self):
        self.process.kill()
        self.process.wait()


class Subscriber:
    """Hears everything. got: topic, text and whether it was retained before we came."""

    def __init__(self, port):
        self.got, ready = [], threading.Event()
        self.client = Client(CallbackAPIVersion.VERSION2)
        self.client.on_connect = lambda client, *_: client.subscribe("#", 1)
        self.client.on_subscribe = lambda *_: ready.set()
        self.client.on_message = lambda _c, _d, message: self.got.append(
            (message.topic, message.payload.decode(), message.retain)
        )
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert ready.wait(30)

    def texts(self, topic):
        return [text for found, text, _ in list(self.got) if found == topic]

    def last(self, topic):
        return json.loads(self.texts(topic)[-1])

    def until(self, topic, count=1):
        until(lambda: len(self.texts(topic)) >= count)
        return self.texts(topic)

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def broker(tmp_path, request):
    need(request, "mosquitto", "mosquitto")
    made = Broker(tmp_path)
    yield made
    made.kill()


@pytest.fixture
def subscribe(request):
    def subscribed(broker):
        made = Subscriber(broker.port)
        request.addfinalizer(made.close)
        return made

    return subscribed


@pytest.fixture
def world():
    return World()


@pytest.fixture
def make(world, request):
    """Make the sink, for a broker on this computer."""

    def made(broker, **given):
        settings = {"host": "127.0.0.1", "port": broker.port, "id": "desk", **given}
        sink = world.make("mqtt", **settings)
        request.addfinalizer(sink.close)
        return sink

    return made


def threads(identity):
    """Return the threads of paho for the device that is called so."""
    return [one for one in threading.enumerate() if one.name.endswith(f"kws-{identity}")]


def test_a_word_is_an_event_and_a_trigger(broker, make, subscribe):
    """When `send` returns, the broker has both; nothing of it stays there."""
    sink = make(broker)
    sink.start()
    early = subscribe(broker)
    sink.send(heard())
    sink.send(heard("lights #1/on", recording="a.wav"))
    early.until(f"{BASE}/trigger/{LIGHTS}")

    first, second = map(json.loads, early.until(f"{BASE}/event", 2))
    assert {"event_type": "jarvis", **msgspec.to_builtins(heard())} == first
    assert ("lights #1/on", "a.wav") == (second["event_type"], second["recording"])
    assert ["heard"] == early.texts(f"{BASE}/trigger/jarvis")
    late = subscribe(broker)
    late.until(f"{BASE}/availability")
    assert not late.texts(f"{BASE}/event") + late.texts(f"{BASE}/trigger/jarvis")


def test_home_assistant_finds_an_event_entity(broker, make, subscribe):
    """Retained, so that it is found whenever Home Assistant comes."""
    make(broker, name="Desk").start()
    subscribe(broker).until(f"{BASE}/availability")  # it comes last
    found = subscribe(broker)
    topic = "homeassistant/event/desk/keyword/config"
    found.until(topic)

    device = {
        "identifiers": ["kws_desk"],
        "name": "Desk",
        "model": "kws",
        "sw_version": kws.__version__,
    }
    assert {
        "name": "Keyword",
        "unique_id": "kws_desk_keyword",
        "event_types": ["jarvis", "stop", "lights #1/on"],
        "state_topic": "kws/desk/event",
        "availability_topic": "kws/desk/availability",
        "qos": 1,
        "device": device,
    } == found.last(topic)
    assert all(retained for _, _, retained in found.got)


def test_home_assistant_finds_a_trigger_for_each_word(broker, make, subscribe):
    """One trigger a topic; type and subtype together are unique on the device."""
    sink = make(broker)
    sink.start()
    found = subscribe(broker)
    prefix = "homeassistant/device_automation/desk/"
    until(lambda: len([1 for topic, *_ in found.got if topic.startswith(prefix)]) == len(KEYWORDS))
    configs = {topic: found.last(topic) for topic, *_ in found.got if topic.startswith(prefix)}

    assert {f"{prefix}{part}/config" for part in ("jarvis", "stop", LIGHTS)} == set(configs)
    lights = configs[f"{prefix}{LIGHTS}/config"]
    device = lights.pop("device")
    assert ["kws_desk"] == device["identifiers"]
    assert {
        "automation_type": "trigger",
        "type": "keyword",
        "subtype": "lights #1/on",
        "topic": f"kws/desk/trigger/{LIGHTS}",
        "payload": "heard",
        "qos": 1,
    } == lights
    assert "wake_word" == configs[f"{prefix}jarvis/config"]["type"]

    for keyword, config in zip(KEYWORDS, map(configs.get, configs), strict=True):
        sink.send(heard(keyword.name))
        assert config["payload"] in found.until(config["topic"])


def retained(broker, subscribe):
    """Return the topics on which something lies, once all came that does."""
    found, marker = subscribe(broker), subscribe(broker)
    marker.client.publish("marker", "x", 1)
    found.until("marker")
    return {topic for topic, text, kept in found.got if kept and text}


def test_words_that_are_no_longer_listened_for_are_withdrawn(broker, make, world, subscribe):
    """From whichever run they are; others' triggers stay."""
    sink = make(broker)
    sink.start()
    others = subscribe(broker)
    foreign = "homeassistant/device_automation/other/yes/config"
    others.client.publish(foreign, "{}", 1, retain=True)
    others.until(foreign)
    sink.close()
    world.around = replace(world.around, keywords=KEYWORDS[:1])
    make(broker).start()
    gone = f"homeassistant/device_automation/desk/{LIGHTS}/config"
    until(lambda: "" in others.texts(gone))
    until(lambda: "" in others.texts("homeassistant/device_automation/desk/stop/config"))
    topics = retained(broker, subscribe)

    assert {foreign, "homeassistant/device_automation/desk/jarvis/config"} == {
        topic for topic in topics if "device_automation" in topic
    }
    assert "homeassistant/event/desk/keyword/config" in topics


def test_a_sink_that_is_taken_out_of_the_config_leaves_nothing(broker, make, subscribe):
    """One that only ends leaves all: Home Assistant shows it as offline."""
    watcher, sink = subscribe(broker), make(broker)
    sink.start()
    watcher.until(f"{BASE}/availability")  # it comes last
    sink.close()
    watcher.until(f"{BASE}/availability", 2)
    assert "homeassistant/event/desk/keyword/config" in retained(broker, subscribe)
    sink, heir = make(broker), make(broker, id="shelf")
    sink.start()
    heir.start()
    watcher.until("kws/shelf/availability")
    watcher.until(f"{BASE}/availability", 3)
    sink.withdraw([heir])
    sink.close()
    until(lambda: "" in watcher.texts(f"{BASE}/availability"))
    topics = retained(broker, subscribe)

    assert topics
    assert not [topic for topic in topics if "desk" in topic]
    (twin := make(broker, id="shelf", name="Shelf")).withdraw([])
    heir.withdraw([twin])
    assert [] == heir._leaving


def test_names_become_parts_of_topics(broker, make):
    """No wildcard, slash or space in them, and no two names become one."""
    names = ["a b", "a_b", "a+b", "a#b", "a/b", "ä", "ö", "hey-jarvis_2", ""]
    parts = [slug(name) for name in names]

    assert len(set(parts)) == len(names)
    assert all(part.replace("-", "").replace("_", "").isalnum() for part in parts)
    assert all(part.isascii() for part in parts)
    assert ["a_b", "hey-jarvis_2"] == [part for part in parts if part in names]


def test_topics_can_be_chosen_and_discovery_left_out(broker, make, subscribe):
    make(broker, topic="home/ears", discovery="").start()
    found = subscribe(broker)
    found.until("home/ears/desk/availability")

    assert {"home/ears/desk/availability", "home/ears/desk/state"} == {t for t, *_ in found.got}


def test_the_host_names_the_device_unless_told(broker, world, subscribe, request):
    sink = world.make("mqtt", host="127.0.0.1", port=broker.port)
    request.addfinalizer(sink.close)
    sink.start()

    subscribe(broker).until(f"kws/{slug(socket.gethostname())}/availability")


def test_it_is_online_and_at_its_end_offline(broker, make, subscribe):
    found = subscribe(broker)
    sink = make(broker)
    sink.start()
    found.until(f"{BASE}/availability")
    sink.close()
    until(lambda: not threads("desk"))

    assert ["online", "offline"] == found.until(f"{BASE}/availability", 2)
    assert ["offline"] == subscribe(broker).until(f"{BASE}/availability")  # retained


def test_its_last_will_says_that_it_is_offline(broker, subscribe):
    found = subscribe(broker)
    code = (
        "import sys, time; from telling import World;"
        f"World().make('mqtt', host='127.0.0.1', port={broker.port}, id='desk').start();"
        "time.sleep(600)"
    )
    tests = Path(__file__).parent
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tests), str(tests.parent)])}
    process = subprocess.Popen([sys.executable, "-c", code], env=env)
    found.until(f"{BASE}/availability")
    process.send_signal(signal.SIGKILL)
    process.wait()

    assert ["online", "offline"] == found.until(f"{BASE}/availability", 2)
    assert ["offline"] == subscribe(broker).until(f"{BASE}/availability")  # retained


def test_the_state_is_what_was_told_last(broker, make, subscribe):
    sink = make(broker)
    sink.start()
    found = subscribe(broker)
    assert [{"playback": False, "microphones": {}}] == [
        json.loads(text) for text in found.until(f"{BASE}/state")
    ]
    for count, fact in enumerate(FACTS[1:], 2):
        sink.send(fact)
        found.until(f"{BASE}/state", count)

    kitchen = {"lost": None, "health": "deaf", "reasons": ["silence", "for a minute"]}
    states = [json.loads(text) for text in found.texts(f"{BASE}/state")]
    assert "unplugged" == states[1]["microphones"]["kitchen"]["lost"]
    assert {"playback": True, "microphones": {"kitchen": kitchen}} == states[-1]
    late = subscribe(broker)
    late.until(f"{BASE}/state")
    assert states[-1] == late.last(f"{BASE}/state")


def test_others_tell_that_the_own_speaker_talks(broker, make, world, subscribe):
    """In whichever case; nonsense is logged, and so is what was retained: it may be old."""
    other = subscribe(broker)
    other.client.publish(f"{BASE}/playback/set", "on", 1, retain=True).wait_for_publish(30)
    make(broker).start()
    until(lambda: world.lines)
    for said in ("on", "OFF", "On", "off ", "perhaps"):
        other.client.publish(f"{BASE}/playback/set", said, 1)
    until(lambda: len(world.lines) == 2)

    assert [True, False, True, False] == world.playing
    assert [
        ("warning", f"{BASE}/playback/set: ignored, it was retained and may be old"),
        ("warning", f"{BASE}/playback/set: takes on and off, not b'perhaps'"),
    ] == world.lines


@pytest.mark.parametrize("error", [ConfigError("no such word"), RuntimeError("a fault")])
def test_a_playback_that_fails_ends_nothing(broker, make, world, subscribe, error):
    def fail(on):
        raise error

    world.around = replace(world.around, playback=fail)
    sink = make(broker)
    sink.start()
    other = subscribe(broker)
    other.client.publish(f"{BASE}/playback/set", "on", 1)
    other.client.publish(f"{BASE}/playback/set", "nonsense", 1)
    until(lambda: len(world.lines) == 2)
    sink.send(heard())

    assert ("warning", f"{BASE}/playback/set: {error}") == world.lines[0]


def test_a_broker_that_comes_later_and_goes_is_found_again(broker, make, world, subscribe):
    """All is announced each time; nothing that was heard meanwhile is told late, all states are."""
    broker.kill()
    sink = make(broker)
    with pytest.raises(SinkError, match=r"127.0.0.1:.* can't be reached .Connection refused"):
        sink.start()
    with pytest.raises(SinkError, match="can't be reached"):
        sink.send(heard("stale"))
    broker.start()
    found = subscribe(broker)
    found.until(f"{BASE}/availability")
    sink.send(heard("first"))

    broker.kill()
    until(lambda: any("connection lost" in line for _, line in world.lines))
    with pytest.raises(SinkError, match=r"connection lost|can't be reached"):
        sink.send(heard("stale"))
    sink.send(Playing(wall_time=1.0, on=True))
    broker.start()
    again = subscribe(broker)
    again.until(f"{BASE}/availability")
    until(lambda: ("info", f"mqtt 127.0.0.1:{broker.port}: connected") == world.lines[-1])
    sink.send(heard("second"))

    assert ["second"] == [json.loads(text)["keyword"] for text in again.until(f"{BASE}/event")]
    assert ["online"] == again.texts(f"{BASE}/availability")
    assert again.last(f"{BASE}/state")["playback"]
    assert again.texts("homeassistant/event/desk/keyword/config")
    assert 1 == sum("connection lost" in line for _, line in world.lines)


def test_what_a_hanging_broker_does_not_take_is_lost(broker, make, subscribe, monkeypatch):
    """It is said to be lost, so it must not come when the broker is there again."""
    monkeypatch.setattr(mqtt, "ACK_S", 0.3)
    sink = make(broker)
    sink.start()
    broker.process.send_signal(signal.SIGSTOP)
    with pytest.raises(SinkError, match="does not acknowledge"):
        sink.send(heard("stale"))
    broker.kill()
    broker.start()
    found = subscribe(broker)
    found.until(f"{BASE}/availability")
    monkeypatch.setattr(mqtt, "ACK_S", 30)
    until(sink._connected.is_set)
    sink.send(heard("fresh"))

    assert ["fresh"] == [json.loads(text)["keyword"] for text in found.until(f"{BASE}/event")]


def test_a_broker_may_want_a_password(tmp_path, make, request):
    need(request, "mosquitto", "mosquitto", "mosquitto_passwd")
    secrets, file, right, wrong = tmp_path / "passwords", tmp_path / "mine", "correct", "horse"
    command = [find("mosquitto_passwd"), "-b", "-c", secrets, "kws", right]
    subprocess.run(command, check=True, capture_output=True)
    broker = Broker(tmp_path, "allow_anonymous false", f"password_file {secrets}")
    request.addfinalizer(broker.kill)
    file.write_text(f"{right}\n")

    with pytest.raises(SinkError, match=r"refuses us .Not authorized.; check username"):
        make(broker).start()
    with pytest.raises(SinkError, match="refuses us") as caught:
        make(broker, id="a", username="kws", password=wrong).start()
    assert wrong not in str(caught.value)
    make(broker, id="b", username="kws", password=right).start()
    lines = [threads(name) for name in ("b", "b-check")]
    make(broker, id="b", username="kws", password=right).probe()
    with pytest.raises(SinkError, match=r"refuses us .Not authorized.; check username"):
        make(broker, id="b", username="kws", password=wrong).probe()
    assert lines == [threads(name) for name in ("b", "b-check")]  # the one that runs stays
    make(broker, id="c", username="kws", password_file=str(file)).start()


# paho leaves the socket of a handshake that failed to the garbage collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_broker_may_be_encrypted(tmp_path, make, request, world):
    """Its certificate is checked, against the system's authorities or those in a file."""
    need(request, "mosquitto openssl", "mosquitto", "openssl")
    made, key = certificate(tmp_path, find("openssl"))
    broker = Broker(tmp_path, "allow_anonymous true", f"certfile {made}", f"keyfile {key}")
    request.addfinalizer(broker.kill)

    doubting = make(broker, tls=True, id="doubting")
    with pytest.raises(SinkError, match="certificate verify failed"):
        doubting.start()
    doubting.close()
    until(lambda: not threads("doubting"))
    make(broker, tls=True, ca_file=str(made)).start()
    with pytest.raises(ConfigError, match=r"ca_file .* is no use"):
        make(broker, tls=True, ca_file=str(broker._config))
    assert 8883 == world.make("mqtt", host="host", tls=True)._port


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"host": ""}, "host '' makes no sense"),
        ({"host": "a..b"}, "host 'a..b' makes no sense"),
        ({"topic": "kws/#"}, "topic 'kws/#' can't be one"),
        ({"topic": ""}, "topic '' can't be one"),
        ({"discovery": "home assistant"}, "discovery 'home assistant' can't be one"),
        ({"id": "a/b"}, "id 'a/b' holds more than letters"),
        ({"ca_file": "a.pem"}, "add tls = true"),
        ({"password": "x"}, "needs a username"),
        ({"username": "u", "password": "x", "password_file": "y"}, "either password or"),
        ({"username": "u", "password_file": "/nowhere"}, "/nowhere can't be read .No such file"),
    ],
)
def test_settings_that_make_no_sense_are_refused(world, given, message):
    with pytest.raises(ConfigError, match=message):
        world.make("mqtt", **{"host": "localhost", **given})


def test_without_paho_it_says_what_to_install(world, monkeypatch):
    monkeypatch.setitem(sys.modules, "paho.mqtt.client", None)
    with pytest.raises(ConfigError, match=r"needs paho-mqtt 2.2; run: .*\[serve\]"):
        world.make("mqtt", host="localhost")


def test_closing_what_never_connected_is_quick(world):
    """Nor does it go on trying: no thread of it is left."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    sink = world.make("mqtt", host="127.0.0.1", port=port, id="lonely")
    with pytest.raises(SinkError):
        sink.start()
    assert threads("lonely")
    sink.close()

    until(lambda: not threads("lonely"))
    world.make("mqtt", host="127.0.0.1", port=port).close()
