"""Classifiers: which hops are scored, and what a clip's score is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models import HOP, LABELS, RATE, WINDOW, card, noise, tone, write

from kws.classifiers import StreamClassifier, WindowClassifier, classify_clip
from kws.errors import AudioError
from kws.flow import Block
from kws.session import load

KINDS = {"stream": StreamClassifier, "window": WindowClassifier}


def words():
    return np.concatenate([noise(0.2), tone("yes", 0.3), noise(0.2), tone("no", 0.2), noise(0.1)])


@settings(max_examples=30, deadline=None)
@given(start=st.integers(0, 1_000), sizes=st.lists(st.integers(1, 3_000), min_size=1, max_size=9))
def test_a_stream_scores_what_its_twin_scores_over_the_window(models, start, sizes):
    """From the first hop on: before the start lies silence."""
    samples, at, hops = words(), 0, {kind: [] for kind in KINDS}
    stages = {kind: make(models[kind], 3) for kind, make in KINDS.items()}
    for size in [*sizes, len(samples)]:
        for kind, stage in stages.items():
            hops[kind] += stage.process(Block(samples[at : at + size], start + at, RATE))
        at = min(at + size, len(samples))

    assert len(samples) // HOP == len(hops["stream"]) == len(hops["window"])
    for number, (one, two) in enumerate(zip(hops["stream"], hops["window"], strict=True)):
        heard = np.concatenate([np.zeros(WINDOW), samples[: (number + 1) * HOP]])[-WINDOW:]
        oracle = models["window"].scores(heard.astype(np.float32))
        assert (one.start, one.end, one.model) == (two.start, two.end, two.model)
        assert (start + number * HOP, start + (number + 1) * HOP) == (one.start, one.end)
        assert np.allclose(oracle, one.values, atol=1e-6)
        assert np.allclose(oracle, two.values, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_no_window_spans_a_jump(models, kind):
    stage = KINDS[kind](models[kind])
    stage.process(Block(tone("yes", 1.01), 0, RATE))
    hops = stage.process(Block(noise(0.5), 20_001, RATE))

    assert hops[0].start == 20_001
    assert max(hop.values[0] for hop in hops) < 0.01


def test_a_longer_hop_is_counted_from_the_start(models):
    stage = WindowClassifier(models["window"], hop=500)
    hops = stage.process(Block(words(), 0, RATE))

    assert [500 * (n + 1) for n in range(len(words()) // 500)] == [hop.end for hop in hops]
    assert stage.inferences == len(hops)


def test_a_window_model_hears_a_clip_as_it_is(models):
    clip = tone("no", WINDOW / RATE)

    assert np.array_equal(models["window"].scores(clip), classify_clip(models["window"], clip))


def test_a_long_clip_is_heard_in_pieces(tmp_path):
    model = load(write(tmp_path / "w.onnx", card("window", min_samples=WINDOW, max_samples=WINDOW)))
    clip = np.concatenate([tone("no", WINDOW / RATE), noise(WINDOW / RATE)])

    halves = [model.scores(clip[:WINDOW]), model.scores(clip[WINDOW:])]
    assert np.allclose(np.mean(halves, axis=0), classify_clip(model, clip), atol=1e-6)
    assert np.allclose(halves[0], classify_clip(model, clip[: WINDOW + 9]))  # a rest too short
    short = np.pad(clip[:500], (0, WINDOW - 500))
    assert np.allclose(model.scores(short), classify_clip(model, clip[:500]))


@pytest.mark.parametrize("seconds", [0.6, 1.0, 1.7])
def test_a_stream_model_hears_a_clip_between_silences(models, seconds):
    clip = noise(seconds) + tone("yes", seconds)
    scores = classify_clip(models["stream"], clip)

    end = round((0.5 + max(1, seconds)) * RATE)
    audio = np.zeros(end + RATE // 2, np.float32)
    audio[RATE // 2 : RATE // 2 + len(clip)] = clip
    hops = StreamClassifier(models["stream"]).process(Block(audio, 0, RATE))
    near = [hop.values for hop in hops if abs(hop.end - end) <= 0.15 * RATE]
    assert np.allclose(np.mean(near, axis=0), scores)
    assert scores.shape == (len(LABELS),)


def test_an_empty_clip_is_refused(models):
    with pytest.raises(AudioError, match="empty"):
        classify_clip(models["stream"], np.zeros(0, np.float32))
