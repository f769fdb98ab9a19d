"""What the page of `kws serve` is made of: live scores, thresholds, recordings, cards."""

import io
import json
import re
from collections import deque
from contextlib import contextmanager
from itertools import islice

import models
import numpy as np
import pytest
import soundfile
from models import RATE
from telling import heard, until
from test_http import lines, living

from kws.flow import Block
from kws.serve.feed import Feed
from kws.serve.live import Tap


def settings(folder, more=""):
    return f'[http]\nport = 0\n{more}\n[record]\nfolder = "{folder}/kept"\nafter_s = 0.1\n'


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("live")
    with living(folder, settings(folder)) as it:
        yield it
        assert it.failure is None


@contextmanager
def looking(home):
    """Follow what is live; messages as they come."""
    with home.connected() as connection:
        connection.request("GET", "/v1/live")
        answer = connection.getresponse()
        assert answer.getheader("content-type").startswith("text/event-stream")
        yield lines(answer)


def first(messages, kind):
    """Return the first message of a kind, of a minute's."""
    return next(each for each in islice(messages, 600) if each["type"] == kind)


def status(home, path):
    """Return how a request is answered, which may be without an end."""
    with home.connected() as connection:
        connection.request("GET", path)
        return connection.getresponse().status


def kept(home):
    path = home.path.with_suffix(".thresholds.json")
    return json.loads(path.read_text()) if path.exists() else {}


def asked(home, levels, **headers):
    status, _, answer = home.ask("POST", "/v1/thresholds", json.dumps(levels), **headers)
    return status, answer


# -- what is live ---------------------------------------------------------------------------


def test_who_looks_on_is_told_first_what_is_listened_for(home):
    with looking(home) as messages:
        first = next(messages)

    assert first["type"] == "setup"
    assert first["microphones"] == ["microphone"]
    assert {each["name"]: each["role"] for each in first["keywords"]} == {
        "yes": "keyword", "no": "keyword", "jarvis": "wake",
    }  # fmt: skip
    assert first["thresholds"].keys() == {"yes", "no", "jarvis"}
    assert first["recording"] is True


def test_scores_are_those_that_were_compared_and_come_ten_times_a_second(home):
    with looking(home) as messages:
        found = list(islice(messages, 4))
        home.microphone.say("yes")
        found += islice(messages, 20)
    glances = [each for each in found if each["type"] == "live"]
    word = next(each for each in found if each["type"] == "detection")
    at = [moment for each in glances for moment in each["at"]]
    scores = dict(zip(at, (s for each in glances for s in each["scores"]["yes"]), strict=True))

    assert np.diff([each["time_s"] for each in glances]) == pytest.approx(0.1, abs=0.021)
    assert np.diff(at) == pytest.approx(0.02, abs=0.001)  # a hop
    assert scores[word["time_s"]] == pytest.approx(word["score"], abs=1e-4)
    assert max(each["level_db"] for each in glances) > -20 > min(e["level_db"] for e in glances)
    assert {each["gate_open"] for each in glances} == {True}
    assert all(each["scores"].keys() == {"yes", "no", "jarvis"} for each in glances)


def test_nothing_is_gathered_while_nobody_looks():
    """The hearing thread then asks its spotter nothing."""
    feed, block = Feed(), Block(np.zeros(RATE, np.float32), 0, RATE)
    Tap("kitchen", feed).heard(None, block, scored=True)

    feed._followers.append(None)
    with pytest.raises(AttributeError):
        Tap("kitchen", feed).heard(None, block, scored=True)


def test_a_new_config_is_told_to_who_looks_on(tmp_path):
    with living(tmp_path) as home, looking(home) as messages:
        assert next(messages)["thresholds"]["no"] == 0.6
        home.path.write_text(
            f'[[model]]\npath = "{tmp_path}/tones.onnx"\nthresholds = {{ no = 0.8 }}\n'
            "[http]\nport = 0\n"
        )
        home.daemon.reload()
        again = first(messages, "setup")

        assert again["thresholds"] == {"yes": 0.6, "no": 0.8, "jarvis": 0.6}


def test_a_silent_microphone_gives_signs_of_life_only(home):
    """So that who looks on tells a daemon that is dead from one that hears nothing."""
    with home.connected() as connection:
        connection.request("GET", "/v1/live")
        answer = connection.getresponse()
        home.microphone.mute.set()
        try:
            last = deque(maxlen=6)  # three messages
            until(lambda: last.append(answer.readline()) or {*last} == {b": alive\n", b"\n"})
        finally:
            home.microphone.mute.clear()


def test_looking_on_counts_as_following(tmp_path):
    with living(tmp_path, "[http]\nport = 0\nconnections = 4\n") as home:
        with looking(home) as one, looking(home) as two:
            next(one), next(two)
            assert status(home, "/v1/live") == status(home, "/v1/events") == 503
            assert home.ask("GET", "/v1/models")[0] == 200
        until(lambda: not home.daemon._house.live.followers)


# -- thresholds -----------------------------------------------------------------------------


def test_a_threshold_holds_at_once_without_a_reset(home):
    """The spotter stays the one that it was, with all that it has heard."""
    (listener,) = home.daemon._ears._listeners.values()
    spotter, heard_s = listener._hearing.spotter, listener._hearing.spotter.stats.audio_s
    words = len(home.daemon._house.shelf.words)
    with looking(home) as messages:
        next(messages)
        assert asked(home, {"yes": 1})[0] == 200
        told = first(messages, "thresholds")
        home.microphone.say("yes", "no")
        until(lambda: len(home.daemon._house.shelf.words) > words)
        asked(home, {"yes": 0.7})
        home.microphone.say("yes")
        until(lambda: len(home.daemon._house.shelf.words) > words + 1)
    found = home.daemon._house.shelf.words[:2]

    assert told["thresholds"]["yes"] == 1
    assert [(word.keyword, word.threshold) for word in found] == [("yes", 0.7), ("no", 0.6)]
    assert listener._hearing.spotter is spotter
    assert spotter.stats.audio_s > heard_s


def test_thresholds_are_kept_beside_the_config(tmp_path):
    """For the next start and a new config; what else the file says stays said."""
    path = tmp_path / "kws.thresholds.json"
    path.write_text('{"thresholds": {"no": 0.9}, "decision": {"release_s": 0.3}}')
    with living(tmp_path) as home:
        before = home.ask("GET", "/v1/thresholds")[2]
        status, answer = asked(home, {"yes": 0.25})
        built = home.daemon._built
        home.daemon.reload()
        until(lambda: home.daemon._built is not built)
        after = home.ask("GET", "/v1/thresholds")[2]
    with living(tmp_path) as home:
        again = home.ask("GET", "/v1/thresholds")[2]

    assert before["thresholds"] == {"yes": 0.6, "no": 0.9, "jarvis": 0.6}
    assert status == 200
    assert answer == after == again
    assert answer == {
        "thresholds": {"yes": 0.25, "no": 0.9, "jarvis": 0.6},
        "sensitivity": {"yes": 77.1, "no": 17.7, "jarvis": 50.0},
        "kept_in": str(path), "set_by_config": [], "note": None,
    }  # fmt: skip
    assert json.loads(path.read_text()) == {
        "thresholds": {"no": 0.9, "yes": 0.25}, "decision": {"release_s": 0.3},
    }  # fmt: skip
    assert [each.name for each in tmp_path.glob("*thresholds*")] == [path.name]


def test_a_sensitivity_holds_and_is_kept_in_place_of_a_threshold(tmp_path):
    """And the other way round: the last that was said of a word counts, after a new start too."""
    path = tmp_path / "kws.thresholds.json"
    path.write_text('{"thresholds": {"no": 0.9}}')
    with living(tmp_path) as home:
        with looking(home) as messages:
            assert next(messages)["sensitivity"] == {"yes": 50, "no": 17.7, "jarvis": 50}
            status, answer = asked(home, {"sensitivity": {"yes": 75, "no": 50}})
            told = first(messages, "thresholds")
        kept_at_first = kept(home)
        [spotter] = [each._hearing.spotter for each in home.daemon._ears._listeners.values()]
        until(lambda: spotter.thresholds == answer["thresholds"])
        asked(home, {"thresholds": {"yes": 0.7}, "sensitivity": {"yes": 75, "jarvis": 100}})
    with living(tmp_path) as home:
        again = home.ask("GET", "/v1/thresholds")[2]

    assert (status, answer["note"]) == (200, None)
    assert answer["sensitivity"] == told["sensitivity"] == {"yes": 75, "no": 50, "jarvis": 50}
    assert answer["thresholds"] == {
        "yes": pytest.approx(1.5 / (1.5 + 4)), "no": 0.6, "jarvis": 0.6
    }  # fmt: skip
    assert kept_at_first == {"sensitivity": {"yes": 75, "no": 50}}
    assert again["thresholds"]["yes"] == 0.7
    assert again["sensitivity"] == {"yes": pytest.approx(42.0, abs=0.1), "no": 50, "jarvis": 100}


def test_of_what_was_answered_the_level_that_was_changed_holds(tmp_path):
    """A client may send all of it back; what it did not change is not kept either."""
    with living(tmp_path) as home:
        asked(home, {"sensitivity": {"no": 60}})
        before = home.ask("GET", "/v1/thresholds")[2]
        same = asked(home, before)
        kept_when_same = kept(home)
        eager = asked(home, {**before, "sensitivity": {**before["sensitivity"], "yes": 75}})
        strict = asked(home, {**eager[1], "thresholds": {**eager[1]["thresholds"], "no": 0.9}})
        changed = {"thresholds": {"no": 0.8}, "sensitivity": {"no": 70}}
        refused, why = asked(home, changed)
        after = home.ask("GET", "/v1/thresholds")[2]

    assert (same[0], same[1]) == (200, before)
    assert kept_when_same == {"sensitivity": {"no": 60}}
    assert eager[1]["sensitivity"] == {**before["sensitivity"], "yes": 75}
    assert eager[1]["thresholds"]["no"] == before["thresholds"]["no"]
    assert strict[1]["thresholds"] == {**eager[1]["thresholds"], "no": 0.9}
    assert (refused, why) == (
        422,
        {
            "error": "no: the threshold 0.8 and the sensitivity 70 contradict each other; "
            "give one of them"
        },
    )
    assert after == strict[1]
    assert kept(home) == {"thresholds": {"no": 0.9}, "sensitivity": {"yes": 75}}


def test_the_config_may_name_the_file(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text("{}")
    with living(tmp_path, f'[listen]\noverrides = "{path}"\n[http]\nport = 0\n') as home:
        assert asked(home, {"yes": 0.25})[1]["kept_in"] == str(path)

    assert json.loads(path.read_text()) == {"thresholds": {"yes": 0.25}}


def test_what_the_config_sets_is_said_to_win_at_the_next_start(tmp_path):
    with living(tmp_path) as home:
        home.path.write_text(
            f'[[model]]\npath = "{tmp_path}/tones.onnx"\nthresholds = {{ yes = 0.8 }}\n'
            "[http]\nport = 0\n"
        )
        home.daemon.reload()
        until(lambda: home.ask("GET", "/v1/thresholds")[2]["set_by_config"] == ["yes"])
        _, yes = asked(home, {"yes": 0.25})
        _, no = asked(home, {"no": 0.25})

    assert yes["thresholds"]["yes"] == 0.25
    assert yes["note"] == "the config sets yes itself: this holds until it is read again"
    assert no["note"] is None


def test_a_file_that_can_not_be_written_is_told(tmp_path):
    """The threshold holds nevertheless."""
    (tmp_path / "kws.thresholds.json").write_text("{}")
    with living(tmp_path) as home:
        (tmp_path / "kws.thresholds.json").write_text("nonsense")
        status, answer = asked(home, {"yes": 0.25})

    assert (status, answer["thresholds"]["yes"]) == (200, 0.25)
    assert re.match("not kept: .*kws.thresholds.json: is no override file", answer["note"])
    assert (tmp_path / "kws.thresholds.json").read_text() == "nonsense"


@pytest.mark.parametrize(
    ("body", "status", "why"),
    [
        (b"", 422, "makes no sense"),
        (b"nonsense", 422, "makes no sense"),
        (b"[]", 422, "makes no sense"),
        (b"{}", 422, "makes no sense"),
        (b'{"yes": 1.01}', 422, "makes no sense"),
        (b'{"yes": -0.1}', 422, "makes no sense"),
        (b'{"yes": NaN}', 422, "makes no sense"),
        (b'{"yes": true}', 422, "makes no sense"),
        (b'{"yes": "0.5"}', 422, "makes no sense"),
        (b'{"no": 0.1, "yess": 0.5}', 422, "unknown keyword 'yess'; did you mean yes"),
        (b'{"_rest_": 0.5}', 422, "unknown keyword '_rest_'"),
        (b'{"sensitivity": {"yes": 101}}', 422, "makes no sense"),
        (b'{"sensitivity": {}}', 422, "makes no sense"),
        (b'{"sensitivity": {"yes": 50}, "no": 0.5}', 422, "makes no sense"),
        (b'{"thresholds": {"yes": null}}', 422, "makes no sense"),
        (b'{"sensitivity": {"yess": 50}}', 422, "unknown keyword 'yess'; did you mean yes"),
        (b'{"x": 0.5}' + b" " * 100_000, 413, "longer than 100000 bytes"),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_what_is_no_threshold_changes_nothing(home, body, status, why):
    before, file = home.ask("GET", "/v1/thresholds")[2], kept(home)
    found, _, answer = home.ask("POST", "/v1/thresholds", body)

    assert (found, list(answer)) == (status, ["error"])
    assert why in answer["error"]
    assert "\n" not in answer["error"]
    assert home.ask("GET", "/v1/thresholds")[2] == before
    assert kept(home) == file


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:1"])
def test_a_foreign_page_changes_nothing(home, origin):
    before = home.ask("GET", "/v1/thresholds")[2]

    assert asked(home, {"no": 0.1}, Origin=origin)[0] == 403
    assert asked(home, {"no": 0.1}, Host="evil.example")[0] == 421
    assert home.ask("GET", "/v1/thresholds")[2] == before


# -- recordings, cards, the page ------------------------------------------------------------


def audio(home, name):
    """Return the status, and what a recording holds."""
    with home.connected() as connection:
        connection.request("GET", f"/v1/recordings/{name}")
        answer = connection.getresponse()
        return answer.status, answer.getheader("content-type"), answer.read()


def test_a_words_audio_can_be_fetched_by_the_name_that_it_was_given(home):
    with looking(home) as messages:
        home.microphone.say("jarvis")
        word = first(messages, "detection")
    until(lambda: audio(home, word["recording_id"])[0] == 200)
    _, kind, content = audio(home, word["recording_id"])
    samples, rate = soundfile.read(io.BytesIO(content))

    assert home.ask("GET", "/v1/detections")[2][0] == word
    assert (kind, rate, content[:4]) == ("audio/flac", RATE, b"fLaC")
    spectrum = np.abs(np.fft.rfft(samples))
    assert np.argmax(spectrum) * rate / len(samples) == pytest.approx(models.TONES["jarvis"], abs=9)


def test_no_name_of_a_recording_leads_to_another_file(home):
    home.microphone.say("no")
    until(lambda: home.ask("GET", "/v1/detections")[2])
    word = home.ask("GET", "/v1/detections")[2][0]
    path = word["recording"]
    for name in "x", "..", "%2e%2e", "..%2f..%2fkws.toml", path, path.replace("/", "%2f"), "":
        assert audio(home, name)[0] == 404
    until(lambda: audio(home, word["recording_id"])[0] == 200)
    (home.folder / path).unlink()

    assert audio(home, word["recording_id"])[0] == 404


def test_the_shelf_is_bounded(home):
    (home.folder / "kept.flac").write_bytes(b"fLaC")
    shelf = home.daemon._house.shelf
    shelf.put(heard(recording=str(home.folder / "kept.flac"), recording_id="given"))
    assert audio(home, "given")[0] == 200
    for _ in range(250):
        shelf.put(heard())

    assert len(shelf.words) == 200
    assert audio(home, "given")[0] == 404


def test_cards_are_those_of_the_models_that_hear(home):
    (card,) = home.ask("GET", "/v1/models")[2]

    assert (card["file"], card["family"], card["sample_rate"]) == ("tones.onnx", "tones", RATE)
    assert card["thresholds"]["yes"] == {"value": 0.6}
    assert {"name": "_rest_"} in card["labels"]
    assert not {"self_test", "gate_model", "network"} & card.keys()


def test_the_page_is_its_own_and_may_ask_nobody_else(home):
    status, headers, text = home.ask("GET", "/")
    policy = headers["content-security-policy"]
    parts = re.findall(r'(?:href|src)="(page/[^"]*)"', text)

    assert status == 200
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert len(parts) == 3
    for part in parts:
        found, headers, text = home.ask("GET", f"/{part}")
        assert (found, headers["content-security-policy"]) == (200, policy)
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|\beval\(|innerHTML", text)
    assert home.ask("GET", "/page/index.html")[0] == 404
    assert home.ask("GET", "/page/../house.py")[0] == 404
    assert home.ask("POST", "/")[0] == 405


def test_all_that_can_be_asked_is_described(home):
    described = home.ask("GET", "/openapi.json")[2]["paths"]
    app = home.daemon._network._web._server._server.config.app._app
    routes = {
        (route.path, method.lower())
        for route in app.routes
        for method in getattr(route, "methods", ())
        if method != "HEAD"
    }
    page = {path for path, _ in routes if path == "/" or path.startswith("/page/")}

    found = {(path, method) for path, methods in described.items() for method in methods}
    assert found == {each for each in routes if each[0] not in {*page, "/openapi.json"}}


def test_only_the_page_itself_comes_without_the_token(tmp_path):
    (tmp_path / "token").write_text("a-token-that-is-long-enough")
    with living(tmp_path, f'[http]\nport = 0\ntoken_file = "{tmp_path}/token"\n') as home:
        for path in "/", "/page/page.js", "/page/page.css", "/page/icon.svg":
            assert home.ask("GET", path)[0] == 200
            assert home.ask("GET", path, Host="evil.example")[0] == 421
            assert home.ask("GET", path, Origin="http://evil.example")[0] == 403
        for path in "/page/", "/page/nothing", "/page", "//", "/v1/live", "/page/../v1/models":
            assert status(home, path) == 401
        assert asked(home, {"yes": 0})[0] == 401
