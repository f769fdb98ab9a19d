"""The verifier in the daemon: for microphones, for Wyoming's and HTTP's streams, in metrics."""

import json
import logging

import models as tones
import pytest
from models import RATE
from telling import PATIENCE_S, until
from test_http import accepted, figures, living, message, upgrade
from test_verifier import said
from test_wyoming import visit

from kws import selftest
from kws.card import Label, Threshold, replace
from kws.serve.build import build
from kws.serve.config import Config, Listen
from kws.serve.config import Model as Wanted
from kws.serve.network import planned
from kws.serve.streams import Streams
from kws.serve.wyoming.server import Server
from kws.serve.wyoming.settings import Wyoming

LEVELS = {"yes": Threshold(0.97), "no": Threshold(0.6)}


@pytest.fixture(scope="module")
def verifier(tmp_path_factory):
    """A verifier whose threshold for yes is high."""
    path = tmp_path_factory.mktemp("verifier") / "v.onnx"
    return tones.write(path, tones.verifier_card(first_weight=0.0, thresholds=LEVELS), hops=10)


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """A verifier whose calls fail as soon as there is something to hear."""
    path = tmp_path_factory.mktemp("verifier") / "broken.onnx"
    return tones.write_fragile(path, tones.verifier_card(), most=1e-5, hops=10)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tones.write(tmp_path_factory.mktemp("first") / "tones.onnx")


def http(verify):
    return f'[listen]\nverify = "{verify}"\n[http]\nport = 0\n'


def counts(home, at='{microphone="microphone"}'):
    found = figures(home)
    prefix = "kws_verifier_"
    return {
        name.removeprefix(prefix).removesuffix(f"_total{at}"): value
        for name, value in found.items()
        if name.startswith(prefix) and name.endswith(at)
    }


def test_a_microphone_is_verified_and_counted(tmp_path, verifier):
    with living(tmp_path, http(verifier)) as home:
        assert home.ask("GET", "/v1/thresholds")[2]["thresholds"] == {
            "yes": 0.97,
            "no": 0.6,
            "jarvis": 0.5,
        }
        (card,) = home.ask("GET", "/v1/models")[2]
        assert (card["file"], card["verifier"]) == ("tones.onnx", "v.onnx")
        assert card["thresholds"]["yes"]["value"] == 0.97
        home.microphone.say("no", "jarvis")
        until(lambda: counts(home).get("verified") == 2)
        found = counts(home)
    facts = [json.loads(line) for line in (tmp_path / "facts.jsonl").read_text().splitlines()]
    heard = [fact for fact in facts if fact["type"] == "detection"]

    assert [(fact["keyword"], fact["threshold"]) for fact in heard] == [
        ("no", 0.6),
        ("jarvis", 0.5),
    ]
    assert (found["candidates"], found["failures"], found["skipped"]) == (2, 0, 0)
    assert found["calls"] >= 4
    assert 0 < found["seconds"] < PATIENCE_S
    assert found["refused"] == 0


def test_without_a_verifier_nothing_is_counted(tmp_path):
    with living(tmp_path, http("none")) as home:
        assert counts(home) == {}


def test_a_failing_verifier_is_logged_once(tmp_path, broken, caplog, monkeypatch):
    logger = logging.getLogger("kws")
    with living(tmp_path, http(broken)) as home:
        monkeypatch.setattr(logger, "propagate", True)
        home.microphone.say("no", "yes")
        until(lambda: counts(home).get("failures", 0) > 3)
        until(lambda: len([f for f in facts(home) if f["type"] == "detection"]) == 2)
    lines = [line for line in caplog.messages if "broken.onnx" in line]

    assert len(lines) == 1
    assert "the first stage decides alone: broken.onnx: can't be run" in lines[0]


def test_a_verifier_that_can_not_run_leaves_the_first_stage(tmp_path, capfd):
    """That shows when its first call is timed."""
    path = tmp_path / "never.onnx"
    tones.write_fragile(path, tones.verifier_card(), most=0, hops=10)
    with living(tmp_path, http(path)) as home:
        assert home.ask("GET", "/v1/thresholds")[2]["thresholds"]["yes"] == 0.6
        home.microphone.say("yes")
        until(lambda: facts(home))
        assert counts(home) == {}
    lines = [line for line in capfd.readouterr().err.splitlines() if "never.onnx" in line]

    assert len(lines) == 1
    assert "can't verify" in lines[0]
    assert 1 == lines[0].count("never.onnx")


def facts(home):
    path = home.folder / "facts.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_streams_over_http_are_verified(tmp_path, verifier):
    """A faint yes passes alone, but not the verifier's threshold."""
    sound = (said("yes", "no", seconds=0.09) * 32_767).astype("<i2").tobytes()
    for verify, words in ("none", ["yes", "no"]), (verifier, ["no"]):
        folder = tmp_path / str(len(words))
        folder.mkdir()
        with (
            living(folder, http(verify)) as home,
            upgrade(home, f"/v1/listen?rate={RATE}") as answer,
        ):
            assert accepted(answer)
            for at in range(0, len(sound), 8_192):
                part = sound[at : at + 8_192]
                answer.write(b"\x82\xfe" + len(part).to_bytes(2, "big") + bytes(4) + part)
            answer.flush()
            found = [message(answer) for _ in words]
            done = counts(home, '{stream="http"}')
        assert [each["keyword"] for each in found] == words
        if verify == "none":
            assert done == {}
        else:
            assert (done["candidates"], done["verified"], done["failures"]) == (2, 1, 0)
            assert done["calls"] >= 2


def test_streams_of_wyoming_are_verified(model, verifier):
    for verify, words in ("none", ["yes", "no"]), (str(verifier), ["no"]):
        settings = Wyoming(uri="tcp://127.0.0.1:0", commands=True)
        config = Config(model=[Wanted(str(model))], listen=Listen(verify=verify), wyoming=settings)
        streams = Streams()
        server = Server(settings, planned(build(config)).offer, streams)
        try:
            until(lambda server=server: server.address)

            async def hears(guest):
                return await guest.hears(said("yes", "no", seconds=0.09))

            found = visit(server, hears, hears)
        finally:
            server.shut(PATIENCE_S)
            streams.close(PATIENCE_S)
        for each in found:
            assert [name for name, _ in each if name != "not-detected"] == words
        if verify == "none":
            assert streams.verifiers == {}
        else:  # of both streams together
            done = streams.verifiers["wyoming"]
            assert (done.candidates, done.verified, done.failures) == (4, 2, 0)


def test_a_verifier_that_hears_wrongly_ends_the_daemon(tmp_path, model, capsys):
    """As any other model does; also one whose file holds no self-test is given one at the start."""
    from kws.cli import main

    path = tones.write(tmp_path / "v.onnx", tones.verifier_card(), hops=10)
    found = build(Config(model=[Wanted(str(model))], listen=Listen(verify=str(path)))).verifier
    test = found.model.card.self_test
    assert selftest.deviation(found.model) == pytest.approx(0, abs=1e-4)
    test.scores[-1][0] += 0.5
    tones.write(path, replace(tones.verifier_card(), self_test=test), hops=10)
    config = tmp_path / "kws.toml"
    config.write_text(f'[[model]]\npath = "{model}"\n[listen]\nverify = "{path}"\n')
    code = main(["serve", "--check", "--config", str(config)])

    assert code == 4
    assert "v.onnx: hears wrongly: its self-test is off by 0.5" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("verify", "reason"),
    [
        ("nowhere.onnx", "nowhere.onnx: no such file"),
        ("first", "a stream model can't verify; take a window model"),
        ("others", "can't verify yes, no, jarvis: its keywords are up, down"),
    ],
)
def test_what_can_not_verify_is_told_with_its_line(tmp_path, model, capsys, verify, reason):
    from kws.cli import main

    labels = [Label("up", "keyword"), Label("down", "keyword"), Label("_a"), Label("_b")]
    others = tmp_path / "others.onnx"
    tones.write(others, tones.card("window", hops=10, labels=labels, thresholds={}), hops=10)
    path = {"first": model, "others": others}.get(verify, verify)
    config = tmp_path / "kws.toml"
    config.write_text(f'[[model]]\npath = "{model}"\n[listen]\nverify = "{path}"\n')
    code = main(["serve", "--check", "--config", str(config)])
    said = capsys.readouterr()

    assert (code, said.out) == (2, "")
    assert f"{config}, line 4: verify: " in said.err
    assert reason in said.err
    assert said.err.count("\n") == 1
