"""The verifier measured: what `kws eval` and `kws spot` say is what a spotter does."""

import json

import models as tones
import numpy as np
import pytest
from command import keywords, kws, model, words
from test_streams import measured, paper, recording

from kws.card import Threshold
from kws.evaluate import hearing as hearings
from kws.evaluate.drawing.excerpt import hear
from kws.evaluate.streams import Streams
from kws.evaluate.truthfile import read_truth
from kws.flow import Detection
from kws.session import load
from kws.sources.file import AudioFile
from kws.spotter import Spotter
from kws.thresholds import Settings
from kws.verification import BUNDLED_VERIFIER, choose, joint_cards

__all__ = ["kws", "model", "paper", "words"]


@pytest.fixture
def verifier(tmp_path):
    """A verifier that lets faint tones pass no more than the second of their names."""
    rules = {"first_weight": 0.0, "thresholds": {"yes": Threshold(0.96), "no": Threshold(0.6)}}
    return str(tones.write(tmp_path / "v.onnx", tones.verifier_card(**rules), hops=10))


def heard_by(model, verifier, folder):
    """Return first stage, verifier, settings, and what was heard of the paper stream."""
    first = load(model)
    pair = choose(load(verifier), [first], tones.TONES)
    settings = Settings(joint_cards([first], pair))
    hearing = hearings.Hearing([first], settings, verifier=pair)
    paths = [folder / "stream.wav", *hearings.audio_files([folder / "without"])]
    return first, pair, settings, [found for _, found in hearing.hear(paths)]


def test_what_is_replayed_is_what_a_spotter_does(model, verifier, paper):
    first, pair, settings, heard = heard_by(model, verifier, paper)
    path = paper / "stream.wav"
    live = list(Spotter(first, verify=pair.model).events(AudioFile(path)))
    found = Streams(
        [first], settings, heard[0], read_truth(path.with_suffix(".json")), heard[1:], verifier=pair
    )

    def told(events):
        return [(e.keyword, e.time, e.score) for e in events if isinstance(e, Detection)]

    assert told(live) == told(heard[0].heard.events) != []
    for levels in ({}, {"yes": 0.3, "no": 0.97}, {"jarvis": 0.999}):
        spotter = Spotter(first, verify=pair.model, threshold=levels)
        events = [e for e in spotter.events(AudioFile(path)) if isinstance(e, Detection)]
        again = found._again.fired(found._said, spotter.thresholds)
        assert [(e.keyword, e.time_s) for e in events] == [(e.keyword, e.time_s) for e in again]


def test_eval_measures_both_stages(kws, model, verifier, paper):
    """The faint false alarm that the verifier refuses is none; delays are longer."""
    alone = measured(kws, model, paper)["streams"]["shipped"]
    both = measured(kws, model, paper, "--verify", verifier)["streams"]["shipped"]

    assert both["keywords"]["yes"]["threshold"] == 0.96
    assert both["misses"] == alone["misses"]
    assert (alone["false_alarms"]["events"], both["false_alarms"]["events"]) == (3, 2)
    assert alone["delay_ms_p50"] < both["delay_ms_p50"]


def test_spot_verifies(kws, model, verifier, words):
    alone = kws("spot", words, "--model", model)
    both = kws("spot", words, "--model", model, "--verify", verifier)
    none = kws("spot", words, "--model", model, "--verify", "none")

    assert keywords(both) == keywords(alone) == ["yes", "no", "yes"]
    assert none.out == alone.out != both.out
    shared = kws("spot", words, "--model", model, "--verify", verifier, "--workers", 2)
    assert shared.out == both.out


def test_thresholds_are_found_for_the_joined_score(kws, model, verifier, paper, tmp_path):
    out = tmp_path / "found.json"
    recording(paper / "without" / "b.wav", 20, [("no", 5, 0.158)])
    found = measured(
        *[kws, model, paper, "--verify", verifier, "--target-fa", 100, "--out", out],
    )["chosen"]

    assert json.loads(out.read_text())["thresholds"] == found["thresholds"]
    assert found["point"]["false_alarms"]["events"] <= 1


def test_thresholds_of_the_pair_go_into_the_verifiers_card(kws, verifier, paper, tmp_path):
    """For this first stage, whose own card stays as it was."""
    own = tones.write(tmp_path / "own.onnx")
    before = own.read_bytes()
    found = measured(
        *[kws, own, paper, "--verify", verifier, "--target-fa", 100, "--write-thresholds"],
    )["chosen"]
    written = load(verifier).card.verification

    assert own.read_bytes() == before
    assert written.first_stage == load(own).sha256
    assert {name: t.value for name, t in written.thresholds.items()} == found["thresholds"]
    assert written.thresholds["yes"].false_alarms.events == found["point"]["false_alarms"]["events"]
    assert Spotter(load(own), verify=verifier).thresholds == found["thresholds"]


def test_info_prints_how_it_verifies(kws, verifier):
    done = kws("info", verifier)
    plain = kws("info", tones.write(verifier.replace("v.onnx", "w.onnx")))

    assert (
        "verifies         any first stage: log-odds 1 x its own + 0 x the first's +0; " in done.out
    )
    assert "the mean of 2 calls, every 0.08 s, at most 6 a second" in done.out
    assert "verified         yes, threshold 0.96" in done.out
    assert "\nverifie" not in plain.out
    bundled = kws("info", BUNDLED_VERIFIER).out
    assert 2 == bundled.count(" together: ")  # ten commands and three wake words have a rate each
    assert json.loads(kws("info", verifier, "--json").out)["verification"]["first_weight"] == 0


def test_plot_draws_both_stages(kws, model, verifier, words, tmp_path):
    out = tmp_path / "picture.svg"
    done = kws("plot", words, "--model", model, "--verify", verifier, "-o", out)
    spotter = Spotter(load(model), verify=verifier)
    [excerpt] = hear(spotter, words)
    scored = np.isfinite(excerpt.score("yes"))

    assert done.code == 0
    assert "first stage alone" in out.read_text()
    assert (excerpt.first("yes")[scored] > 0.9).any()
    shot = next(shot for shot in excerpt.fired if shot.keyword == "yes")
    assert shot.score == excerpt.score("yes")[excerpt.ends_s == shot.at_s][0]
    kws("plot", words, "--model", model, "-o", out)
    assert "first stage alone" not in out.read_text()


def test_tune_finds_thresholds_for_the_joined_score(kws, model, verifier, tmp_path):
    """Words so faint that the verifier is not sure lower its threshold, not the first stage's."""
    for number in range(5):
        recording(folder(tmp_path / "words" / "yes") / f"{number}.wav", 1.2, [("yes", 0.4, 0.18)])
    room = recording(folder(tmp_path / "room") / "room.wav", 10, [])
    arguments = ["tune", "--words", tmp_path / "words", "--room", room, "--model", model, "--json"]
    both = kws(*arguments, "--verify", verifier, "--out", tmp_path / "both.json")
    alone = kws(*arguments, "--out", tmp_path / "alone.json")
    found, other = (json.loads(each.out)["keywords"]["yes"] for each in (both, alone))

    assert (found["before"], other["before"]) == (0.96, 0.6)
    assert found["after"] < 0.96
    assert found["missed_before"]["hits"] == 5
    assert other["missed_before"]["hits"] == 0
    heard = kws("spot", tmp_path / "words", "--model", model, "--verify", verifier)
    tuned = kws(
        *["spot", tmp_path / "words", "--model", model, "--verify", verifier],
        *["--overrides", tmp_path / "both.json"],
    )
    assert (keywords(heard), keywords(tuned)) == ([], 5 * ["yes"])


def folder(path):
    """Make a folder."""
    path.mkdir(parents=True, exist_ok=True)
    return path


@pytest.mark.parametrize(
    ("verify", "reason"),
    [
        ("nowhere.onnx", "nowhere.onnx: no such file"),
        ("MODEL", "a stream model can't verify; take a window model"),
    ],
)
def test_a_verifier_that_can_not_be_is_one_line(kws, model, words, verify, reason):
    done = kws("spot", words, "--model", model, "--verify", model if verify == "MODEL" else verify)

    assert (done.code, done.out) == (2, "")
    assert reason in done.err
    assert done.err.count("\n") == 1
