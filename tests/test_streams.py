"""Evaluating streams: what was worked out on paper, by hand and by the command."""

import itertools
import json
import re

import models
import numpy as np
import pytest
import soundfile
from command import kws, model

from kws import load
from kws.errors import DataError
from kws.evaluate import hearing as hearings
from kws.evaluate.again import Again
from kws.evaluate.match import Fired, Word
from kws.evaluate.streams import Streams
from kws.evaluate.truthfile import Truth, read_truth, truth, write_truth
from kws.flow import Detection, GateChanged, Scores
from kws.sources.file import AudioFile
from kws.spotter import Spotter
from kws.thresholds import Settings

__all__ = ["kws", "model"]

TONE_S = 0.3
"""A tone fires with its third hop of 20 ms, 0.24 s before it ends: powers over one, two, three of
four hops score 0.38, 0.98, 1.00, whose mean is the first to pass 0.6."""


def recording(path, seconds, tones):
    """Write quiet noise with tones in it: (keyword, start in seconds, amplitude)."""
    audio = models.noise(seconds)
    for keyword, start, amplitude in tones:
        at = round(start * models.RATE)
        tone = models.tone(keyword, TONE_S, amplitude=amplitude)
        audio[at : at + len(tone)] += tone
    soundfile.write(path, audio, models.RATE)
    return path


@pytest.fixture
def paper(tmp_path):
    """A stream with ten events, its truth with nine words, and 36 s without words.

    Seven words are heard, one of them twice; "no" is missed at 8 s (nothing sounds) and at 10 s
    ("yes" sounds); nobody said the "no" at 14 s. Without words: one loud tone, two faint ones.
    """
    events = [
        ("yes", 1), ("no", 3), ("yes", 5), ("yes", 5.8), ("yes", 10), ("jarvis", 12),
        ("no", 14), ("yes", 16), ("no", 18), ("jarvis", 20),
    ]  # fmt: skip
    words = [
        ("yes", 1), ("no", 3), ("yes", 5), ("no", 8), ("no", 10), ("jarvis", 12),
        ("yes", 16), ("no", 18), ("jarvis", 20),
    ]  # fmt: skip
    recording(tmp_path / "stream.wav", 24, [(word, start, 0.3) for word, start in events])
    said = [Word(label, start, start + TONE_S, start != 16) for label, start in words]
    write_truth(tmp_path / "stream.json", truth(said, 24))
    alarms = [("yes", 5, 0.3), ("yes", 15, 0.2), ("no", 25, 0.2)]
    (tmp_path / "without").mkdir()
    recording(tmp_path / "without" / "a.wav", 36, alarms)
    return tmp_path


def measured(kws, model, paper, *more):
    """Run the command over the paper stream; return its JSON."""
    done = kws(
        *["eval", "--stream", paper / "stream.wav", "--truth", paper / "stream.json"],
        *["--negatives", paper / "without", "--model", model, "--json", *more],
    )
    assert (0, "") == (done.code, done.err)
    return json.loads(done.out)


def test_a_stream_of_ten_events_gives_what_was_worked_out_on_paper(kws, model, paper):
    """Misses, duplicates, events elsewhere, false alarms, delays: together and by keyword."""
    found = measured(kws, model, paper)["streams"]
    shipped = found["shipped"]

    assert (2, 9) == (shipped["misses"]["hits"], shipped["misses"]["count"])
    assert 2 / 9 == pytest.approx(shipped["misses"]["value"], abs=1e-5)
    assert (0.0632, 0.5474) == pytest.approx(
        (shipped["misses"]["low"], shipped["misses"]["high"]), abs=1e-4
    )
    assert (1, 2) == (shipped["duplicates"], shipped["elsewhere"])
    assert (3, 0.01, 300) == tuple(
        shipped["false_alarms"][k] for k in ("events", "hours", "per_hour")
    )
    assert (61.9, 876.7) == pytest.approx(
        (shipped["false_alarms"]["low"], shipped["false_alarms"]["high"]), abs=0.1
    )
    assert (-240, -240) == (shipped["delay_ms_p50"], shipped["delay_ms_p95"])
    yes, no, jarvis = (shipped["keywords"][name] for name in ("yes", "no", "jarvis"))
    assert [(0, 3), (2, 4), (0, 2)] == [
        (one["misses"]["hits"], one["misses"]["count"]) for one in (yes, no, jarvis)
    ]
    assert [1, 0, 0] == [one["duplicates"] for one in (yes, no, jarvis)]
    assert [2, 1, 0] == [one["false_alarms"]["events"] for one in (yes, no, jarvis)]
    assert [(8.0, "no"), (10.0, "no")] == sorted(
        (wrong["start_s"], wrong["keyword"]) for wrong in found["missed"]
    )
    alarms = [(wrong["keyword"], wrong["start_s"]) for wrong in found["false_alarms"]]
    assert ("yes", pytest.approx(5, abs=0.1)) == alarms[0]  # the loud one is the worst
    assert ["no", "yes"] == sorted(keyword for keyword, _ in alarms[1:])
    assert [] == found["points"]  # 2 an hour is nothing that 36 seconds can speak of


def streams(folder, file, negatives=("without",)):
    """The paper stream, heard by a model."""
    loaded = load(file)
    hearing = hearings.Hearing([loaded], Settings([loaded.card]))
    paths = [folder / "stream.wav", *hearings.audio_files([folder / name for name in negatives])]
    heard = [found for _, found in hearing.hear(paths)]
    return Streams(
        [loaded], hearing.settings, heard[0], read_truth(folder / "stream.json"), heard[1:]
    )


def test_a_rate_is_met_by_moving_all_thresholds(model, paper):
    """Faint tones score 0.953: one alarm in 36 s is 100 an hour, over their log-odds."""
    found = streams(paper, model)
    one, two = found.points([100, 300])

    assert (1, 3) == (one.false_alarms.events, two.false_alarms.events)
    logit = np.log(0.953 / 0.047) - np.log(0.6 / 0.4)
    assert logit == pytest.approx(one.step, abs=0.15)
    assert (2, 9) == (one.misses.hits, one.misses.count)
    assert two.step < one.step


def test_the_curve_falls_as_thresholds_rise(model, paper):
    """Steps from low to high; never more alarms, never fewer misses."""
    curve = streams(paper, model).curve()

    assert sorted(step.step for step in curve) == [step.step for step in curve]
    assert all(
        a.false_alarms.events >= b.false_alarms.events and a.misses.hits <= b.misses.hits
        for a, b in itertools.pairwise(curve)
    )


def test_thresholds_for_a_rate_become_an_override_file(kws, model, paper):
    """What was chosen is written; `spot` reads it."""
    out = paper / "chosen.json"
    found = measured(kws, model, paper, "--target-fa", "250", "-o", out)
    chosen = found["chosen"]
    spotted = kws("spot", "--model", model, "--overrides", out, paper / "without" / "a.wav")

    assert json.loads(out.read_text()) == {"thresholds": chosen["thresholds"]}
    assert 250 == chosen["per_hour"]
    assert chosen["point"]["false_alarms"]["events"] == len(spotted.out.splitlines())
    assert (2, 9) == (chosen["point"]["misses"]["hits"], chosen["point"]["misses"]["count"])


def test_thresholds_for_a_rate_are_written_into_the_card(kws, paper, tmp_path):
    """The graph stays as it is; the card says on how much audio they were found."""
    own = models.write(tmp_path / "own.onnx")
    tone = models.tone("yes", models.HOP / models.RATE)[None]
    before = load(own).run(tone)[0]
    found = measured(kws, own, paper, "--target-fa", "250", "--write-thresholds")
    card = load(own).card

    assert np.array_equal(before, load(own).run(tone)[0])
    assert found["chosen"]["thresholds"] == {n: t.value for n, t in card.thresholds.items()}
    assert 0.01 == card.thresholds["yes"].false_alarms.hours
    assert models.LABELS == card.labels


def bursts(path, seed):
    """Tones at random, in noise that the gate opens for now and then."""
    rng = np.random.default_rng(seed)
    audio = models.noise(20, amplitude=0.0005, seed=seed)
    for start in np.sort(rng.uniform(0.5, 18, 12)):
        at = round(start * models.RATE)
        tone = models.tone(rng.choice(["yes", "no", "jarvis"]), rng.uniform(0.05, 0.5))
        audio[at : at + len(tone)] += tone * rng.uniform(0.3, 1.2)
    soundfile.write(path, audio, models.RATE, subtype="FLOAT")
    return path


@pytest.mark.parametrize("kind", ["stream", "window"])
@pytest.mark.parametrize("gate", ["webrtc", "none"])
def test_a_replay_is_what_a_spotter_hears(tmp_path, kind, gate):
    """Scores that lie ready, gate and decision run over them: the same events at the same time."""
    own = models.write(tmp_path / "own.onnx", models.card(kind))
    loaded = load(own)
    hearing = hearings.Hearing([loaded], Settings([loaded.card]), gate)
    again = Again([loaded.card], hearing.settings.rules, hearing.settings.roles)
    opened = 0
    for seed in range(4):
        path = bursts(tmp_path / f"{seed}.wav", seed)
        live = list(Spotter(loaded, gate=gate).events(AudioFile(path)))
        ((_, heard),) = hearing.hear([path])
        told = [event for event in live if isinstance(event, Detection)]
        hops = [event for event in live if isinstance(event, Scores)]
        replayed = [event for event in heard.heard.events if isinstance(event, Scores)]
        opened += sum(isinstance(event, GateChanged) for event in live)

        assert [(e.keyword, e.start, e.end, e.time, e.score) for e in told] == [
            (e.keyword, e.start, e.end, e.time, e.score) for e in heard.detections
        ]
        assert [(e.start, e.end) for e in hops] == [(e.start, e.end) for e in replayed]
        assert all(
            np.allclose(a.values, b.values, atol=1e-5) for a, b in zip(hops, replayed, strict=True)
        )
        fired = again.fired(
            again.prepare(heard.heard, dict.fromkeys(models.TONES, 0.1)), hearing.settings.levels
        )
        assert [Fired(e.keyword, e.time_s) for e in told] == fired
        assert told
    assert (opened > 4) == (gate == "webrtc")


@pytest.mark.parametrize("level", [0.2, 0.6, 0.9])
def test_deciding_again_is_deciding_anew(tmp_path, model, level):
    """At any threshold: what a fresh decision fires over every single hop."""
    loaded = load(model)
    path = bursts(tmp_path / "x.wav", 9)
    levels = dict.fromkeys(models.TONES, level)
    ((_, heard),) = hearings.Hearing([loaded], Settings([loaded.card]), "webrtc").hear([path])
    settings = Settings([loaded.card], threshold=level)
    again = Again([loaded.card], settings.rules, settings.roles)
    live = Spotter(loaded, gate="webrtc", threshold=level).events(AudioFile(path))

    fired = again.fired(again.prepare(heard.heard, dict.fromkeys(levels, 0.1)), levels)

    assert [Fired(e.keyword, e.time_s) for e in live if isinstance(e, Detection)] == fired
    assert fired


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seconds": 30.0}, "lasts 24.00 s, its truth file speaks of 30.00 s"),
        ({"words": []}, r"holds none of yes, no, jarvis \(it holds nothing\)"),
    ],
)
def test_a_truth_that_is_not_the_recordings_is_refused(kws, model, paper, change, said):
    """One line, exit code 2."""
    whole = json.loads((paper / "stream.json").read_text())
    (paper / "stream.json").write_text(json.dumps(whole | change))

    done = kws(
        "eval", "--stream", paper / "stream.wav", "--truth", paper / "stream.json", "--model", model
    )

    assert (2, 1) == (done.code, done.err.count("\n"))
    assert re.search(said, done.err)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "nothing to measure: give --clips DIR"),
        (["--stream", "x.wav"], "which words does it hold? give --truth"),
        (["--negatives", "x"], "which recording? give --stream"),
        (["--stream", "x.wav", "--truth", "x.json", "--target-fa", "1", "-o", "y"], "--negatives"),
        (["--stream", "x.wav", "--truth", "x.json", "-o", "y"], "thresholds for which rate?"),
        (["--stream", "x.wav", "--truth", "x.json"], "x.json: can't be read"),
        (["--simulate", "x.flac"], "of which clips? give --clips"),
    ],
)
def test_wrong_questions_get_their_line(kws, model, options, said):
    """What is missing, and how to give it."""
    done = kws("eval", "--model", model, *options)

    assert (2, "", 1) == (done.code, done.out, done.err.count("\n"))
    assert said in done.err


def test_a_rate_that_the_hours_cannot_support_is_refused(kws, model, paper):
    """36 seconds say nothing of one false alarm an hour."""
    done = kws(
        *[
            "eval",
            "--stream",
            paper / "stream.wav",
            "--truth",
            paper / "stream.json",
            "--model",
            model,
        ],
        *["--negatives", paper / "without", "--target-fa", "1", "-o", paper / "x.json"],
    )

    assert 2 == done.code
    assert "0.01 h of audio without keywords can't support 1 false alarms an hour" in done.err
    assert not (paper / "x.json").exists()


def test_negatives_that_fail_are_listed_and_the_rest_counts(kws, model, paper):
    """A broken file among them is named; the hours are those that were heard."""
    (paper / "without" / "b.wav").write_text("no audio at all")

    done = kws(
        *[
            "eval",
            "--stream",
            paper / "stream.wav",
            "--truth",
            paper / "stream.json",
            "--model",
            model,
        ],
        *["--negatives", paper / "without", "--json"],
    )
    found = json.loads(done.out)["streams"]

    assert 0 == done.code
    assert "b.wav" in done.err
    assert [str(paper / "without" / "b.wav")] == list(found["failed"])
    assert 0.01 == found["negative_hours"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no json", "is no truth file"),
        ('{"version": 2, "seconds": 1, "words": []}', "has version 2"),
        (
            '{"version": 1, "seconds": 1, "words": [{"label": "a", "start_s": 1, "end_s": 0.5}]}',
            "ends before",
        ),
        (
            '{"version": 1, "seconds": 1, "words": [{"label": "a", "start_s": 2, "end_s": 3}]}',
            "outside",
        ),
    ],
)
def test_a_truth_file_that_makes_no_sense_is_refused(tmp_path, text, said):
    """What is wrong, and where."""
    (tmp_path / "t.json").write_text(text)

    with pytest.raises(DataError, match=said):
        read_truth(tmp_path / "t.json")


def test_a_truth_file_comes_back_as_it_was_written(tmp_path):
    """Words, length, recipe and seed."""
    made = truth(
        [Word("yes", 1.0, 1.5), Word("no", 2.0, 2.25, clear=False)], 3.0, recipe="clean", seed=1
    )
    write_truth(tmp_path / "t.json", made)

    assert made == read_truth(tmp_path / "t.json")
    assert isinstance(made, Truth)
    assert [Word("no", 2.0, 2.25, clear=False)] == made.of(["no"])
