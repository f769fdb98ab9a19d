"""The verifier: a second model judges what the first proposes, by one score and one threshold."""

import math
import re
from functools import partial

import models as tones
import numpy as np
import pytest
from models import HOP, RATE, noise, tone

import kws
from kws import verification
from kws.card import (
    Label,
    OperatingPoint,
    Rate,
    Threshold,
    Verification,
    decode,
    encode,
    replace,
)
from kws.decide import Decision
from kws.errors import CardError, ConfigError
from kws.flow import Block, Detection, Scores, VerifierFailed
from kws.session import Model, load
from kws.spotter import Spotter
from kws.steps import together
from kws.terminal import pace
from kws.verification import choose
from kws.verifier import unshifted

WIDE = 10
"""Hops of the verifier's window; the first stage's has four."""
ALL = {"yes": 0.5, "no": 0.5, "jarvis": 0.5}


@pytest.fixture
def made(tmp_path):
    """Return a verifier; write: what writes it, changes: of its card."""

    def make(name="verifier", *, write=tones.write, labels=None, **verification):
        what = tones.verifier_card(**verification)
        what = what if labels is None else replace(what, labels=labels)
        return load(write(tmp_path / f"{name}.onnx", what, hops=WIDE))

    return make


@pytest.fixture
def broken(made):
    """Return a verifier all of whose calls fail but those of silence."""
    return partial(made, "broken", write=partial(tones.write_fragile, most=1e-5))


def said(*words, pause=0.8, seconds=0.3):
    """Words with pauses around them."""
    parts = [noise(pause)]
    for word in words:
        parts += [tone(word, seconds), noise(pause)]
    return np.concatenate(parts)


def hear(spotter, sound, size=1_024):
    """Push a sound; return all events, the end's too."""
    events = []
    for at in range(0, len(sound), size):
        events += spotter.process(Block(sound[at : at + size], at, RATE))
    return events + spotter.finish()


def words(events):
    return [event.keyword for event in events if isinstance(event, Detection)]


def odds(share):
    held = min(max(float(share), 1e-6), 1 - 1e-6)
    return math.log(held / (1 - held))


# -- what is compared ------------------------------------------------------------------------


def test_one_utterance_is_one_event(models, made):
    spotter = Spotter(models["stream"], verify=made())
    events = hear(spotter, said("yes", "no", "jarvis", "no"))
    stats = spotter.stats.verifier

    assert ["yes", "no", "jarvis", "no"] == words(events)
    assert (stats.candidates, stats.verified, stats.refused) == (4, 4, 0)
    assert stats.calls >= 8
    assert (stats.skipped, stats.failures) == (0, 0)


def test_the_score_is_the_two_joined_in_log_odds(models, made):
    """Worked out again from scores and audio: weights, the highest first score, the mean."""
    rules = {"first_weight": 0.7, "verifier_weight": 0.4, "bias": 0.3, "hold_s": 0.2}
    verifier = made(**rules, every_s=0.06, calls=2, thresholds={"yes": Threshold(0.999)})
    sound = said("yes", pause=0.5)
    first = {e.end: e for e in hear(Spotter(models["stream"], verify="none"), sound) if is_hop(e)}
    pair = {e.end: e for e in hear(Spotter(models["stream"], verify=verifier), sound) if is_hop(e)}
    padded = np.concatenate([np.zeros(WIDE * HOP, np.float32), sound, np.zeros(RATE, np.float32)])
    seen, begun, calls, checked = -(10**9), None, [], 0
    for end, hop in first.items():
        seen = end if hop.smoothed[0] >= 0.2 else seen
        expected = 0.0
        if end - seen > 0.2 * RATE:
            begun, calls = None, []
        else:
            begun = end if begun is None else begun
            if (end - begun) % (3 * HOP) == 0:
                calls.append(odds(verifier.scores(padded[end : end + WIDE * HOP])[0]))
            if len(calls) >= 2:
                highest = max(
                    odds(h.smoothed[0]) for e, h in first.items() if 0 <= end - e <= 3_200
                )
                joined = 0.7 * highest + 0.4 * np.mean(calls[-2:]) + 0.3
                expected = 1 / (1 + math.exp(-joined))
                checked += 1

        assert pair[end].smoothed[0] == pytest.approx(expected, abs=1e-5)
        assert np.array_equal(pair[end].values, hop.values)
    assert checked > 10


def is_hop(event):
    return isinstance(event, Scores)


def test_what_the_first_proposes_the_second_may_refuse(models, made):
    """Its window is longer: a word too short for it stays under the joined threshold."""
    verifier = made(first_weight=0.0, thresholds={name: Threshold(0.99) for name in ALL})
    sound = said("yes", seconds=0.09)
    spotter = Spotter(models["stream"], verify=verifier)

    assert ["yes"] == words(hear(Spotter(models["stream"], verify="none"), sound))
    assert [] == words(hear(spotter, sound))
    assert spotter.stats.verifier.candidates == spotter.stats.verifier.refused == 1


def test_the_score_shown_is_the_score_compared(models, made):
    spotter = Spotter(models["stream"], verify=made(thresholds={"yes": Threshold(0.7)}))
    events = hear(spotter, said("yes") * np.float32(0.6))
    found = next(event for event in events if isinstance(event, Detection))
    hop = next(event for event in events if is_hop(event) and event.end == found.time)

    assert found.score == hop.smoothed[0] >= found.threshold == 0.7
    assert hop.smoothed[0] != pytest.approx(float(hop.values[0]), abs=1e-3)


def test_a_word_is_placed_where_the_first_stage_peaked():
    """Although the joined score rises when that has fallen again, and the next word has begun."""
    asked = []

    def locate(keyword, peak, after):
        asked.append(peak)
        return peak - HOP, peak

    card = tones.card()
    decision = Decision(
        [card], {"yes": "keyword"}, {"yes": 0.7}, locate=locate, candidates={"yes": 0.3}, hold_s=0.2
    )
    raw = [0.1, 0.5, 0.8, 0.4, 0.1, 0.1, 0.2, 0.2, 0.2] + 20 * [0.0] + [0.4, 0.6, 0.5]
    joined = [0.0, 0.0, 0.0, 0.2, 0.2, 0.6, 0.9, 0.6, 0.0] + 20 * [0.0] + [0.0, 0.9, 0.9]
    for hop, pair in enumerate(zip(raw, joined, strict=True)):
        values, smoothed = (np.array([each, 0, 0, 0], np.float32) for each in pair)
        start = hop * HOP
        decision.process([Scores(values, start, start + HOP, RATE, smoothed=smoothed)])

    assert asked == [3 * HOP, 31 * HOP]


def is_word(event):
    return isinstance(event, Detection)


def test_labels_that_the_verifier_lacks_the_first_stage_decides(models, made, tmp_path):
    labels = [Label("yes", "keyword"), Label("no", "keyword"), Label("alexa", "wake"), Label("_")]
    spotter = Spotter(models["stream"], verify=made(labels=labels), threshold={"jarvis": 0.7})
    sound = said("jarvis", "yes")
    events = hear(spotter, sound)
    alone = hear(Spotter(models["stream"], verify="none", threshold={"jarvis": 0.7}), sound)

    assert ["jarvis", "yes"] == words(events)
    (one,), (other,) = ([e for e in each if is_word(e)][:1] for each in (events, alone))
    assert (one.time, one.score, one.threshold) == (other.time, other.score, 0.7)
    assert spotter.stats.verifier.candidates == 1


def test_keywords_that_are_off_make_no_candidates(models, made):
    spotter = Spotter(models["stream"], verify=made(), keywords=["no"])
    hear(spotter, said("yes", "jarvis"))

    assert spotter.stats.verifier.calls == 0
    spotter.set_keywords(["yes"])
    assert ["yes"] == words(hear_on(spotter, said("yes")))
    assert spotter.stats.verifier.candidates == 1


def hear_on(spotter, sound):
    """Push a sound after what was heard."""
    events = []
    for at in range(0, len(sound), 1_000):
        events += spotter.push(sound[at : at + 1_000])
    return events


def test_what_was_refused_is_judged_again_when_it_rises(models, made):
    """A faint tone costs a call now and then, however long it lasts; a louder one is heard."""
    sound = [noise(0.5), tone("yes", 3.0, amplitude=0.14), tone("yes", 0.4), noise(0.5)]
    spotter = Spotter(models["stream"], verify=made(rest_s=1.0))
    for piece in sound[:2]:
        hear_on(spotter, piece)
    faint = spotter.stats.verifier
    events = hear_on(spotter, np.concatenate(sound[2:]))
    (word,) = [event for event in events if is_word(event)]

    assert 0.2 < max(spotter_scores(models, sound[1])) < 0.3
    assert (faint.candidates, faint.calls) == (1, 4)
    assert word.keyword == "yes"
    assert word.time_s - 3.5 < 0.3
    assert (spotter.stats.verifier.refused, spotter.stats.verifier.verified) == (0, 1)


def test_without_a_rest_calls_go_on(models, made):
    spotter = Spotter(models["stream"], verify=made(every_s=0.1))
    hear_on(spotter, np.concatenate([noise(0.5), tone("yes", 3.0, amplitude=0.14)]))

    assert (spotter.stats.verifier.candidates, spotter.stats.verifier.calls) == (1, 30)


def spotter_scores(models, sound):
    """What the first stage makes of a sound, smoothed."""
    events = hear(Spotter(models["stream"], verify="none"), sound)
    return [float(event.smoothed[0]) for event in events if is_hop(event)]


def test_a_second_candidate_is_judged_while_the_first_is_refused(models, made):
    spotter = Spotter(models["stream"], verify=made(rest_s=5.0))
    faint = tone("yes", 3.0, amplitude=0.14)
    second = np.zeros_like(faint)
    second[2 * RATE : 2 * RATE + RATE // 3] = tone("no", 1 / 3)[: RATE // 3]
    events = hear_on(spotter, np.concatenate([noise(0.5), faint + second, noise(0.5)]))

    assert ["no"] == words(events)


# -- never deaf ------------------------------------------------------------------------------


def test_a_failing_verifier_is_told_of_once_and_the_first_stage_decides(models, broken):
    """At its own threshold, which the joined one says nothing about."""
    sound = said("yes", "no", "yes")
    spotter = Spotter(models["stream"], verify=broken(thresholds={"yes": Threshold(0.99)}))
    events = hear(spotter, sound)
    alone = hear(Spotter(models["stream"], verify="none"), sound)
    (told,) = [event for event in events if isinstance(event, VerifierFailed)]
    stats = spotter.stats.verifier

    assert "broken.onnx" in told.reason
    assert "\n" not in told.reason
    for one, other in zip(*([e for e in x if is_word(e)] for x in (events, alone)), strict=True):
        assert (one.keyword, one.time, one.start, one.end) == (
            *(other.keyword, other.time, other.start),
            other.end,
        )
        assert one.score >= one.threshold
    assert stats.failures == stats.calls > 3
    assert (stats.verified, stats.refused) == (0, 0)


@pytest.mark.parametrize("joint", [0.0, 0.3, 0.9, 0.9999, 1.0])
@pytest.mark.parametrize("own", [0.1, 0.6, 0.95])
def test_alone_the_first_stage_passes_exactly_where_it_would(tmp_path, broken, own, joint):
    """Hop by hop, thresholds that float32 can't hold among them."""
    card = tones.card(thresholds={name: Threshold(own) for name in ALL})
    model = load(tones.write(tmp_path / "first.onnx", card))
    sound = said("yes", pause=0.2) * np.linspace(0.3, 1, len(said("yes", pause=0.2)))
    sound = sound.astype(np.float32)
    alone = [e for e in hear(Spotter(model, verify="none"), sound) if is_hop(e)]
    verifier = broken(thresholds={name: Threshold(joint) for name in ALL})
    pair = [e for e in hear(Spotter(model, verify=verifier), sound) if is_hop(e)]

    for one, other in zip(pair, alone, strict=False):  # the pair hears a longer end
        if joint > 0:  # everything reaches 0
            passes = other.smoothed[:3] >= own
            assert (float(one.smoothed[0]) >= joint) == bool(passes[0])


def test_the_limit_of_calls_holds_and_the_first_stage_goes_on(models, made):
    verifier = made(calls_per_s=0.4, every_s=0.04)
    spotter = Spotter(models["stream"], verify=verifier)
    events = hear(spotter, said(*["yes", "no"] * 3))
    stats = spotter.stats.verifier

    assert ["yes", "no"] * 3 == words(events)
    assert stats.calls == 4
    assert stats.skipped > 10
    hear_on(spotter, noise(6))  # the calls are ten seconds old
    hear_on(spotter, said("yes"))
    assert spotter.stats.verifier.calls == 8


def test_a_window_never_spans_lost_audio(models, made, monkeypatch):
    """Before a jump lie zeros; before a gate's opening what the gate withheld."""
    heard = record(monkeypatch)
    verifier = made()
    spotter = Spotter(models["stream"], verify=verifier)
    spotter.push(tone("no", 0.06, amplitude=0.01))
    spotter.push(tone("yes", 0.3), start=RATE)
    first = heard[verifier][0]

    assert np.flatnonzero(first)[0] >= len(first) - 0.1 * RATE
    heard.clear()
    quiet = noise(1.0)
    spotter = Spotter(models["stream"], verify=verifier, gate="webrtc")
    spotter.push(np.concatenate([quiet, tone("yes", 0.3)]))
    assert (heard[verifier][0] != 0).mean() > 0.99


def record(monkeypatch):
    """Keep the windows that each model is called with."""
    heard = {}
    run = Model.run

    def keeps(self, audio, state=None):
        heard.setdefault(self, []).append(audio[0].copy())
        return run(self, audio, state)

    monkeypatch.setattr(Model, "run", keeps)
    return heard


# -- many streams ----------------------------------------------------------------------------


def test_candidates_of_many_streams_share_calls(models, made, monkeypatch):
    """Each gets what it would get alone."""
    verifier = made()
    sounds = [said("yes"), said("no"), said("jarvis"), said("yes"), noise(1.9)]
    alone = [hear(Spotter(models["stream"], verify=verifier), sound) for sound in sounds]
    sizes = count(monkeypatch, verifier)
    spotters = [Spotter(models["stream"], verify=verifier) for _ in sounds]
    events = [[] for _ in sounds]
    for at in range(0, len(sounds[0]), HOP):
        pieces = [s[at : at + HOP] for s in sounds]
        works = [s.steps(p, RATE, e) for s, p, e in zip(spotters, pieces, events, strict=True)]
        assert together(works) == [None] * len(works)

    for one, other in zip(events, alone, strict=True):
        assert words(one) == words(other)
        hops = zip(filter(is_hop, one), filter(is_hop, other), strict=False)
        assert all(np.allclose(a.smoothed, b.smoothed, atol=1e-5) for a, b in hops)
    assert max(sizes) == 4
    assert verifier.takes_many


def count(monkeypatch, verifier):
    """Note how many windows each call of a verifier is for."""
    sizes = []
    run = Model.run

    def counts(self, audio, state=None):
        if self is verifier:
            sizes.append(len(audio))
        return run(self, audio, state)

    monkeypatch.setattr(Model, "run", counts)
    return sizes


def test_of_many_streams_a_failing_verifier_deafens_none(models, broken):
    spotters = [Spotter(models["stream"], verify=broken()) for _ in range(3)]
    events = [[], [], []]
    works = [s.steps(said("yes"), RATE, e) for s, e in zip(spotters, events, strict=True)]

    assert together(works) == [None] * 3
    assert [words(each) for each in events] == [["yes"]] * 3


# -- what a machine affords --------------------------------------------------------------------


SLOW = [
    (20, 0.08, 6.0, ""),  # 0.12 of a core
    (50, 0.08, 5.0, "a call takes 50 ms, so it is made every 80 ms and 5.0 times a second"),
    (200, 0.24, 1.25, "every 240 ms and 1.2 times a second at most, instead of every 80 and 6"),
]


@pytest.mark.parametrize("case", SLOW, ids=lambda case: f"{case[0]} ms")
def test_a_slow_verifier_is_called_less_often(models, made, monkeypatch, capsys, case):
    """A quarter of a core at most, and each call is done before the next of a word."""
    cost_ms, every_s, calls_per_s, told = case
    pair = choose(made(thresholds={"yes": Threshold(0.8)}), [models["stream"]], ALL)
    monkeypatch.setattr(pace, "call_seconds", lambda _: cost_ms / 1000)
    timing = pace.fit_verifier(pair).timing
    said = capsys.readouterr().err

    assert timing.every_s == pytest.approx(every_s)
    assert timing.calls_per_s == pytest.approx(calls_per_s)
    assert told in said if told else not said


def test_a_verifier_that_is_too_slow_leaves_the_first_stage(models, made, monkeypatch, capsys):
    pair = choose(made(), [models["stream"]], ALL)
    monkeypatch.setattr(pace, "call_seconds", lambda _: 0.4)

    assert pace.fit_verifier(pair) is None
    (line,) = capsys.readouterr().err.splitlines()
    assert "a call takes 400 ms, at most 320 ms would do; the first stage decides alone" in line


def test_a_pair_that_was_not_calibrated_is_told(models, made, monkeypatch, capsys):
    monkeypatch.setattr(pace, "call_seconds", lambda _: 0.001)
    levels = {"thresholds": {"yes": Threshold(0.8)}}
    for verifier in made("a"), made("b", first_stage="0" * 64, **levels):
        pace.fit_verifier(choose(verifier, [models["stream"]], ALL))
        (line,) = capsys.readouterr().err.splitlines()
        assert "not calibrated for this model; `kws tune` finds thresholds" in line
    pace.fit_verifier(choose(made("c", **levels), [models["stream"]], ALL))
    assert capsys.readouterr().err == ""


# -- which one, at which thresholds ----------------------------------------------------------


def test_thresholds_of_the_pair(models, made):
    """They hold where they were found with this first stage, or with any; else it is 0.5."""
    first = models["stream"]
    levels = {"yes": Threshold(0.8), "no": Threshold(0.7)}
    fits = made("a", thresholds=levels, first_stage=first.sha256)
    anyone = made("b", thresholds=levels)
    other = made("c", thresholds=levels, first_stage="0" * 64, bias=3.0)

    for verifier in (fits, anyone):
        assert Spotter(first, verify=verifier).thresholds == {"yes": 0.8, "no": 0.7, "jarvis": 0.5}
    assert Spotter(first, verify=other).thresholds == ALL
    assert Spotter(first, verify=fits, threshold={"no": 0.9}).thresholds["no"] == 0.9
    assert Spotter(first, verify="none").thresholds == dict.fromkeys(ALL, 0.6)
    assert Spotter(first).verifier is None  # none is bundled with a model of the user's


def test_the_bundled_verifier_stands_behind_the_bundled_model_alone(tmp_path, monkeypatch):
    """Whatever else is heard beside it. Where it is missing nothing is verified."""
    labels = [*(Label(name, "keyword") for name in ("yes", "marvin", "no")), Label("_")]
    path = tones.write(
        tmp_path / "verifier.onnx",
        replace(tones.verifier_card(thresholds={"yes": Threshold(0.7)}), labels=labels),
        hops=WIDE,
    )
    monkeypatch.setattr(verification, "BUNDLED_VERIFIER", tmp_path / "verifier.onnx")
    monkeypatch.setattr(verification, "_bundled", lambda: load(path))
    labels = [*(Label(name, "keyword") for name in ("marvin", "lights", "off it")), Label("_")]
    own = load(tones.write(tmp_path / "own.onnx", tones.card(labels=labels, thresholds={})))
    first = load()
    spotter = Spotter([first, own])

    assert spotter.verifier.path == path
    assert spotter.thresholds["yes"] == 0.7
    pair = choose(None, [first, own], spotter.thresholds)
    assert set(pair.candidates) == {"yes", "no"}
    assert [rules is None for rules in pair.rules] == [False, True]
    assert Spotter(first, verify="none").verifier is Spotter(own).verifier is None
    assert Spotter(own, verify="bundled").verifier.path == path
    path.unlink()
    assert Spotter(first).verifier is None
    with pytest.raises(ConfigError, match="no verifier is bundled with this kws"):
        Spotter(first, verify="bundled")


def test_false_alarms_pick_the_pairs_operating_points(tmp_path, made):
    rate = Rate(1.0, 1, 1.0, 0.0, 5.0)
    of_first = OperatingPoint(1.0, "keyword", {"yes": 0.91, "no": 0.92, "jarvis": 0.93}, rate)
    of_pair = OperatingPoint(1.0, "keyword", {"yes": 0.31, "no": 0.32}, rate)
    first = load(tones.write(tmp_path / "first.onnx", tones.card(operating_points=[of_first])))
    labels = [Label("yes", "keyword"), Label("no", "keyword"), Label("up", "keyword"), Label("_")]
    verifier = made(labels=labels, operating_points=[of_pair])

    found = Spotter(first, verify=verifier, false_alarms=1).thresholds
    assert found == {"yes": 0.31, "no": 0.32, "jarvis": 0.93}
    with pytest.raises(ConfigError, match="no operating point at 2 "):
        Spotter(first, verify=verifier, false_alarms=2)


def test_a_verifier_that_knows_none_of_the_keywords_is_refused(models, made):
    labels = [Label("up", "keyword"), Label("down", "keyword"), Label("alexa", "wake"), Label("_")]
    with pytest.raises(ConfigError, match=r"can't verify yes, no, jarvis: .* up, down, alexa"):
        Spotter(models["stream"], verify=made(labels=labels))
    others = made(labels=[*labels[2:3], *tones.LABELS[:2], Label("_")])
    with pytest.raises(ConfigError, match=r"can't verify jarvis: .* yes, no"):
        Spotter(models["stream"], verify=others, keywords=["jarvis"])


def test_what_can_not_verify_is_refused(models, made, tmp_path):
    slow = replace(tones.verifier_card(), sample_rate=8_000)
    slow = load(tones.write(tmp_path / "slow.onnx", slow, hops=WIDE))
    for verifier, reason in {
        models["stream"]: "a stream model can't verify; take a window model",
        slow: "hears at 8000 Hz, the first stage at 16000 Hz",
    }.items():
        with pytest.raises(ConfigError, match=reason):
            Spotter(models["stream"], verify=verifier)
    with pytest.raises(kws.ModelError, match="no such file"):
        Spotter(models["stream"], verify=tmp_path / "none.onnx")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"candidates": {"up": 0.2}}, "its verification names no keyword: ['up']"),
        ({"thresholds": {"yes": Threshold(1.2)}}, "lies outside 0..1"),
        ({"first_weight": -1}, "weights must lie between 0 and 10"),
        ({"bias": 21}, "bias must lie"),
        ({"hold_s": 5}, "hold_s must lie"),
        ({"every_s": 0}, "every_s must lie"),
        ({"calls": 0}, "calls must lie"),
        ({"calls": 8}, "calls take longer than hold_s"),
        ({"calls_per_s": 0}, "calls_per_s must lie"),
    ],
)
def test_a_card_whose_verification_makes_no_sense_is_refused(tmp_path, changes, reason):
    path = tones.write(tmp_path / "wrong.onnx", tones.verifier_card(**changes), hops=WIDE)
    with pytest.raises(CardError, match=re.escape(reason)):
        load(path)


def test_only_a_window_model_says_how_it_verifies(tmp_path):
    with pytest.raises(CardError, match="only a window model can verify"):
        load(tones.write(tmp_path / "a.onnx", tones.card(verification=Verification())))


def test_shifted_logits_are_taken_back():
    """A verifier's scores become those of the network before its background was shifted."""
    logits, shifts = np.array([1.0, -2.0, 0.5]), [0.0, -2.5, 1.0]

    def softmax(values):
        return np.exp(values) / np.exp(values).sum()

    found = unshifted(softmax(logits + shifts).astype(np.float32), shifts)

    assert np.abs(found - softmax(logits)).max() < 1e-6


@pytest.mark.parametrize(
    ("shifts", "reason"),
    [({"nobody": 1.0}, "no label of its own"), ({"yes": 21.0}, "between -20 and 20")],
)
def test_shifts_that_make_no_sense_are_refused(shifts, reason):
    """One line says why."""
    what = replace(tones.verifier_card(shifts=shifts), activation="softmax")

    with pytest.raises(CardError, match=reason):
        decode(encode(what), where="file")
