"""Gate: what passes, when; and the detectors of voice."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models import HOP, RATE, card, noise, tone, write

from kws import gates
from kws.card import Gate as CardGate
from kws.card import Label
from kws.chain import Chain
from kws.classifiers import StreamClassifier
from kws.errors import ConfigError, ModelError
from kws.flow import Block, GateChanged
from kws.gate import Gate
from kws.gates import webrtc
from kws.session import load
from kws.spotter import Spotter
from kws.thresholds import Settings

FRAME, PREROLL, HANGOVER, GRID = 10, 55, 25, 8


class Loud:
    """A frame whose mean is over a half has voice."""

    frame, tells_voice = FRAME, True

    def voiced(self, frame):
        return frame.mean() > 0.5

    def reset(self):
        """There is no state."""


def gate():
    return Gate(Loud(), preroll=PREROLL, hangover=HANGOVER, grid=GRID)


def audio(voiced):
    """Frames, voiced or not; no two samples are alike."""
    frames = np.repeat(np.asarray(voiced, np.float32), FRAME)
    return frames + np.arange(len(frames), dtype=np.float32) / 100_000


def run(stage, samples, start=0, sizes=(7,)):
    out, at, turn = [], 0, 0
    while at < len(samples):
        size = sizes[turn % len(sizes)]
        out += stage.process(Block(samples[at : at + size], start + at, RATE))
        at, turn = at + size, turn + 1
    return [item for item in out if isinstance(item, Block)]


VOICED = st.lists(st.integers(1, 30), min_size=1, max_size=10).map(
    lambda runs: np.repeat(np.arange(len(runs)) % 2, runs)
)


@given(voiced=VOICED, start=st.integers(0, 99))
def test_what_passes_is_the_source_and_never_twice(voiced, start):
    samples = audio(voiced)
    blocks = run(gate(), samples, start)

    for before, after in pairwise(blocks):
        assert before.end <= after.start
    for block in blocks:
        assert np.array_equal(samples[block.start - start : block.end - start], block.samples)


@given(voiced=VOICED, start=st.integers(0, 99))
def test_what_surrounds_a_voice_passes(voiced, start):
    passed = {
        n for block in run(gate(), audio(voiced), start) for n in range(block.start, block.end)
    }
    length = len(voiced) * FRAME

    for index in np.flatnonzero(voiced):
        before, after = index * FRAME - PREROLL, (index + 1) * FRAME + HANGOVER
        assert passed >= set(range(start + max(0, before), start + min(length, after)))


@given(voiced=VOICED, start=st.integers(0, 99))
def test_what_was_withheld_ends_on_the_grid_of_hops(voiced, start):
    blocks = run(gate(), audio(voiced), start)

    expected = start
    for block in blocks:
        assert block.start == expected or (block.start - start) % GRID == 0
        expected = block.end


def test_silence_passes_nothing():
    assert [] == run(gate(), audio([0] * 100))


def test_it_opens_and_closes_to_the_frame():
    stage = gate()
    out = stage.process(Block(audio([0] * 20 + [1] * 10 + [0] * 20), 0, RATE))
    blocks = [item for item in out if isinstance(item, Block)]
    changes = [item for item in out if isinstance(item, GateChanged)]

    assert blocks[0].start == (200 - PREROLL) // GRID * GRID
    assert blocks[-1].end == 330  # the first frame end 25 samples or more after 300
    assert [GateChanged(True, 210 / RATE), GateChanged(False, 340 / RATE)] == changes
    assert (stage.heard_samples, stage.open_samples) == (500, 130)
    assert not stage.open


def test_a_jump_closes_it_and_no_preroll_spans_it():
    stage = gate()
    stage.process(Block(audio([1] * 5), 0, RATE))
    out = stage.process(Block(audio([0, 1]), 1_003, RATE))

    assert [GateChanged(False, 50 / RATE), GateChanged(True, 1_023 / RATE)] == out[:2]
    assert [(1_003, 1_023)] == [(block.start, block.end) for block in out[2:]]


@given(
    voiced=VOICED,
    sizes=st.lists(st.integers(1, 50), min_size=1),
    span=st.tuples(st.integers(0, 300), st.integers(0, 300)),
)
def test_it_remembers_where_the_voice_was(voiced, sizes, span):
    stage, samples = gate(), audio(voiced)
    run(stage, samples, 0, sizes)
    start, end = sorted(span)
    found = {n for a, b in stage.voiced(start, end) for n in range(a, b)}

    heard = np.repeat(voiced, FRAME)[start:end]
    assert {n for n in start + np.flatnonzero(heard) if n >= stage.since} == found


@given(
    runs=st.lists(
        st.tuples(st.sampled_from(["yes", "quiet", "no"]), st.integers(1, 90)), max_size=8
    )
)
@settings(max_examples=30, deadline=None)
def test_scores_are_those_of_an_open_gate(models, runs):
    """Law: whatever ends a window or more after a jump is what the `none` gate gives."""
    model = models["stream"]
    parts = [
        noise(n / 50, seed=n) + (0 if what == "quiet" else tone(what, n / 50)) for what, n in runs
    ]
    samples = np.concatenate([noise(0.5), *parts, noise(0.5)]).astype(np.float32)
    chains = [Chain([model], Settings([model.card]), gate=name) for name in ("none", "webrtc")]
    always, gated = [
        [item for item in chain.process(Block(samples, 0, RATE)) if hasattr(item, "values")]
        for chain in chains
    ]

    expected = {hop.end: hop.values for hop in always}
    jump = end = 0
    for hop in gated:
        jump = hop.start if hop.start != end else jump
        end = hop.end
        assert (hop.end - jump) % HOP == 0
        if jump == 0 or hop.end - jump >= model.card.window:
            assert np.allclose(expected[hop.end], hop.values, atol=1e-5)
    if any(what != "quiet" and n > 10 for what, n in runs):
        assert gated


def test_a_closed_gate_infers_nothing(models):
    model = models["stream"]
    chain = Chain([model], Settings([model.card]), gate="webrtc")
    chain.process(Block(np.zeros(10 * RATE, np.float32), 0, RATE))

    assert chain.inferences == 0


def test_the_hangover_outlasts_latency_and_smoothing(tmp_path):
    from kws.card import Decision

    what = card(latency=1_600, decision=Decision(smoothing_s=0.5))
    model = load(write(tmp_path / "slow.onnx", what))
    chain = Chain([model], Settings([what]), gate="webrtc")

    assert chain.gate._hangover == round((0.1 + 0.5 + 0.3) * RATE)


def test_gates_are_found_by_their_files():
    assert {"learned", "none", "webrtc"} <= set(gates.names())
    with pytest.raises(ConfigError, match="learned, none, webrtc"):
        gates.detector("silero", RATE, {})
    with pytest.raises(ConfigError, match="does not take"):
        gates.detector("none", RATE, {"mode": 1})


@pytest.mark.parametrize(
    "rate", [8_000, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000]
)
def test_webrtc_tells_a_voice_from_silence(rate):
    stage = gates.detector("webrtc", rate, {"mode": 3})
    time = np.arange(rate) / rate
    hum = sum(np.sin(2 * np.pi * 120 * n * time) / n for n in range(1, 25))
    hum = (0.2 * hum * np.sin(2 * np.pi * 3 * time)).astype(np.float32)
    frames = hum.reshape(-1, stage.frame)

    assert np.mean([stage.voiced(frame) for frame in frames]) > 0.5
    stage.reset()
    assert not any(stage.voiced(np.zeros(stage.frame, np.float32)) for _ in range(50))


@pytest.mark.parametrize("rate", [12_000, 22_050, 44_100, 192_000])
def test_webrtc_hears_another_rate_as_a_resampler_makes_it(rate):
    """To 40 dB, a few samples late, whatever was in the frames before; a reset forgets them."""
    lower = 16_000 if rate > 16_000 else 8_000
    conversion, time = webrtc._Conversion(rate, lower), np.arange(rate) / rate
    sweep = np.sin(2 * np.pi * (100 + 0.3 * lower / 2 * time) * time).astype(np.float32)
    frames = sweep.reshape(50, -1)
    first = np.concatenate([conversion.process(frame) for frame in frames])
    conversion.reset()
    again = np.concatenate([conversion.process(frame) for frame in frames])
    late = round(16 * rate / lower) / rate
    then = np.arange(lower) / lower - late
    expected = np.sin(2 * np.pi * (100 + 0.3 * lower / 2 * then) * then)

    assert np.array_equal(first, again)
    assert np.abs(expected - first)[100:].max() < 0.01


def test_webrtc_hears_what_is_over_full_scale_as_loud_not_as_noise():
    plain, over = gates.detector("webrtc", RATE, {}), gates.detector("webrtc", RATE, {})
    frames = tone("yes", 1, amplitude=3).reshape(-1, plain.frame)

    assert [plain.voiced(np.clip(frame, -1, 1)) for frame in frames] == [
        over.voiced(frame) for frame in frames
    ]


def test_webrtc_takes_only_its_rates_and_modes():
    for rate in 11_025, 4_000:
        with pytest.raises(ConfigError, match=f"{rate} Hz.*use gate none"):
            gates.detector("webrtc", rate, {})
    with pytest.raises(ConfigError, match="0 to 3"):
        gates.detector("webrtc", RATE, {"mode": 4})


@pytest.fixture
def guarded(tmp_path):
    """A model of tones whose gate's network takes 500 Hz for silence, and all else for voice."""
    named = ["_silence_", "no", "jarvis", "_rest_"]
    inner = card(labels=[Label(name) for name in named], thresholds={})
    content = write(tmp_path / "inner.onnx", inner).read_bytes()
    gate = CardGate("learned", {"mode": 0, "threshold": 0.7}, hangover_s=0.1)
    return load(write(tmp_path / "guarded.onnx", card(gate=gate, gate_model=content)))


def test_a_learned_gate_opens_on_what_its_network_takes_for_voice(guarded):
    """WebRTC takes both tones for voice; the network refuses one, and the gate stays closed."""
    first = gates.detector("webrtc", RATE, {"mode": 0})
    second = gates.detector("learned", RATE, {"mode": 0, "threshold": 0.7}, guarded.gate)

    for name, voice in {"yes": False, "no": True, "jarvis": True}.items():
        frames = tone(name, 1).reshape(-1, first.frame)
        assert any(first.voiced(frame) for frame in frames)
        second.reset()
        assert voice == any(second.voiced(frame) for frame in frames)


def test_a_model_brings_its_gates_network_and_none_opens_everything(guarded):
    """What the gate refuses is not classified; the words behind it are found as without it."""
    pause = np.zeros(RATE, np.float32)
    audio = np.concatenate([pause, tone("no", 0.3), pause, tone("yes", 1)])
    closed, opened = Spotter(guarded), Spotter(guarded, gate="none")
    found = [[each.keyword for each in spotter.push(audio)] for spotter in (closed, opened)]

    assert [["no"], ["no", "yes"]] == found
    assert closed.stats.inferences < opened.stats.inferences / 2


def test_a_learned_gate_needs_its_network(guarded, models, tmp_path):
    """One line that says which gate there is."""
    with pytest.raises(ConfigError, match="holds no network for gate learned; use gate webrtc"):
        Spotter(models["stream"], gate="learned")
    with pytest.raises(ConfigError, match="is none for gate learned"):
        gates.detector("learned", RATE, {}, models["stream"])
    broken = card(gate=CardGate("learned"), gate_model=b"no model")
    with pytest.raises(ModelError, match="is not a readable ONNX model"):
        load(write(tmp_path / "broken.onnx", broken))


def test_a_stream_classifier_runs_on_where_a_gate_reopens_in_time(models):
    """Where what passes is contiguous, the state runs on."""
    stage = StreamClassifier(models["stream"])
    samples = noise(1)
    hops = stage.process(Block(samples[:5_000], 0, RATE)) + stage.process(
        Block(samples[5_000:], 5_000, RATE)
    )

    assert [HOP * (n + 1) for n in range(RATE // HOP)] == [hop.end for hop in hops]
