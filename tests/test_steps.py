"""Steps: many streams' calls of one model are one call, and nobody notices but the clock."""

from pathlib import Path

import models as tones
import numpy as np
import pytest
import soundfile
from models import RATE, noise, tone
from test_laws import flat

import kws
from kws import steps
from kws.card import Quantization
from kws.flow import Detection
from kws.session import Model, load
from kws.spotter import Spotter
from kws.steps import Run, alone, together

DEMO = Path(kws.__file__).parent / "models" / "demo.flac"


def said(*words):
    return np.concatenate([part for w in words for part in (noise(0.4), tone(w, 0.3), noise(0.4))])


SOUNDS = [
    said("yes", "no"),
    said("jarvis"),
    np.zeros(RATE, np.float32),
    said("no", "no", "yes"),
    noise(2.0, amplitude=0.1),
    said("yes"),
]


def heard_alone(spotter, sound, size):
    events = [
        event
        for at in range(0, len(sound), size)
        for event in spotter.process(kws.Block(sound[at : at + size], at, RATE))
    ]
    return events + spotter.finish()


def heard_together(spotters, sounds, sizes):
    """Push a piece of each at a time, until all have ended."""
    events = [[] for _ in spotters]
    ends = [False] * len(spotters)
    at = [0] * len(spotters)
    while not all(ends):
        works = []
        for n, spotter in enumerate(spotters):
            piece = sounds[n][at[n] : at[n] + sizes[n]]
            at[n] += sizes[n]
            if len(piece):
                works.append(spotter.push_steps(piece, RATE, events[n]))
            elif not ends[n]:
                ends[n] = True
                works.append(spotter.push_steps(None, RATE, events[n]))
        assert together(works) == [None] * len(works)
    return events


@pytest.mark.parametrize("which", ["stream", "window", "both", "bundled"])
def test_many_together_hear_what_each_hears_alone(models, which):
    """Every event, and scores to the last digits but one."""
    used = {"both": [*models.values()], "bundled": [load()]}.get(which) or [models[which]]
    sizes = [1_024, 320, 999, 5_000, 1_024, 160]
    sounds = SOUNDS
    if which == "bundled":
        demo, _ = soundfile.read(DEMO, dtype="float32", stop=6 * RATE)
        sounds = [np.roll(demo, 7_000 * number) for number in range(6)]
    apart = [heard_alone(Spotter(used), s, n) for s, n in zip(sounds, sizes, strict=True)]
    found = heard_together([Spotter(used) for _ in sounds], sounds, sizes)

    for one, other in zip(apart, found, strict=True):
        assert [type(event) for event in one] == [type(event) for event in other]
        for a, b in zip(flat(one), flat(other), strict=True):
            assert len(a) == len(b)
            for x, y in zip(np.hstack([*a, 0]).tolist(), np.hstack([*b, 0]).tolist(), strict=True):
                assert x == (y if isinstance(y, str) else pytest.approx(y, abs=1e-5))
    words = [event.keyword for events in found for event in events if isinstance(event, Detection)]
    assert words
    assert which == "bundled" or words == ["yes", "no", "jarvis", "no", "no", "yes", "yes"]


@pytest.fixture
def calls(monkeypatch):
    """How many streams each call of a model was for."""
    found = []
    run = Model.run

    def counts(self, audio, state=None):
        found.append(len(audio))
        return run(self, audio, state)

    monkeypatch.setattr(Model, "run", counts)
    return found


def test_one_call_does_for_all(models, calls, monkeypatch):
    """But for no more than may wait for each other."""
    spotters = [Spotter(models["stream"]) for _ in range(7)]
    sound = noise(0.02)
    assert together([each.push_steps(sound, RATE, []) for each in spotters]) == [None] * 7
    monkeypatch.setattr(steps, "MOST", 3)
    assert together([each.push_steps(sound, RATE, []) for each in spotters]) == [None] * 7

    assert calls == [7, 3, 3, 1]


@pytest.mark.parametrize(
    ("changes", "many"),
    [
        ({}, True),
        ({"quantization": Quantization("int8-storage")}, True),
        ({"quantization": Quantization("int8-dynamic")}, False),
        ({"kind": "window"}, True),
        ({"kind": "window", "quantization": Quantization("int8-dynamic")}, False),
    ],
)
def test_a_call_for_many_is_made_only_where_each_gets_its_own_scores(
    tmp_path, calls, changes, many
):
    """Int8 that is scaled as it comes would scale one stream by what is loud in another."""
    card = tones.card(**{"kind": "stream", **changes})
    model = load(tones.write(tmp_path / "model.onnx", card))
    calls.clear()
    spotters = [Spotter(model) for _ in range(3)]
    together([each.push_steps(noise(0.02), RATE, []) for each in spotters])

    assert model.takes_many is many
    assert calls == ([3] if many else [1, 1, 1])


def test_what_a_stream_keeps_is_its_own(models):
    """Not a part of what all got, or one stream would hold on to the memory of all."""
    model = models["stream"]
    kept = []

    def work():
        answer = yield Run(model, noise(0.02)[None], model.initial_state)
        kept.append(answer)

    together([work() for _ in range(5)])

    assert [tensor.base for _, state in kept for tensor in state] == [None] * 5


def test_whose_call_fails_fails_alone(models, monkeypatch):
    """Also where the model can't take all at once because of it."""
    run = Model.run

    def breaks(self, audio, state=None):
        if np.abs(audio).max() > 0.9:
            raise MemoryError("too loud")
        return run(self, audio, state)

    monkeypatch.setattr(Model, "run", breaks)
    spotters = [Spotter(models["stream"]) for _ in range(3)]
    sounds = [said("yes"), np.ones(RATE, np.float32), said("jarvis")]
    events = [[], [], []]
    works = [s.push_steps(a, RATE, e) for s, a, e in zip(spotters, sounds, events, strict=True)]
    failed = together(works)

    assert [type(each) for each in failed] == [type(None), MemoryError, type(None)]
    words = [[e.keyword for e in found if isinstance(e, Detection)] for found in events]
    assert words == [["yes"], [], ["jarvis"]]


def test_who_sends_nonsense_fails_alone(models):
    spotters = [Spotter(models["stream"]) for _ in range(3)]
    sounds = [said("yes"), np.zeros((2, 2, 2), np.float32), said("no")]
    events = [[], [], []]
    works = [s.push_steps(a, RATE, e) for s, a, e in zip(spotters, sounds, events, strict=True)]
    failed = together(works)

    assert "shape" in str(failed[1])
    assert (failed[0], failed[2]) == (None, None)
    assert all(any(isinstance(e, Detection) for e in events[n]) for n in (0, 2))


def test_alone_tells_what_goes_wrong(models):
    def work():
        yield Run(models["stream"], np.zeros((1, 7), np.float32), models["stream"].initial_state)

    with pytest.raises(Exception, match="7"):
        alone(work())
