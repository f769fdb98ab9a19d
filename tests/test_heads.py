"""Heads: own words on the shared encoder, which is opened once and hears each window once."""

import asyncio
import gc
import json
import pickle
import threading
from pathlib import Path

import heads
import numpy as np
import pytest
import soundfile
from command import keywords
from command import kws as command
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from telling import PATIENCE_S
from test_laws import flat
from test_serve_streams import Owner, run

import kws
from kws import encoder
from kws.card import Label, Quantization, Stride, replace
from kws.encoder import PACKAGED, packaged
from kws.errors import CardError, ModelError
from kws.flow import Block, Detection
from kws.onnx_graph import OnnxGraph
from kws.serve.streams import Streams
from kws.session import BUNDLED, load
from kws.spotter import Spotter
from kws.steps import together

__all__ = ["command"]

RATE, HOP, WINDOW = heads.RATE, heads.HOP, heads.WINDOW
NAMES = [f"word{number}" for number in range(10)]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Ten heads of random weights, and one that knows a word."""
    folder = tmp_path_factory.mktemp("heads")
    found = {heads.WORD: heads.write_head(folder / "own.onnx", heads.trained_head())}
    for number, name in enumerate(NAMES):
        what = heads.card(name, stride=Stride(2, 0.3) if number % 2 else None)
        found[name] = heads.write_head(folder / f"{name}.onnx", heads.random_head(number), what)
    return found


@pytest.fixture(scope="module")
def ten(files):
    return [load(files[name]) for name in NAMES]


@pytest.fixture(scope="module")
def own_and_two(files, ten):
    return [load(files[heads.WORD]), *ten[:2]]


@pytest.fixture
def calls(monkeypatch):
    """How many windows each call of the encoder was for."""
    found = []
    run = OnnxGraph.run

    def counts(self, outputs, feed):
        if "features" in outputs:
            found.append(len(feed["audio"]))
        return run(self, outputs, feed)

    monkeypatch.setattr(OnnxGraph, "run", counts)
    return found


def speech(seed=0):
    """A few words, quiet noise between them: about five seconds."""
    order = np.random.default_rng(seed).permutation([heads.WORD, *heads.OTHERS[:2]])
    parts = []
    for word in order:
        voices = heads.said(word)
        noise = np.random.default_rng(seed).standard_normal(12_000) * 0.001
        parts += [noise.astype(np.float32), voices[seed % len(voices)]]
    return np.concatenate([*parts, np.zeros(8_000, np.float32)])


def fresh(seed):
    """Windows that nothing has asked for yet."""
    return np.random.default_rng(seed).normal(0, 0.1, (3, WINDOW)).astype(np.float32)


def test_a_head_scores_what_the_encoder_gives(files):
    """Its graph alone, on the features, gives the same scores; so does each window alone."""
    model, audio = load(files[NAMES[0]]), fresh(1)
    found, state = model.run(audio)
    graph = OnnxGraph(files[NAMES[0]])
    wanted = graph.run(["scores"], {"features": packaged().features(audio)})[0]

    assert model.is_head
    assert state == model.initial_state == []
    assert np.array_equal(found, wanted)
    assert np.allclose(np.stack([model.scores(each) for each in audio]), found, atol=1e-6)
    assert np.ptp(found, axis=0).max() > 0.01
    assert model.embedding(audio[0]).shape == (heads.config().head_width,)


def test_all_heads_and_the_verifier_share_one_session(files, ten):
    """Whichever thread opens them, by whichever path; copies and pickles too."""
    verifier = load(PACKAGED)
    opened = []
    threads = [
        threading.Thread(target=lambda: opened.append(load(files[heads.WORD]))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    again = pickle.loads(pickle.dumps(ten[0]))  # noqa: S301 - our own

    assert {id(each.encoder) for each in [*ten, *opened, verifier, again]} == {id(packaged())}
    assert verifier._session is packaged().graph
    assert np.array_equal(again.run(fresh(2))[0], ten[0].run(fresh(2))[0])


def test_an_encoder_that_nobody_uses_is_forgotten(monkeypatch, tmp_path):
    """It is held by the models that need it, and by nothing else."""
    here = tmp_path / PACKAGED.name
    here.write_bytes(PACKAGED.read_bytes())
    monkeypatch.setattr(encoder, "PACKAGED", here)
    held = packaged()
    assert packaged() is held
    before = len(encoder._opened)
    del held
    gc.collect()

    assert len(encoder._opened) == before - 1


def test_a_window_is_heard_once(ten, calls):
    """By ten heads and the verifier, in one call or in many."""
    audio = fresh(3)
    alone = [[model.run(each[None])[0][0] for each in audio] for model in [*ten, load(PACKAGED)]]
    joint = [model.run(audio)[0] for model in [*ten, load(PACKAGED)]]

    assert calls == [1, 1, 1]
    assert np.allclose(np.array(alone[:10]), np.array(joint[:10]), atol=1e-6)
    assert np.array_equal(np.array(alone[10]), joint[10])


def test_windows_are_told_apart_by_every_sample(ten):
    """Two that differ in one sample only are two."""
    one = fresh(4)[:1]
    two = one.copy()
    two[0, -1] += 0.9

    assert not np.array_equal(ten[0].run(one)[0], ten[0].run(two)[0])
    assert np.array_equal(packaged().features(np.concatenate([one, two, one]))[2],
                          packaged().features(one)[0])  # fmt: skip


def test_what_is_remembered_is_bounded(ten):
    for seed in range(encoder.REMEMBERED):
        packaged().features(fresh(100 + seed)[:2, :2_000])

    assert len(packaged()._windows) == encoder.REMEMBERED


def test_a_clip_lies_in_the_window_as_a_word_does_in_use(files):
    """Near its end, a tenth of a second of silence behind it."""
    model = load(files[heads.WORD])
    clip = heads.said(heads.WORD)[0]
    around = np.concatenate([np.zeros(WINDOW), clip, np.zeros(1_600)])[-WINDOW:]

    assert np.allclose(model.scores(clip), model.scores(around.astype(np.float32)), atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"encoder": "0123456789abcdef"}, "another version's encoder; run kws train again"),
        ({"encoder": ""}, "another version's encoder; run kws train again"),
        ({"window": 16_000}, "25600 samples at once, the card says 16000"),
        ({"sample_rate": 8_000}, "the encoder hears at 16000 Hz"),
    ],
)
def test_a_head_of_something_else_is_refused(tmp_path, changes, says):
    """In one line that names the file."""
    path = heads.write_head(tmp_path / "own.onnx", what=heads.card(**changes))
    with pytest.raises(ModelError, match=says) as error:
        load(path)

    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_a_head_with_other_labels_is_refused(tmp_path):
    what = heads.card()
    more = replace(what, labels=[*what.labels, Label("_unknown_")])
    graph = heads.head_graph(heads.random_head(), heads.config())
    heads.write(graph, more, tmp_path / "own.onnx")
    with pytest.raises(CardError, match="gives 2 scores, the card names 3 labels"):
        load(tmp_path / "own.onnx")


def test_without_the_encoder_a_head_says_what_is_missing(files, monkeypatch, tmp_path):
    monkeypatch.setattr(encoder, "PACKAGED", tmp_path / "verifier.onnx")
    with pytest.raises(ModelError, match="the encoder that comes with kws: ") as e:
        load(files[heads.WORD])

    assert str(e.value).startswith(str(files[heads.WORD]))
    assert "no such file; install kws again" in str(e.value)


def test_a_word_fires_once_in_each_place(files):
    """What a head learned is heard in a stream, behind the gate; other words are not."""
    spotter = Spotter(load(files[heads.WORD]))
    found = []
    for seed in range(3):
        found.append(spotter.push(speech(seed), RATE))
        found[-1] += [e for e in spotter.finish() if isinstance(e, Detection)]
        spotter.reset()

    assert [[each.keyword for each in events] for events in found] == [[heads.WORD]] * 3


def heard(models, audio, sizes, **options):
    """Every event of a stream that comes in pieces of these sizes."""
    spotter, found, at, turn = Spotter(models, **options), [], 0, 0
    while at < len(audio):
        size = sizes[turn % len(sizes)]
        found += spotter.process(Block(audio[at : at + size], at, RATE))
        at, turn = at + size, turn + 1
    return found + spotter.finish()


def told(events, model=0):
    """Scores and detections of one model, as numbers: what does not depend on other models."""
    return [
        (event.end, event.values.round(5).tolist())
        for event in events
        if isinstance(event, kws.Scores) and event.model == model
    ]


def fired(events):
    return [(e.keyword, e.start, e.end, e.time) for e in events if isinstance(e, Detection)]


def test_ten_heads_beside_the_bundled_model_hear_what_each_hears_alone(files, ten, calls):
    """With the verifier too; no window is computed twice."""
    audio = speech(1)
    own = load(files[heads.WORD])
    models = [load(), own, *ten]
    keywords = [*models[0].keywords, heads.WORD]
    joint = heard(models, audio, [1_000], gate="none", verify="bundled", keywords=keywords)
    windows, hops = sum(calls), len(told(joint, 1))

    for number, model in enumerate(models):
        options = {"verify": "none" if number else "bundled"}
        armed = [name for name in model.keywords if name in keywords]
        if armed:
            options["keywords"] = armed
        alone = heard(model, audio, [4_000], gate="none", **options)
        count = len(told(alone))  # how long a stream's end is depends on all of its models
        assert told(alone) == told(joint, number)[:count], model
        if armed:
            assert fired(alone) == [each for each in fired(joint) if each[0] in armed]
    assert heads.WORD in {each[0] for each in fired(joint)}
    assert hops <= windows < 2 * hops


@settings(
    max_examples=5,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    sizes=st.lists(st.integers(200, 9_000), min_size=3, max_size=3),
    most=st.integers(1, 4),
)
def test_however_calls_are_shared_the_same_is_heard(own_and_two, monkeypatch, sizes, most):
    """Any cut, any batches: three streams together, with several heads each."""
    models = own_and_two
    monkeypatch.setattr("kws.steps.MOST", most)
    sounds = [speech(seed)[: 3 * RATE] for seed in range(3)]
    spotters = [Spotter(models) for _ in sounds]
    events = [[] for _ in sounds]
    at = [0, 0, 0]
    while any(a < len(s) for a, s in zip(at, sounds, strict=True)):
        works = [
            spotters[n].push_steps(sounds[n][at[n] : at[n] + sizes[n]], RATE, events[n])
            for n in range(3)
            if at[n] < len(sounds[n])
        ]
        assert together(works) == [None] * len(works)
        at = [a + size for a, size in zip(at, sizes, strict=True)]
    for n, sound in enumerate(sounds):
        events[n] += spotters[n].finish()
        alone = heard(models, sound, [1_234])
        assert fired(events[n]) == fired(alone)
        for one, other in zip(flat(events[n]), flat(alone), strict=True):
            assert len(one) == len(other)
        for model in range(3):
            assert told(events[n], model) == told(alone, model)


def test_streams_ask_the_encoder_together(ten, calls):
    """One call for all streams' windows, none for the other heads; quiet noise is withheld."""
    spotters = [Spotter(ten[::2], gate="none") for _ in range(4)]
    works = [
        spotter.push_steps(fresh(number + 20)[0, :HOP], RATE, [])
        for number, spotter in enumerate(spotters)
    ]

    assert together(works) == [None] * 4
    assert calls == [4]


def test_more_streams_than_a_call_takes_compute_no_window_twice(ten, calls, monkeypatch):
    """Nor do they where they are more than the encoder remembers."""
    monkeypatch.setattr("kws.steps.MOST", 3)
    monkeypatch.setattr(encoder, "REMEMBERED", 4)
    spotters = [Spotter(ten[::2], gate="none") for _ in range(8)]
    works = [
        spotter.push_steps(fresh(number + 40)[0, :HOP], RATE, [])
        for number, spotter in enumerate(spotters)
    ]

    assert together(works) == [None] * 8
    assert sum(calls) == 8


def test_a_failing_encoder_fails_alone(ten, monkeypatch):
    """A window that it can't hear takes no other stream's scores."""
    run = OnnxGraph.run

    def breaks(self, outputs, feed):
        if "features" in outputs and np.abs(feed["audio"]).max() > 3:
            raise ModelError("too loud")
        return run(self, outputs, feed)

    monkeypatch.setattr(OnnxGraph, "run", breaks)
    sounds = [fresh(60)[0, :HOP], np.full(HOP, 4, np.float32), fresh(61)[0, :HOP]]
    events = [[], [], []]
    works = [
        Spotter(ten[::2], gate="none").push_steps(s, RATE, e)
        for s, e in zip(sounds, events, strict=True)
    ]
    failed = together(works)

    assert [type(each) for each in failed] == [type(None), ModelError, type(None)]
    assert [len(told(each)) for each in events] == [1, 0, 1]


def test_heads_take_many_where_the_encoder_does(files):
    """How the head's own weights are stored does not matter: it is called for each window alone."""
    what = replace(heads.card(), quantization=Quantization("int8-dynamic"))
    path = heads.write_head(Path(files[heads.WORD]).with_name("dynamic.onnx"), what=what)

    assert load(path).takes_many


def test_a_head_judges_what_another_model_proposes(files):
    """It can verify: here, the word that the bundled model has no name for."""
    own = load(files[heads.WORD])
    found = heard(own, speech(2), [3_000], verify=own)

    assert [each[0] for each in fired(found)] == [heads.WORD]


def test_models_of_different_gates_have_the_first_ones(models, files):
    """Not none, which would run all networks all the time; that only where a model needs it."""
    own, bundled = load(files[heads.WORD]), load()
    silence = Block(np.zeros(2 * RATE, np.float32), 0, RATE)
    for used, gate in ([bundled, own], "learned"), ([own, bundled], "webrtc"):
        spotter = Spotter(used)
        spotter.process(silence)
        assert spotter._chain.gate.detector.__module__.rpartition(".")[2] == gate
        assert spotter.stats.inferences == 0
    everything = Spotter([bundled, models["window"]])

    assert everything._chain.gate.detector.__module__.rpartition(".")[2] == "none"


def test_streams_of_the_daemon_hear_own_words(own_and_two, calls):
    """Two at once, each its own; they are heard in turns, on a thread of the daemon."""
    streams = Streams()

    async def both():
        owners = [Owner(streams, own_and_two, [], words=[heads.WORD]) for _ in range(2)]
        sounds = [speech(1), np.concatenate([speech(2), speech(2)])]
        for owner, sound in zip(owners, sounds, strict=True):
            for at in range(0, len(sound), 2_048):
                owner.ear.hear(sound[at : at + 2_048], RATE)
                await asyncio.sleep(0)
            owner.ear.finish()
        return [(await owner.quiet()).words for owner in owners]

    try:
        found = run(both())
    finally:
        streams.close(PATIENCE_S)

    assert [words.count(heads.WORD) for words in found] == [1, 2]


def test_info_names_the_encoder(files, command):
    """And tells what a call costs, and how often it is made."""
    own = files[NAMES[1]]
    told = command("info", own).out
    assert f"a head on the shared encoder {packaged().id} of verifier.onnx" in told
    assert "ms a window, once for all heads" in told
    assert "every 160 ms near a word, every 320 ms while all scores are under 0.3" in told
    assert f"{packaged().id}, shared with the heads of own words" in command("info", PACKAGED).out
    assert json.loads(command("info", own, "--json").out)["encoder"] == packaged().id


def test_commands_take_a_head_as_any_model(files, command, tmp_path):
    """Alone, or beside the bundled model; a wrong one ends in one line."""
    own, path = files[heads.WORD], tmp_path / "speech.wav"
    soundfile.write(path, np.concatenate([speech(1), speech(2)]), RATE)
    bundled = command("spot", path, "--model", own, "--model", BUNDLED)
    wrong = heads.write_head(tmp_path / "wrong.onnx", what=heads.card(encoder="0" * 16))
    refused = command("spot", path, "--model", wrong)

    assert keywords(command("spot", path, "--model", own)) == [heads.WORD] * 2
    assert keywords(bundled).count(heads.WORD) == 2
    assert refused.code == 2
    assert refused.err.count("\n") == 1
    assert "run kws train again" in refused.err
