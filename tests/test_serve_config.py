"""The config of `kws serve`: what is refused and in which words, the template, `kws config`."""

import os
import re
import shutil
import socket
import stat
import string
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import models
import pytest
from command import kws, model
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from telling import PATIENCE_S, certificate, find, heard, need

from kws import selftest, sinks
from kws.card import Label
from kws.errors import ConfigError
from kws.flow import Detection
from kws.serve import config, where
from kws.serve.audience import seats
from kws.serve.build import build
from kws.serve.config import SHARED, TEMPLATE, Config, default_path, read
from kws.serve.http.settings import Http
from kws.serve.keeping import Keeper
from kws.serve.wyoming.settings import Wyoming
from kws.session import load
from kws.sinks.mqtt.settings import check
from kws.sources import devices
from kws.sources.devices import Input

__all__ = ["kws", "model"]

posix = pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")

TABLES = {
    "[listen]": config.Listen,
    "[[model]]": config.Model,
    "[[microphone]]": config.Microphone,
    "[playback]": config.Playback,
    "[record]": config.Record,
    "[health]": config.Health,
    "[wyoming]": Wyoming,
    "[log]": config.Log,
    "[http]": Http,
}
SINKS = {name: sinks.settings_of(name) for name in sinks.names()}
KEYS = {name: {*kind.__struct_fields__} for name, kind in (TABLES | SINKS).items()}
KNOWN = set(Config.__struct_fields__).union(SHARED, *KEYS.values())


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Where a config is written, again and again."""
    return tmp_path_factory.mktemp("config") / "kws.toml"


@pytest.fixture(scope="module")
def refused(file):
    """Return what is said of a config, in which line, and the message itself; None: nothing."""

    def said(text):
        file.write_text(text, encoding="utf-8")
        try:
            read(file)
        except ConfigError as error:
            message = str(error)
        else:
            return None
        assert message.startswith(str(file))
        assert "\n" not in message
        place, what = message.removeprefix(str(file)).split(": ", 1)
        return SimpleNamespace(line=int(place.removeprefix(", line ") or 0), what=what)

    return said


# -- what is refused ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "key"),
    [(table, key) for table, kind in TABLES.items() for key in kind.__struct_fields__],
)
def test_a_misspelled_key_is_told_with_the_right_one(refused, table, key):
    """In every table."""
    found = refused(f"# Mine\n\n{table}\n{key}x = 1\n")

    assert (found.line, found.what.split(";")[0]) == (4, f"unknown key '{key}x'")
    assert re.search(rf"did you mean .*\b{key}\b", found.what)


@pytest.mark.parametrize(
    ("sink", "key"),
    [
        (n, key)
        for n, kind in SINKS.items()
        for key in ("keywords", "events", *kind.__struct_fields__)
    ],
)
def test_so_it_is_in_the_second_of_two_sinks(refused, sink, key):
    """Each kind has keys of its own, and those of all."""
    found = refused(f'[[sink]]\ntype = "jsonl"\n[[sink]]\ntype = "{sink}"\n{key}x = 1\n')

    assert (found.line, found.what.split(";")[0]) == (5, f"unknown key '{key}x'")
    assert re.search(rf"did you mean .*\b{key}\b", found.what)


@pytest.mark.parametrize("table", [*TABLES, "[[sink]]"])
def test_a_misspelled_table_is_told_with_the_right_one(refused, table):
    name = table.strip("[]")
    found = refused(f"# Mine\n{table.replace(name, name + 's')}\n")

    assert (found.line, found.what) == (2, f"unknown key '{name}s'; did you mean {name}?")


WRONG = [
    # Unlike everything: all that there is
    ("nonsense = 1", 1, "unknown key 'nonsense'; there are listen, model, microphone,"),
    ("[log]\nxyz = 1", 2, "unknown key 'xyz'; there are level, json"),
    # Wherever it stands: the second of several, tables in tables, in one line, dotted, quoted
    ("[[microphone]]\nname = 'a'\n[[microphone]]\nnam = 'b'", 4, "did you mean name?"),
    ("[[model]]\n[[model]]\n[model.threshold]\nyes = 1", 3, "did you mean thresholds?"),
    ("[log]\n[playback]\nlive = ['a']\n[listen]\nliv = []", 5, "unknown key 'liv'"),
    ("listen = { wake = ['a'], gat = 'x' }", 1, "did you mean gate?"),
    ("model = [\n  { path = 'a' },\n  { pat = 'b' },\n]", 1, "did you mean path?"),
    ("log.json = true\nlog.levl = 'info'", 2, "did you mean level?"),
    ("log.json = true\n\n'log' . \"levl\" = 'info'", 3, "did you mean level?"),
    ("[[model]]\n'my key' = 1", 2, "unknown key 'my key'"),
    ("[listen]\ngate = '''\nwak = 1'''\nwake = [\n'a',\n]\nwak = 1", 7, "did you mean wake?"),
    # Another type
    ("[log]\njson = 'yes'", 2, "json: expected true or false, got text"),
    ("[playback]\nmax_s = '60'", 2, "max_s: expected a number, got text"),
    ("[playback]\nraise_to = '1'", 2, "raise_to: expected a number, got text"),
    ("[playback]\nmax_s = 2020-01-01", 2, "max_s: expected a number, got date"),
    ("[record]\nmost = 1.5", 2, "most: expected a whole number, got a number"),
    ("[listen]\nwake = 'a'", 2, "wake: expected a list, got text"),
    ("[[model]]\nkeywords = ['a', 1]", 2, "keywords: expected text, got a whole number"),
    ("[[model]]\nthresholds = 0.5", 2, "thresholds: expected a table, got a number"),
    ("[[microphone]]\nchannel = 'left'", 2, "expected a whole number or 'mean', got 'left'"),
    ("[[microphone]]\nchannel = 1.5", 2, "expected a whole number or 'mean', got a number"),
    ("[log]\nlevel = 'loud'", 2, "'info' or 'warning', got 'loud'"),
    # Out of range
    ("[playback]\nmax_s = 0", 2, "max_s: expected a number > 0"),
    ("[playback]\nraise_to = 1.5", 2, "raise_to: expected a number <= 1"),
    ("[record]\nafter_s = 11", 2, "after_s: expected a number <= 10"),
    ("[record]\nmost = 0", 2, "most: expected a whole number >= 1"),
    ("[health]\nquiet_db = 80", 2, "quiet_db: expected a number <= 0"),
    ("[[microphone]]\nchannel = 0", 2, "channel: expected a whole number >= 1"),
    ("[[microphone]]\nname = ''", 2, "name: expected text of length >= 1"),
    ("[[model]]\nkeywords = ['']", 2, "keywords: expected text of length >= 1"),
    ("[[model]]\nfalse_alarms = 0", 2, "false_alarms: expected a number > 0"),
    ("[[model]]\nthresholds.yes = 2", 2, "thresholds: expected a number <= 1"),
    ("[health]\nquiet_db = nan", 2, "quiet_db: nan, inf and numbers past 64 bits"),
    ("[playback]\nmax_s = inf", 2, "max_s: nan, inf and numbers past 64 bits"),
    ("[record]\nmost = 99999999999999999999", 2, "most: nan, inf and numbers past 64 bits"),
    ("[[model]]\n[model.thresholds]\nno = 0.5\n'oh yes' = nan", 4, "oh yes: nan, inf and"),
    # Other brackets
    ("[sink]\ntype = 'jsonl'", 1, "sink: write it as [[sink]], there may be several"),
    ("[[log]]\njson = true", 1, "log: write it as [log]"),
    ("\nmicrophone = 'USB'", 2, "microphone: write it as [[microphone]]"),
    ("sink = ['jsonl']", 1, "sink: write it as [[sink]]"),
    ("listen = 'computer'", 1, "listen: write it as [listen]"),
    # None, and two that can't be told apart
    ("model = []", 1, "model: at least one is needed"),
    ("microphone = []", 1, "microphone: at least one is needed"),
    ("[[microphone]]\n[[microphone]]", 2, "two microphones are called 'microphone'"),
    ("[[microphone]]\nname = 'a'\n[[microphone]]\nname = 'a'", 4, "give each a name of its own"),
    # Sinks
    ("[[sink]]\ntype = 'jsonll'", 2, "type: there is no sink 'jsonll'; there are command,"),
    ("[[sink]]\ntype = 1", 2, "a sink needs a type; there are command,"),
    ("[[sink]]\ntype = 'jsonl'\n[[sink]]\npath = '-'", 3, "a sink needs a type; there are"),
    ("[[sink]]\nkeywords = []\ntpye = 'jsonl'", 3, "a sink needs a type; there are command,"),
    ("[[sink]]\ntype = 'jsonl'\nevents = ['heard', 'detektion']", 3, "no event 'heard'"),
    ("[[sink]]\ntype = 'jsonl'\nevents = ['detektion']", 3, "did you mean detection?"),
    ("[[sink]]\ntype = 'jsonl'\nkeywords = 'a'", 3, "keywords: expected a list, got text"),
    ("[[sink]]\ntype = 'jsonl'\nmax_mb = 0", 3, "max_mb: expected a number > 0"),
    ("[[sink]]\ntype = 'desktop'\nurgency = 'high'", 3, "'low' or 'normal', got 'high'"),
    ("[[sink]]\ntype = 'jsonl'\n[[sink]]\ntype = 'webhook'", 3, "sink: url is missing"),
    ("[[sink]]\ntype = 'webhook'\nurl = 'x'\n[sink.headers]\na = 1", 4, "headers: expected text"),
    ("[[sink]]\ntype = 'mqtt'\nhost = 'a'\nport = 70000", 4, "port: expected a whole number <= 6"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "what"), WRONG)
def test_what_makes_no_sense_is_told_with_its_line(refused, text, line, what):
    found = refused(text)

    assert found.line == line
    assert what in found.what


@pytest.mark.parametrize("text", ["[log]\njson = yes", "[log\n", "a = 1\na = 2", "[log]\n[log]"])
def test_what_is_no_toml_is_told_with_its_line(refused, text):
    assert re.match(
        r"is no TOML: .* \(at (line \d+, column \d+|end of document)\)", refused(text).what
    )


def test_a_file_that_can_not_be_read_is_told(file):
    """It is not there, it is a folder, it is no text."""
    file.write_bytes(b"name = '\xff'")
    missing = file.with_name("missing.toml")

    with pytest.raises(ConfigError, match="it is not UTF-8"):
        read(file)
    with pytest.raises(ConfigError, match="there is no such file; `kws config init` writes one"):
        read(missing)
    with pytest.raises(ConfigError, match=re.escape(f"{file.parent}: can't be read (")):
        read(file.parent)


def test_editors_of_windows_are_fine(file):
    """A mark at the beginning, and their ends of lines."""
    file.write_bytes('\ufeff[log]\r\nlevel = "debug"\r\n'.encode())

    assert read(file).log.level == "debug"


MEANT = """
listen = { wake = ["computer"], gate = "none", overrides = "mine.json" }
playback = { raise_to = 1, live = ["stop"], max_s = 5 }
[[model]]
path = "a.onnx"
false_alarms = 2
sensitivity = 70
[[model]]
keywords = ["b"]
[model.thresholds]
"two words" = 0.5
[model.sensitivity]
"two words" = 20
[[microphone]]
name = "desk"
channel = "mean"
[[microphone]]
device = "USB"
channel = 2
[[sink]]
type = "webhook"
url = "http://localhost"
keywords = ["b"]
events = ["detection", "health"]
"""


def test_what_is_said_is_what_is_meant(file):
    """Each key finds its place; in tables, in one line, of several the right one."""
    file.write_text(MEANT)
    found = read(file)

    assert found.listen == config.Listen(("computer",), "none", "mine.json")
    assert found.playback == config.Playback(1.0, ("stop",), 5.0)
    assert found.model == [
        config.Model("a.onnx", false_alarms=2.0, sensitivity=70.0),
        config.Model(
            keywords=("b",), thresholds={"two words": 0.5}, sensitivity={"two words": 20.0}
        ),
    ]
    assert found.microphone == [
        config.Microphone("desk", "", "mean"),
        config.Microphone(device="USB", channel=2),
    ]
    webhook = SINKS["webhook"](url="http://localhost")
    assert found.sinks == [config.Sink("webhook", webhook, ("b",), ("detection", "health"))]


# -- the template ---------------------------------------------------------------------------


def uncommented(text):
    """Return a part of the template with its examples: lines with a # and no blank after it."""
    return re.sub(r"(?m)^#(?=\S)", "", text)


TEXT = TEMPLATE.read_text(encoding="utf-8")
EXAMPLES = re.findall(r"(?m)(?:^#\S.*\n)+", TEXT)
FULL = uncommented(TEXT)
KEY = re.compile(r"(\[*)(\w+)(.*)")
LINES = [number for number, line in enumerate(FULL.split("\n"), 1) if KEY.match(line)]
"""Those with a key, or a table's name."""


def test_the_template_says_what_holds_anyway(file):
    file.write_text(TEXT, encoding="utf-8")

    assert read(file) == Config()


def test_the_template_explains_everything():
    """Each table, each key, each kind of sink and of event."""
    found = where.parse(FULL)
    given = {table: found[table.strip("[]")] for table in TABLES}
    given |= {name: [sink for sink in found["sink"] if sink["type"] == name] for name in SINKS}
    for name, there in given.items():
        keys = set().union(*there) if isinstance(there, list) else set(there)
        # A password stands in prose only: its file is the better place.
        assert keys - set(SHARED) == KEYS[name] - set(SHARED) - {"password"}
    assert set(SHARED) <= set().union(*found["sink"])
    assert all(f'"{event}"' in TEXT for event in sinks.FACTS)
    assert "password = " in TEXT


def test_the_template_is_readable():
    assert max(len(line) for line in TEXT.splitlines()) <= 100


@pytest.mark.parametrize("text", [*EXAMPLES, TEXT], ids=lambda text: text.split("\n")[0])
def test_each_example_is_good(refused, text):
    """Alone and all together."""
    assert TEXT.count(text) == 1
    assert refused(TEXT.replace(text, uncommented(text))) is None


def test_the_examples_hold_together(tmp_path, monkeypatch):
    """Words and rates are those of the bundled model, and of the model in the example."""
    monkeypatch.chdir(tmp_path)
    names = ["lights on", "lights off", "lights red"]
    labels = [*(Label(name, "keyword") for name in names), Label("_rest_")]
    (tmp_path / "models").mkdir()
    models.write("models/my-words.onnx", models.card(labels=labels, thresholds={}))
    (tmp_path / "mqtt-password").write_text("secret\n")
    (tmp_path / "kws.toml").write_text(FULL, encoding="utf-8")
    found = read(tmp_path / "kws.toml")

    built = build(found)
    assert {"stop", "computer", "lights on", "lights off"} <= set(built.words)
    assert "lights red" not in built.words
    assert {word for sink in found.sinks for word in sink.keywords} <= set(built.words)
    [mqtt] = [sink.settings for sink in found.sinks if sink.type == "mqtt"]
    check(mqtt)


@st.composite
def misspellings(draw):
    """A line's number, the key in it, and the key with one character changed, lost, or too many."""
    number = draw(st.sampled_from(LINES))
    key = KEY.match(FULL.split("\n")[number - 1])[2]
    at, other = (
        draw(st.integers(0, len(key))),
        draw(st.sampled_from(string.ascii_lowercase + "_-1")),
    )
    wrong = key[:at] + draw(st.sampled_from(["", other])) + key[at + draw(st.integers(0, 1)) :]
    assume(wrong not in KNOWN)
    return number, key, wrong


@settings(max_examples=100, deadline=None)
@given(slip=misspellings())
def test_a_slip_of_the_finger_is_told_where_it_is(refused, slip):
    """In any key of the template and its examples: its line, and what was meant."""
    number, key, wrong = slip
    lines = FULL.split("\n")
    lines[number - 1] = lines[number - 1].replace(key, wrong, 1)
    found = refused("\n".join(lines))

    assert found.line == number
    assert wrong in found.what
    assert re.search(rf"\b{key}\b", found.what)


VALUES = [
    "0", "-1", "3", "0.5", "1e9", "nan", "-inf", "1e400", "9" * 30, "9" * 400, "true", '""', '"x"',
    "[]", "[1]", '["x"]', '["detection"]', "[[]]", "{}", "{x = 1}", "[{x = nan}]", "2020-01-01",
    "12:00:00", '"""\nlevel = 1\n"""', "[\n'x',\n1,\n]",
]  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(number=st.sampled_from(LINES), value=st.sampled_from(VALUES))
@example(number=FULL.split("\n").index('type = "jsonl"') + 1, value="1")
def test_any_value_is_taken_or_told_where_it_is(refused, number, value):
    """At any key; nothing but ConfigError is raised."""
    lines = FULL.split("\n")
    brackets, key, _ = KEY.match(lines[number - 1]).groups()
    assume(not brackets)
    lines[number - 1] = f"{key} = {value}"
    found = refused("\n".join(lines))

    assert found is None or found.line == number


# -- kws serve --check ----------------------------------------------------------------------


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A user without a config, in a folder of their own; `kws serve` goes to the config's."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("APPDATA", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    there = [Input("USB Audio", "ALSA", 48_000, 2, default=True, index=0)]
    monkeypatch.setattr(devices, "devices", lambda: there)
    return tmp_path


def test_without_a_config_the_defaults_are_all_right(kws):
    result = kws("serve", "--check")

    assert (result.code, result.out, result.err) == (0, "the defaults: all right\n", "")


GOOD = """
playback.live = ["no"]
record.folder = "heard"
[listen]
gate = "none"
wake = ["jarvis"]
[[model]]
path = "models/tones.onnx"
keywords = ["yes", "no"]
thresholds = { yes = 0.5 }
[[sink]]
type = "jsonl"
keywords = ["jarvis", "yes"]
"""


def test_files_count_from_the_config_wherever_one_stands(kws, model, home):
    """Nothing is begun: no recording, no file."""
    (home / "etc" / "models").mkdir(parents=True)
    shutil.copy(model, home / "etc" / "models" / "tones.onnx")
    (home / "etc" / "mine.toml").write_text(GOOD)
    result = kws("serve", "--check", "--config", "etc/mine.toml")

    assert (result.code, result.err) == (0, "")
    assert result.out == f"{home / 'etc' / 'mine.toml'}: all right\n"
    assert sorted(path.name for path in (home / "etc").iterdir()) == ["mine.toml", "models"]


HOME = """
record.folder = "~/heard"
listen.overrides = "~/mine.json"
[[model]]
path = "~/models/tones.onnx"
[[sink]]
type = "jsonl"
path = "~/facts.jsonl"
[[sink]]
type = "command"
run = ["~/bin/mine"]
[[sink]]
type = "mqtt"
host = "localhost"
username = "kws"
password_file = "~/password"
tls = true
ca_file = "~/ca.pem"
"""


@pytest.fixture
def user(model, request, tmp_path, monkeypatch):
    """A user's home, with all files that a config can name."""
    need(request, "openssl", "openssl")
    user = tmp_path / "user"
    user.mkdir()
    monkeypatch.setenv("HOME", str(user))
    (user / "models").mkdir()
    shutil.copy(model, user / "models" / "tones.onnx")
    (user / "mine.json").write_text('{"thresholds": {"yes": 0.7}}')
    (user / "bin").mkdir()
    (user / "bin" / "mine").write_text("#!/bin/sh\ntouch ran\n")
    (user / "bin" / "mine").chmod(0o700)
    (user / "password").write_text("secret\n")
    certificate(user, find("openssl"))[0].rename(user / "ca.pem")
    return user


@posix
@pytest.mark.parametrize("begins", ["~/", "user/"])
def test_paths_may_begin_at_home(kws, user, home, begins):
    """Each that there is; others count from the config's folder."""
    (home / "kws.toml").write_text(HOME.replace("~/", begins))
    result = kws("serve", "--check", "--config", "kws.toml")
    assert result.code == 1
    assert re.fullmatch(r".*: sink: mqtt localhost:8883: can't be reached .*\n", result.err)

    found = read(home / "kws.toml")
    built = build(found)
    assert built.spotter(found.microphone[0]).thresholds["yes"] == 0.7
    jsonl, command, _ = (seat.sink for seat in seats(built, home / "kws.toml", print))
    jsonl.send(heard())
    command.send(heard())
    assert (user / "facts.jsonl").exists()
    assert (home / "ran").exists()
    keeper = Keeper(found.record, print)
    spotter = built.spotter(found.microphone[0])
    audio = models.tone("yes", 0.2)
    word = Detection("yes", 0.9, 0.5, 0, len(audio), len(audio), models.RATE, -20.0, audio, 0)
    kept = keeper.begin(spotter, word, "kitchen")
    keeper.close(PATIENCE_S)
    assert Path(kept).resolve().is_relative_to(user / "heard" / "yes")
    assert Path(kept).exists()


MODEL = "[[model]]\npath = 'tones.onnx'\n"

BAD = [
    ("[listen]\ngatee = 'none'", 2, "unknown key 'gatee'; did you mean gate?"),
    ("[listen", 0, "is no TOML"),
    (f"{MODEL}keywords = ['yess']", 3, "keywords: unknown keyword 'yess'; did you mean yes?"),
    (f"{MODEL}thresholds.yess = 0.5", 3, "thresholds: unknown keyword 'yess'; did you mean yes?"),
    (f"{MODEL}keywords = ['no']\nthresholds.yes = 0.5", 4, "thresholds: unknown keyword 'yes'"),
    (f"{MODEL}sensitivity.yess = 50", 3, "sensitivity: unknown keyword 'yess'; did you mean yes?"),
    (
        f"{MODEL}thresholds.yes = 0.9\nsensitivity.yes = 75",
        4,
        "sensitivity: yes: the threshold 0.9 and the sensitivity 75 contradict each other",
    ),
    (f"{MODEL}sensitivity = 101", 3, "sensitivity: expected a number"),
    (f"{MODEL}false_alarms = 0.123", 3, "false_alarms: the model has no operating point at 0.123"),
    (f"{MODEL}\n{MODEL}", 4, "model: two models know 'yes'"),
    ("[[model]]\npath = 'gone.onnx'", 2, "path: gone.onnx: no such file; give the path of an"),
    ("[[model]]\npath = '~nobody-of-us/a'", 2, "path: ~nobody-of-us/a: there is no such home"),
    ("[[model]]\n\npath = 'kws.toml'", 3, "path: kws.toml: is not a readable ONNX model"),
    (f"{MODEL}[[model]]\npath = '.'", 4, "path: .: is a directory; give the path of an .onnx"),
    (f"listen.gate = 'a'\n{MODEL}", 1, "gate: there is no gate 'a'; there are learned, none,"),
    (f"listen.wake = ['jarviss']\n{MODEL}", 1, "wake: unknown wake word 'jarviss'; did you mean"),
    (f"listen.overrides = 'no.json'\n{MODEL}", 1, "overrides: no.json: can't be read (No such"),
    (f"{MODEL}[listen]\noverrides = 'high.json'", 4, "overrides: threshold yes=2.0 lies outside"),
    (f"playback.live = ['yess']\n{MODEL}", 1, "live: unknown keyword 'yess'; did you mean yes?"),
    (f"record.folder = '~nobody-of-us'\n{MODEL}", 1, "folder: ~nobody-of-us: there is no such"),
    (f"{MODEL}[[sink]]\ntype='jsonl'\nkeywords=['yess']", 5, "keywords: unknown keyword 'yess'"),
    (f"{MODEL}[[sink]]\ntype = 'webhook'\nurl = 'here'", 3, "sink: webhook: url makes no sense"),
    (f"{MODEL}[[sink]]\ntype = 'jsonl'\n[[sink]]\ntype = 'command'\nrun = ['no-such-thing']", 5,
     "sink: command 'no-such-thing': no such program"),
]  # fmt: skip


@pytest.mark.parametrize("case", BAD, ids=lambda case: case[2])
def test_what_would_not_do_is_exit_code_2(kws, model, home, case):
    """And one line with its place, whether it shows in the file or only beside the models."""
    text, line, what = case
    shutil.copy(model, home / "tones.onnx")
    (home / "high.json").write_text('{"thresholds": {"yes": 2}}')
    (home / "kws.toml").write_text(text)
    result = kws("serve", "--check", "--config", "kws.toml")

    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    place = f"{home / 'kws.toml'}, line {line}" if line else home / "kws.toml"
    assert result.err.startswith(f"kws: {place}: {what}")


ALL_WRONG = """
[[model]]
path = "tones.onnx"
keywords = ["yess"]
thresholds = { no = "high" }
[listen]
gatee = "none"
wake = ["jarvis"]
[[microphone]]
[[microphone]]
channel = 0
[playback]
live = ["stopp"]
[[sink]]
type = "mqtt"
[[sink]]
type = "jsonll"
[[sink]]
type = "command"
run = ["no-such-thing"]
keywords = ["noo"]
"""
TOLD = [
    (4, "unknown keyword 'yess'"),
    (5, "thresholds: expected a number, got text"),
    (7, "unknown key 'gatee'"),
    (10, "two microphones are called 'microphone'"),
    (11, "channel: expected a whole number"),
    (13, "live: unknown keyword 'stopp'"),
    (14, "sink: host is missing"),
    (17, "type: there is no sink 'jsonll'"),
    (18, "sink: command 'no-such-thing': no such program"),
    (21, "keywords: unknown keyword 'noo'"),
]


def test_all_mistakes_are_told_at_once(kws, model, home):
    """Each with its line, whatever shows it; none because another was left out."""
    shutil.copy(model, home / "tones.onnx")
    (home / "kws.toml").write_text(ALL_WRONG)
    result = kws("serve", "--check", "--config", "kws.toml")
    lines = sorted(
        result.err.splitlines(), key=lambda line: int(re.findall("line ([0-9]+)", line)[0])
    )

    assert (result.code, result.out) == (2, "")
    for (number, what), line in zip(TOLD, lines, strict=True):
        assert line.startswith(f"kws: {home / 'kws.toml'}, line {number}: ")
        assert what in line


def test_words_of_a_model_that_is_not_there_are_no_mistakes(kws, model, home):
    """Nor is a word that two models know, where one of them stands for the one that is gone."""
    shutil.copy(model, home / "tones.onnx")
    (home / "kws.toml").write_text(
        "listen.wake = ['marvin']\n[[model]]\npath = 'gone.onnx'\nkeywords = ['x']\n"
        "thresholds.x = 0.5\n[[model]]\npath = 'tones.onnx'\n[[model]]\npath = 'gone too'\n"
        "[[sink]]\ntype = 'jsonl'\nkeywords = ['x']\n[[sink]]\ntype = 'webhook'\nurl = 'here'\n"
    )
    result = kws("serve", "--check", "--config", "kws.toml")

    assert result.code == 2
    assert ["gone.onnx: no such file", "gone too: no such file", "webhook: url makes"] == [
        re.search("gone[^:]*: no such file|webhook: url makes|$", line)[0]
        for line in result.err.splitlines()
    ]


def test_what_does_not_work_now_is_exit_code_1(kws, home, monkeypatch):
    """Microphones that are not there, a folder that can't be made, servers that don't answer."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (home / "file").touch()
    (home / "kws.toml").write_text(
        "record.folder = 'file/heard'\n[[microphone]]\ndevice = 'Desk'\n[[microphone]]\n"
        f"name = 'b'\nchannel = 3\n[[sink]]\ntype = 'webhook'\nurl = 'http://127.0.0.1:{port}/a'\n"
        f"[[sink]]\ntype = 'mqtt'\nhost = '127.0.0.1'\nport = {port}\n"
    )
    result = kws("serve", "--check", "--config", "kws.toml")
    told = [
        line.removeprefix(f"kws: {home / 'kws.toml'}, line ") for line in result.err.splitlines()
    ]

    assert (result.code, result.out) == (1, "")
    for line, expected in zip(
        told,
        [
            "3: device: no input device is called 'Desk'; there are: USB Audio",
            "4: device: USB Audio (ALSA) has no channel 3: it has 2",
            "1: folder: file/heard can't be written",
            f"7: sink: webhook http://127.0.0.1:{port}: can't be reached (Connection refused)",
            f"10: sink: mqtt 127.0.0.1:{port}: can't be reached (Connection refused)",
        ],
        strict=True,
    ):
        assert line == expected
    monkeypatch.setattr(devices, "devices", list)
    assert "there is no microphone" in kws("serve", "--check").err


@posix
def test_a_config_that_others_can_write_is_named_once(kws, model, home):
    shutil.copy(model, home / "tones.onnx")
    (home / "kws.toml").write_text(f"{MODEL}[[sink]]\ntype = 'command'\nrun = ['true']")
    (home / "kws.toml").chmod(0o666)
    result = kws("serve", "--check", "--config", "kws.toml")

    assert result.code == 2
    assert f"kws: {home / 'kws.toml'}, line 3: sink: others can write " in result.err


UNREADABLE = {
    "gone.toml": "gone.toml: there is no such file; `kws config init` writes one",
    "gone/kws.toml": "gone: can't be entered (No such file or directory)",
    "folder": "folder: can't be read (Is a directory)",
    "file/kws.toml": "file: can't be entered (Not a directory)",
}


@pytest.mark.parametrize("path", UNREADABLE)
def test_a_config_that_can_not_be_read_is_exit_code_2(kws, home, monkeypatch, path):
    """Given, or where it is looked for unless told; there it need not be."""
    (home / "folder").mkdir()
    (home / "file").touch()
    given = kws("serve", "--check", "--config", path)
    assert (given.code, given.out, given.err) == (2, "", f"kws: {home}/{UNREADABLE[path]}\n")

    monkeypatch.setattr(config, "default_path", lambda: home / path)
    default = kws("serve", "--check")
    if path != "folder":
        assert (default.code, default.out) == (0, "the defaults: all right\n")
    else:
        assert (default.code, default.err) == (2, given.err)


@pytest.mark.skipif(sys.platform != "linux", reason="setpriv is Linux's")
def test_a_config_that_may_not_be_read_is_exit_code_2(kws, home):
    """Root, who may read all, does without that right here."""
    mortal = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    check = [
        *(mortal if os.geteuid() == 0 else []),
        sys.executable,
        "-m",
        "kws",
        "serve",
        "--check",
    ]
    kws("config", "init")
    default_path().chmod(0)
    refused = subprocess.run(check, capture_output=True, text=True, check=False)
    default_path().parent.chmod(0)
    closed = subprocess.run(check, capture_output=True, text=True, check=False)
    default_path().parent.chmod(0o700)

    assert refused.returncode == closed.returncode == 2
    assert refused.stderr == f"kws: {default_path()}: can't be read (Permission denied)\n"
    assert closed.stderr == f"kws: {default_path().parent}: can't be entered (Permission denied)\n"


def test_a_model_that_hears_wrongly_is_exit_code_4(kws, home):
    """`--check` tells what would end the daemon."""
    models.write(home / "tones.onnx")
    test = selftest.made(load(home / "tones.onnx"))
    test.scores[-1][0] += 0.5
    models.write(home / "tones.onnx", models.card(self_test=test))
    (home / "kws.toml").write_text(MODEL)
    result = kws("serve", "--check", "--config", "kws.toml")

    assert (result.code, result.out) == (4, "")
    assert "tones.onnx: hears wrongly: its self-test is off by 0.5" in result.err


# -- kws config init ------------------------------------------------------------------------


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("path", [None, "new/folder/mine.toml"])
def test_init_writes_a_config_that_serve_takes(kws, home, path):
    """Where `kws serve` looks, or where the user says; it says what to do next."""
    there = default_path() if path is None else home / path
    wrote = kws("config", "init", *filter(None, [path]))

    assert (wrote.code, wrote.err) == (0, "")
    assert there.read_text(encoding="utf-8") == TEXT
    assert wrote.out.startswith(f"wrote {path or there}\n")
    option = "" if path is None else f" --config {path}"
    assert f"kws serve --check{option}\n" in wrote.out
    assert f"kws service install{option}\n" in wrote.out
    checked = kws("serve", "--check", *option.split())
    assert (checked.code, checked.out) == (0, f"{there}: all right\n")


def test_serve_reads_what_lies_where_init_writes(kws):
    kws("config", "init")
    default_path().write_text("nonsense = 1")
    result = kws("serve", "--check")

    assert (result.code, "unknown key 'nonsense'" in result.err) == (2, True)


def test_init_never_overwrites_unless_told(kws, home):
    (home / "mine.toml").write_text("precious")
    result = kws("config", "init", "mine.toml")

    assert (result.code, result.out) == (2, "")
    assert result.err == "kws: mine.toml: is there already; --force overwrites it\n"
    assert (home / "mine.toml").read_text() == "precious"

    assert kws("config", "init", "mine.toml", "--force").code == 0
    assert (home / "mine.toml").read_text(encoding="utf-8") == TEXT


@posix
def test_what_init_writes_is_for_its_owner_alone(kws, home):
    """New folders too, whatever the umask; also a file that others could read before."""
    (home / "old.toml").touch()
    (home / "old.toml").chmod(0o666)
    before = os.umask(0)
    try:
        kws("config", "init", "new/folder/mine.toml")
        kws("config", "init", "old.toml", "--force")
        assert os.umask(0) == 0
    finally:
        os.umask(before)

    assert [mode(home / name) for name in ("new/folder/mine.toml", "old.toml")] == [0o600, 0o600]
    assert [mode(home / name) for name in ("new", "new/folder")] == [0o700, 0o700]


@pytest.mark.parametrize(
    ("path", "what"),
    [
        (".", "is a folder; name a file in it"),
        ("file/kws.toml", "can't be written (file is no folder)"),
        ("file/folder/kws.toml", "can't be written (file/folder is no folder)"),
        (f"{'x' * 300}.toml", "can't be written (File name too long)"),
    ],
)
@pytest.mark.parametrize("force", [[], ["--force"]])
def test_where_init_can_not_write_is_one_line(kws, home, path, what, force):
    (home / "file").touch()
    result = kws("config", "init", path, *force)

    assert (result.code, result.out) == (2, "")
    assert result.err == f"kws: {path}: {what}\n"


def test_an_unknown_action_is_refused(kws):
    result = kws("config", "int")

    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert "init" in result.err
