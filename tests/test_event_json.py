"""The JSON form of events: documented, and the same at every way out."""

import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import models
import msgspec
import numpy as np
import pytest
import soundfile
from models import RATE, noise, tone
from telling import FACTS, need, until
from test_http import accepted, lines, living, message, upgrade
from test_sinks_mqtt import Broker, Subscriber
from test_sinks_webhook import serving

import kws
from kws.event_json import BY_TYPE, KINDS, as_json_event, json_schema

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"

EVENTS = [
    kws.AudioLost(1.0, 1.25),
    kws.KeywordStuck("yes", 4.0),
    kws.VerifierFailed("no such operator", 5.0),
    kws.DigitalSilence(silent=True, time_s=6.0),
]


def parsed(text):
    """Return a JSON object, having seen that it is an event with all its fields and no other."""
    fields = json.loads(text)
    kind = BY_TYPE[fields["type"]]
    msgspec.json.decode(text, type=kind)
    assert fields.keys() == {"type", *kind.__struct_fields__}
    return fields


# -- what is written down -------------------------------------------------------------------


def test_the_schema_file_is_that_of_the_code():
    """If not: python -m kws.event_json > docs/events.schema.json."""
    assert json_schema() == json.loads((DOCS / "events.schema.json").read_text())


def test_the_page_names_every_type_and_every_field():
    page = (DOCS / "events.md").read_text()
    for name, kind in BY_TYPE.items():
        section = page.partition(f"\n### `{name}`\n")[2].partition("\n### ")[0]
        text = page.partition("\n### ")[0] + section  # what all have in common stands above
        assert section, name
        assert not [field for field in kind.__struct_fields__ if f"`{field}`" not in text]


def test_every_type_has_one_form():
    """No two share a name, and all say their version."""
    assert len(BY_TYPE) == len(KINDS)
    for name in BY_TYPE:
        definition = json_schema()["$defs"][name]
        assert definition["properties"]["schema"] == {"enum": [1]}
        assert definition["description"]
        assert set(definition["required"]) == {*definition["properties"]}


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_what_else_the_chain_notices_has_a_form(event):
    fields = parsed(msgspec.json.encode(as_json_event(event)))

    assert fields["schema"] == 1
    assert {name: fields[name] for name in type(event).__dataclass_fields__} == {
        name: getattr(event, name) for name in type(event).__dataclass_fields__
    }


def test_what_is_no_news_has_none():
    assert as_json_event(kws.GateChanged(open=True, time_s=1.0)) is None


# -- wherever it comes out ------------------------------------------------------------------


@pytest.fixture
def broker(tmp_path, request):
    need(request, "mosquitto", "mosquitto")
    made = Broker(tmp_path)
    yield made
    made.kill()


def settings(folder, url, port):
    command = json.dumps([sys.executable, "-c", ENVIRONMENT, str(folder / "environment")])
    return f"""
[http]
port = 0
[record]
folder = "{folder}/kept"
after_s = 0.1
[[sink]]
type = "webhook"
url = "{url}"
[[sink]]
type = "mqtt"
host = "127.0.0.1"
port = {port}
id = "desk"
[[sink]]
type = "command"
run = {command}
"""


ENVIRONMENT = """
import json, os, sys
found = {name[4:].lower(): text for name, text in os.environ.items() if name.startswith("KWS_")}
with open(sys.argv[1] + ".new", "w") as file:
    json.dump(found, file)
os.replace(sys.argv[1] + ".new", sys.argv[1])
"""


def test_every_way_out_gives_the_same_object(tmp_path, broker, monkeypatch):
    """JSON lines, webhook, MQTT, server-sent events, WebSocket, what is asked for later."""
    monkeypatch.delenv("KWS_DATA", raising=False)
    with ExitStack() as stack:
        server = stack.enter_context(serving())
        home = stack.enter_context(living(tmp_path, settings(tmp_path, server.url, broker.port)))
        topics = Subscriber(broker.port)
        stack.callback(topics.close)
        topics.until("kws/desk/availability")
        follow = stack.enter_context(home.connected())
        follow.request("GET", "/v1/events")
        events = lines(follow.getresponse())
        look = stack.enter_context(home.connected())
        look.request("GET", "/v1/live")
        live = lines(look.getresponse())
        assert next(live)["type"] == "setup"
        socket = stack.enter_context(upgrade(home))
        assert accepted(socket)
        until(lambda: home.daemon._house.feed.followers == 2)
        home.microphone.say("yes")

        written = tmp_path / "facts.jsonl"
        until(lambda: written.exists() and '"detection"' in written.read_text())
        text = next(each for each in written.read_text().splitlines() if '"detection"' in each)
        word = parsed(text)
        until(lambda: server.posts and (tmp_path / "environment").exists())
        mqtt = json.loads(topics.until("kws/desk/event")[0])

        assert next(each for each in events if each["type"] == "detection") == word
        assert next(each for each in live if each["type"] == "detection") == word
        assert message(socket) == word
        assert server.posts[0][2] == word
        assert mqtt == {"event_type": "yes", **word}  # which Home Assistant reads
        assert home.ask("GET", "/v1/detections")[2] == [word]
        environment = json.loads((tmp_path / "environment").read_text())
        word["event"] = word.pop("type")
        assert environment == {name: str(it) for name, it in word.items() if it is not None}
    assert {"yes", "keyword", "tones", "microphone"} <= set(environment.values())
    assert Path(word["recording"]).name.endswith(".flac")


def test_audio_from_elsewhere_gives_what_a_file_gives(tmp_path, capsys):
    """The same audio by `kws spot`, `kws.spot` and a WebSocket; but for the file's name."""
    audio = np.concatenate([noise(0.7), tone("no", 0.3), noise(1.2)])
    path = tmp_path / "words.wav"
    soundfile.write(path, audio, RATE, subtype="PCM_16")
    pcm = soundfile.read(path, dtype="int16")[0].tobytes()
    with living(tmp_path) as home, upgrade(home, f"/v1/listen?rate={RATE}") as answer:
        assert accepted(answer)
        for at in range(0, len(pcm), 6_400):
            part = pcm[at : at + 6_400]
            answer.write(b"\x82\xfe" + len(part).to_bytes(2, "big") + bytes(4) + part)
        answer.flush()
        told = message(answer)
    command = [sys.executable, "-m", "kws", "spot", path, "--model", tmp_path / "tones.onnx"]
    spotted = subprocess.run(command, capture_output=True, check=True, cwd=ROOT).stdout
    word = parsed(spotted)
    (detection,) = kws.spot(path, model=tmp_path / "tones.onnx")

    assert word == {**told, "audio": str(path)}
    assert word == msgspec.to_builtins(as_json_event(detection, audio=str(path)))
    assert (word["model"], word["phrase"], word["wall_time"]) == ("tones", "no", None)


def test_the_daemons_other_events_are_documented_forms():
    for fact in FACTS:
        assert parsed(msgspec.json.encode(fact))["schema"] == 1


def test_a_summary_is_one_too(tmp_path):
    """Of `kws listen --json`, on stderr."""
    models.write(tmp_path / "tones.onnx")
    code = (
        "from kws.commands.listen import _summary; import kws, sys;"
        "_summary(kws.Spotter(sys.argv[1]), 0, json=True)"
    )
    command = [sys.executable, "-c", code, tmp_path / "tones.onnx"]
    said = subprocess.run(command, capture_output=True, check=True, text=True, cwd=ROOT)

    assert parsed(said.stderr.encode())["type"] == "summary"
