"""Resampler: any rate and channel in, mono at one rate out."""

from itertools import pairwise

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from kws.errors import AudioError, ConfigError, KwsWarning
from kws.flow import Block
from kws.resample import Resampler

OUT = 16_000
RATES = [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000]


def sound(count, channels=0, seed=0):
    shape = (count, channels) if channels else count
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def joined(blocks):
    return np.concatenate([np.zeros(0, np.float32), *[block.samples for block in blocks]])


@pytest.mark.parametrize("rate", RATES)
def test_a_stream_is_the_same_as_all_at_once(rate):
    audio, stage = sound(rate), Resampler(OUT)
    blocks = [Block(audio[i : i + 999], i, rate) for i in range(0, rate, 999)]
    out = [made for block in blocks for made in stage.process(block)] + stage.flush()

    expected = audio if rate == OUT else soxr.resample(audio, rate, OUT)
    assert np.array_equal(expected, joined(out))
    assert [block.end for block in out[:-1]] == [block.start for block in out[1:]]
    assert all(block.rate == OUT for block in out)


@pytest.mark.parametrize("rate", RATES)
@settings(max_examples=15, deadline=None)
@given(sizes=st.lists(st.integers(1, 4_000), min_size=1, max_size=40))
def test_its_latency_is_true(rate, sizes):
    stage, heard, made = Resampler(OUT), 0, 0
    for size in sizes:
        out = stage.process(Block(np.zeros(size, np.float32), heard, rate))
        heard += size
        made += sum(len(block.samples) for block in out)

        assert made >= heard * OUT / rate - stage.latency - 1


@pytest.mark.parametrize("rate", RATES)
def test_after_a_jump_it_begins_where_the_audio_does(rate):
    stage, audio = Resampler(OUT), sound(rate // 2)
    out = stage.process(Block(audio, 0, rate))
    after = [*stage.process(Block(audio, 10 * rate, rate)), *stage.flush()]
    late = [block for block in after if block.start >= 10 * OUT]
    tail = [block for block in after if block.start < 10 * OUT]

    assert abs(len(joined(out + tail)) - OUT // 2) <= 1  # nothing that was heard is lost
    assert late[0].start == 10 * OUT
    fresh = Resampler(OUT)
    expected = joined([*fresh.process(Block(audio, 10 * rate, rate)), *fresh.flush()])
    assert np.array_equal(expected, joined(late))


@pytest.mark.parametrize("lost", [1, 2, 5, 100])
@pytest.mark.parametrize("rate", RATES)
def test_the_smallest_jump_is_a_jump_in_the_output(rate, lost):
    stage, audio = Resampler(OUT), sound(rate // 4)
    out = stage.process(Block(audio, 0, rate))
    out += stage.process(Block(audio, len(audio) + lost, rate)) + stage.flush()

    gaps = [after.start - before.end for before, after in pairwise(out)]
    assert [gap for gap in gaps if gap] == [max(gaps)]
    assert 1 <= max(gaps) <= lost * OUT / rate + 2


@pytest.mark.parametrize("rate", RATES)
def test_a_forced_jump_is_a_jump_in_the_output(rate):
    stage, audio = Resampler(OUT), sound(rate)
    before = stage.process(Block(audio, 0, rate))
    stage.jump()
    after = stage.process(Block(audio, rate, rate))

    assert after[0].start > before[-1].end


def test_another_rate_goes_on_at_the_same_time():
    stage = Resampler(OUT)
    out = stage.process(Block(sound(48_000), 0, 48_000))
    out += stage.process(Block(sound(16_000), 16_000, 16_000))

    assert out[-1].start in (16_000, 16_001)
    assert out[-1].start > out[-2].end


def test_wall_time_stays_with_its_sample():
    stage = Resampler(OUT)
    out = [
        made
        for i in range(0, 48_000, 960)
        for made in stage.process(Block(sound(960), i, 48_000, wall_time=100 + i / 48_000))
    ]

    assert all(block.wall_time == pytest.approx(100 + block.start / OUT) for block in out)


AUDIO = sound(100, channels=4)


@pytest.mark.parametrize(
    ("samples", "channel", "expected"),
    [
        (AUDIO[:, 0], None, AUDIO[:, 0]),
        (AUDIO[:, :1], None, AUDIO[:, 0]),
        (AUDIO[:, :2], None, AUDIO[:, :2].mean(axis=1)),
        (AUDIO, None, AUDIO[:, 0]),
        (AUDIO, 1, AUDIO[:, 0]),
        (AUDIO, 4, AUDIO[:, 3]),
        (AUDIO, "mean", AUDIO.mean(axis=1)),
        (AUDIO[:, 0], 1, AUDIO[:, 0]),
        (AUDIO[:, 0], "mean", AUDIO[:, 0]),
    ],
)
def test_which_channel_is_heard(samples, channel, expected):
    out = Resampler(OUT, channel=channel).process(Block(samples, 0, OUT))

    assert np.allclose(expected, joined(out), atol=1e-6)


def test_a_channel_that_is_not_there():
    with pytest.raises(AudioError, match="the audio has 2"):
        Resampler(OUT, channel=3).process(Block(AUDIO[:, :2], 0, OUT))
    with pytest.raises(AudioError, match="mono"):
        Resampler(OUT, channel=2).process(Block(AUDIO[:, 0], 0, OUT))
    with pytest.raises(ConfigError, match="the first channel is 1"):
        Resampler(OUT, channel=0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused_and_leaves_no_trace(value):
    stage, fresh, audio = Resampler(OUT), Resampler(OUT), sound(48_000)
    bad = audio.copy()
    bad[7] = value
    with pytest.raises(AudioError, match="NaN"):
        stage.process(Block(bad, 0, 48_000))

    expected = joined(fresh.process(Block(audio, 0, 48_000)))
    assert np.array_equal(expected, joined(stage.process(Block(audio, 0, 48_000))))


@pytest.mark.parametrize("shape", [(3, 0), (2, 2, 2), ()])
def test_a_shape_that_is_no_audio(shape):
    with pytest.raises(AudioError, match="shape"):
        Resampler(OUT).process(Block(np.zeros(shape, np.float32), 0, OUT))


OPPOSITE = np.stack([sound(OUT), -sound(OUT)], axis=1)


@pytest.mark.parametrize("channel", [None, "mean"])
def test_channels_that_cancel_each_other_out_are_noticed(channel):
    """A tenth of a second is lost; from then on the louder channel is heard, and that is said."""
    audio = OPPOSITE * np.float32([0.5, 0.55])
    with pytest.warns(KwsWarning, match="opposite phase.*channel 2"):
        out = joined(Resampler(OUT, channel=channel).process(Block(audio, 0, OUT)))

    assert np.array_equal(audio[OUT // 10 :, 1], out[OUT // 10 :])


@pytest.mark.filterwarnings("ignore::kws.errors.KwsWarning")
@settings(max_examples=20, deadline=None)
@given(sizes=st.lists(st.integers(1, 3_000), min_size=1, max_size=9))
def test_how_cancelled_audio_is_cut_never_shows(sizes):
    audio = np.concatenate([np.zeros((2_000, 2), np.float32), OPPOSITE[:4_000]])
    whole, cut, at, turn = Resampler(OUT), Resampler(OUT), 0, 0
    parts = []
    while at < len(audio):
        size = sizes[turn % len(sizes)]
        parts += cut.process(Block(audio[at : at + size], at, OUT))
        at, turn = at + size, turn + 1

    assert np.array_equal(joined(whole.process(Block(audio, 0, OUT))), joined(parts))


def test_channels_that_differ_are_averaged():
    """Neither independent channels, nor quiet ones, nor an echo, cancel each other out."""
    stage, left, right = Resampler(OUT), sound(OUT), sound(OUT, seed=2)
    for pair in (
        (left, right),
        (left, 0 * left),
        (left, np.roll(left, 7)),
        (1e-4 * left, -1e-4 * left),
    ):
        stage.reset()
        audio = np.stack(pair, axis=1).astype(np.float32)
        out = joined(stage.process(Block(audio, 0, OUT)))

        assert np.allclose(audio.mean(axis=1), out, atol=1e-6)


@pytest.mark.parametrize("offset", [0.02, 0.4])
def test_opposite_constant_offsets_are_no_opposite_phase(offset):
    """In near-silence, what two cheap inputs add to their channels is all that there is."""
    offsets = np.float32([offset, -offset])
    quiet = np.stack([1e-3 * sound(OUT), 1e-3 * sound(OUT, seed=2)], axis=1).astype(np.float32)
    out = joined(Resampler(OUT).process(Block(quiet + offsets, 0, OUT)))

    assert np.allclose((quiet + offsets).mean(axis=1), out, atol=1e-6)


@pytest.mark.parametrize("offset", [0.02, 0.4])
def test_equal_constant_offsets_hide_no_opposite_phase(offset):
    """Their mean is loud, but nothing of what is said is left in it."""
    audio = OPPOSITE * np.float32([0.5, 0.55]) + np.float32(offset)
    with pytest.warns(KwsWarning, match="opposite phase.*channel 2"):
        out = joined(Resampler(OUT).process(Block(audio, 0, OUT)))

    assert np.array_equal(audio[OUT // 10 :, 1], out[OUT // 10 :])


def test_another_stream_begins_anew():
    """Neither a jump nor a reset nor refused audio leaves a trace of the channel that was taken."""
    with pytest.warns(KwsWarning):
        (stage := Resampler(OUT)).process(Block(OPPOSITE, 0, OUT))
    assert not joined(stage.process(Block(OPPOSITE[:100], 99_999, OUT))).any()
    assert not joined(stage.process(Block(OPPOSITE[:100], 100_099, OUT))).any()
    stage.reset()
    assert not joined(stage.process(Block(OPPOSITE[:100], 0, OUT))).any()
    bad = np.where(np.arange(OUT)[:, None] == OUT - 1, np.float32("nan"), OPPOSITE)
    with pytest.raises(AudioError):
        stage.process(Block(bad, 100, OUT))
    assert not joined(stage.process(Block(OPPOSITE[:100], 100, OUT))).any()


def test_samples_in_the_range_of_int16_are_noticed_once():
    stage, audio = Resampler(OUT), 3_000 * sound(1_000)
    with pytest.warns(KwsWarning, match="divide .* by 32768"):
        stage.process(Block(audio, 0, OUT))

    stage.process(Block(audio, 1_000, OUT))  # a second warning would be an error
