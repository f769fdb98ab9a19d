"""Spotter: push, iterate, be called back; captures, settings, figures."""

import asyncio
import copy
import json
import pickle
import sys
import threading
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from models import HOP, LABELS, RATE, WINDOW, card, noise, tone, write

import kws
from kws.card import Label, OperatingPoint, Rate, Threshold, replace
from kws.errors import AudioError, ConfigError, DeviceError, ModelError
from kws.flow import (
    AudioLost,
    Block,
    Captured,
    Detection,
    DigitalSilence,
    GateChanged,
    KeywordStuck,
    Scores,
)

SOUND = np.concatenate([noise(0.5), tone("yes", 0.3), noise(0.7), tone("no", 0.3), noise(0.7)])


class Blocks:
    """A source over an array; then it ends, or `loss` happens."""

    def __init__(self, samples, rate=RATE, *, live=False, size=320, loss=None):
        self.rate, self.live, self.closed, self._loss = rate, live, False, loss
        self._samples, self._size = samples, size
        self._noticed = [DigitalSilence(silent=True, time_s=0.0)]

    def __iter__(self):
        for at in range(0, len(self._samples), self._size):
            wall = 1_000 + at / self.rate
            yield Block(self._samples[at : at + self._size], at, self.rate, wall)
        if self._loss is not None:
            raise self._loss

    def poll_events(self):
        noticed, self._noticed = self._noticed, []
        return noticed

    def close(self):
        self.closed = True


def words(events):
    return [event.keyword for event in events if isinstance(event, Detection)]


@pytest.fixture
def spotter(models):
    return kws.Spotter(models["stream"])


# -- audio in --------------------------------------------------------------------------------


def test_a_detection_tells_what_where_and_how_loud(spotter):
    first, second = spotter.push(SOUND)

    assert ("yes", "keyword") == (first.keyword, first.role)
    assert first.score >= first.threshold == 0.6
    assert 0.5 <= first.start_s < first.end_s <= first.time_s <= 0.6
    assert first.level_db == pytest.approx(20 * np.log10(0.3 / np.sqrt(2)), abs=0.1)
    assert first.rate == RATE
    assert first.wall_time is None
    assert np.array_equal(SOUND[first.audio_start : first.end], first.audio)
    assert first.start - first.audio_start == round(0.3 * RATE)
    assert first.audio.dtype == np.float32
    assert 1.5 <= second.start_s < second.end_s <= 1.8


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
@pytest.mark.parametrize("kind", [np.float32, np.int16])
def test_any_rate_type_and_number_of_channels(spotter, rate, kind):
    import soxr

    sound = soxr.resample(SOUND, RATE, rate)[:, None].repeat(2, axis=1)
    sound = (sound * 32_767).astype(np.int16) if kind is np.int16 else sound.astype(np.float32)
    found = [
        d for at in range(0, len(sound), 999) for d in spotter.push(sound[at : at + 999], rate)
    ]

    assert ["yes", "no"] == [d.keyword for d in found]
    assert found[0].start_s == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(0, np.float32),
        np.zeros(9),
        np.zeros(9, np.int32),
        np.zeros((2, 2, 2), np.float32),
        np.zeros((0, 2), np.int16),
        np.zeros((1, 17), np.int16),
        np.zeros((2, 16_000), np.float32),
        [0.1, 0.2],
        b"1234",
        None,
    ],
)
def test_samples_that_are_no_audio_are_refused(spotter, samples):
    with pytest.raises(AudioError) as caught:
        spotter.push(samples)

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("rate", [16_000.5, 0, -1, 1e9, "16000", True, np.nan, np.inf, 999])
def test_rates_that_can_not_be_are_refused(spotter, rate):
    with pytest.raises(AudioError, match="sample_rate"):
        spotter.push(SOUND, rate)
    with pytest.raises(AudioError, match="start"):
        spotter.push(SOUND, start=0.5)


@pytest.mark.parametrize("rate", [float(RATE), np.int64(RATE), np.float64(RATE)])
def test_a_rate_may_be_any_number_that_is_whole(spotter, rate):
    assert ["yes", "no"] == [found.keyword for found in spotter.push(SOUND, rate)]


def test_a_few_samples_may_have_more_channels(spotter):
    """A block of one sample is a block, whatever it was cut from."""
    for at in range(200):
        spotter.push(np.zeros((1, 2 + at % 2 * 6), np.float32))


def test_a_start_in_the_past_is_refused(spotter):
    spotter.push(SOUND)
    with pytest.raises(AudioError, match="heard before"):
        spotter.push(SOUND, start=100)
    spotter.reset()

    assert ["yes", "no"] == words(spotter.push(SOUND, start=100))


def test_lost_audio_is_told_and_counted(spotter):
    spotter.push(noise(1))
    events = spotter.process(Block(SOUND, 2 * RATE, RATE))

    assert [AudioLost(1.0, 2.0)] == [event for event in events if isinstance(event, AudioLost)]
    assert spotter.stats.lost_s == 1.0
    assert ["yes", "no"] == words(events)


def test_another_rate_is_no_lost_audio(spotter):
    spotter.push(np.zeros(4_801, np.float32), 48_000)
    events = spotter.process(Block(noise(1), spotter._stream.expected(RATE), RATE))

    assert not [event for event in events if isinstance(event, AudioLost)]


def test_what_was_heard_while_paused_never_fires(spotter):
    spotter.push(SOUND[: round(0.52 * RATE)])  # the word has begun
    spotter.pause()
    assert [] == spotter.process(Block(SOUND[:9_000], round(0.52 * RATE), RATE))
    spotter.resume()
    events = spotter.process(Block(noise(1), round(0.52 * RATE) + 9_000, RATE))

    assert [] == words(events)
    assert not [event for event in events if isinstance(event, AudioLost)]
    assert spotter.stats.lost_s == 0
    assert ["yes"] == words(spotter.push(tone("yes", 0.3)))


def test_a_pause_without_audio_is_a_jump_too(spotter):
    half = round(0.54 * RATE)
    spotter.push(SOUND[:half])
    spotter.pause()
    spotter.resume()
    hops = [
        event for event in spotter.process(Block(noise(1), half, RATE)) if isinstance(event, Scores)
    ]

    assert hops[0].start == half + 1
    assert max(hop.values[0] for hop in hops) < 0.1


# -- loops -----------------------------------------------------------------------------------


def test_a_source_is_heard_to_its_end(spotter):
    source = Blocks(SOUND[: round(1.56 * RATE)])  # ends within the second word
    events = list(spotter.events(source))

    assert ["yes", "no"] == words(events)
    assert source.closed
    assert {Scores, Detection, DigitalSilence, GateChanged} == {type(event) for event in events}
    assert spotter.stats.audio_s == pytest.approx(1.56)
    assert spotter.stats.detections == 2
    assert spotter.stats.open_s <= spotter.stats.audio_s
    wall = next(event for event in events if isinstance(event, Detection))
    assert wall.wall_time == pytest.approx(1_000 + wall.time_s)


def test_it_calls_back(spotter):
    heard = []

    @spotter.on("yes")
    def yes(detection):
        heard.append(detection)

    spotter.on(GateChanged)(heard.append)
    spotter.on(DigitalSilence)(heard.append)
    spotter.run(Blocks(SOUND))

    assert [DigitalSilence, GateChanged, Detection] == [type(event) for event in heard]
    assert heard[2].keyword == "yes"
    assert yes.__name__ == "yes"
    with pytest.raises(ConfigError, match="did you mean yes"):
        spotter.on("yess")


@pytest.mark.parametrize("what", [print, int, object, None, 3, Block])
def test_it_refuses_what_would_never_be_called(spotter, what):
    """Most of all `@spotter.on` without brackets."""
    with pytest.raises(ConfigError, match=r'write @spotter\.on\("yes"\)'):
        spotter.on(what)


def test_a_callback_may_stop_it(spotter):
    source = Blocks(SOUND, live=True)
    spotter.on("yes")(lambda _: spotter.stop())
    spotter.run(source)

    assert source.closed
    assert spotter.stats.audio_s < 0.7


def test_another_thread_may_stop_it(spotter):
    def endless():
        at = 0
        while True:
            yield Block(noise(0.02), at, RATE)
            at += 320

    source = Blocks(SOUND, live=True)
    source.__class__ = type("Endless", (Blocks,), {"__iter__": lambda self: endless()})
    timer = threading.Timer(0.1, spotter.stop)
    timer.start()
    spotter.run(source)

    assert source.closed


def test_it_iterates_over_the_microphone(spotter, monkeypatch):
    monkeypatch.setattr("kws.sources.microphone.Microphone", lambda *_, **__: Blocks(SOUND))

    assert ["yes", "no"] == [detection.keyword for detection in spotter]
    assert ["yes", "no"] == words(spotter.events())
    assert ["no"] == words(kws.listen(model=spotter.models[0], keywords="no"))


def test_it_iterates_without_blocking(spotter, monkeypatch):
    monkeypatch.setattr("kws.sources.microphone.Microphone", lambda *_, **__: Blocks(SOUND))

    async def hear():
        return [detection.keyword async for detection in spotter]

    assert ["yes", "no"] == asyncio.run(hear())


def test_files_in_one_line(models, tmp_path):
    soundfile.write(tmp_path / "t.wav", SOUND, RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "no.wav", noise(1) + tone("no", 1), RATE)

    assert ["yes", "no"] == words(kws.spot(tmp_path / "t.wav", model=models["stream"]))
    for kind in models:
        clip = tmp_path / ("no.wav" if kind == "stream" else "short.wav")
        soundfile.write(tmp_path / "short.wav", tone("no", WINDOW / RATE), RATE)
        (best, score), second = kws.classify(clip, models[kind], top=2)
        assert best == "no"
        assert score > 0.5 > second[1]


# -- captures --------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 6_000), min_size=1, max_size=9),
    gate=st.sampled_from(["none", "webrtc"]),
)
def test_a_capture_joins_the_word_without_hole_or_overlap(models, sizes, gate):
    spotter, at, turn, capture, word, blocks = (
        kws.Spotter(models["stream"], gate=gate),
        0,
        0,
        0,
        0,
        [],
    )
    while at < len(SOUND):
        size = sizes[turn % len(sizes)]
        found = spotter.push(SOUND[at : at + size])
        at, turn = at + size, turn + 1
        if found and not capture:
            word, capture = found[0], spotter.capture(found[0], seconds=0.9)
        if capture:
            blocks += capture.blocks()

    assert capture.done
    assert (word.end, RATE) == (capture.start, capture.rate)
    joined = np.concatenate([word.audio, capture.audio])
    assert np.array_equal(SOUND[word.audio_start :][: len(joined)], joined)
    assert len(capture.audio) == round(0.9 * RATE)
    assert np.array_equal(capture.audio, np.concatenate([block.samples for block in blocks]))
    assert [block.end for block in blocks[:-1]] == [block.start for block in blocks[1:]]


@pytest.mark.parametrize("gate", ["none", "webrtc"])
def test_a_capture_ends_with_silence(models, gate):
    spotter = kws.Spotter(models["stream"], gate=gate)
    (word,) = spotter.push(SOUND[: round(0.7 * RATE)])
    capture = spotter.capture(word, seconds=8, until_silence=0.3)
    assert not capture.spoke
    spotter.push(np.concatenate([tone("no", 0.5), np.zeros(RATE * 2, "f4")]))

    assert capture.done
    assert capture.spoke
    assert 1.2 - word.end_s + 0.25 < len(capture.audio) / RATE < 1.2 - word.end_s + 0.6


def test_a_jump_ends_a_capture(spotter):
    (word,) = spotter.push(SOUND[:RATE])
    capture = spotter.capture(word, seconds=8)
    spotter.push(SOUND, start=5 * RATE)

    assert capture.done
    assert word.end + len(capture.audio) == RATE


def test_audio_that_is_gone_cannot_be_captured(spotter):
    (word,) = spotter.push(np.concatenate([SOUND[:RATE], noise(9)]))
    with pytest.raises(AudioError, match="gone"):
        spotter.capture(word)


def test_a_capture_ends_where_its_source_does(spotter):
    captures = []
    spotter.on("no")(lambda word: captures.append(spotter.capture(word, 8)))
    spotter.run(Blocks(SOUND))

    (capture,) = captures
    assert capture.done
    assert np.array_equal(SOUND[capture.start :], capture.audio)


def test_a_word_known_at_the_very_end_is_followed_by_nothing(spotter):
    """The silence that makes it known is nobody's."""
    captures = []
    spotter.on("no")(lambda word: captures.append(spotter.capture(word, 8)))
    sound = SOUND[: round(1.56 * RATE)]
    spotter.run(Blocks(sound))

    (capture,) = captures
    assert capture.done
    assert np.array_equal(sound[capture.start :], capture.audio)


@settings(max_examples=15, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 6_000), min_size=1, max_size=9),
    gate=st.sampled_from(["none", "webrtc"]),
)
def test_how_the_audio_is_cut_never_shows_in_a_capture(models, sizes, gate):
    sound = np.concatenate([noise(0.5), tone("yes", 0.9), noise(1)])

    def captured(sizes):
        spotter, at, turn, captures = kws.Spotter(models["stream"], gate=gate), 0, 0, []
        while at < len(sound):
            for word in spotter.push(sound[at : at + sizes[turn % len(sizes)]]):
                captures += [spotter.capture(word, 8, until_silence=0.3)]
            at, turn = at + sizes[turn % len(sizes)], turn + 1
        spotter.finish()
        return [(capture.start, capture.end, capture.spoke) for capture in captures]

    (one,) = captured([320])
    assert [one] == captured(sizes)
    assert one[2]
    assert 0.5 * RATE < one[1] - one[0] < 1.5 * RATE


def breath(pause_s, *after):
    """Return a quiet room with a wake word in it, and what follows after a pause; where that is."""
    room, parts = np.random.default_rng(1), []
    for word, rest_s in [("", 1), ("computer", pause_s), *[(one, 2.0) for one in after]]:
        if word:
            path = Path(__file__).parent / "words" / "flite-rms" / f"{word}.opus"
            parts.append(soundfile.read(path, dtype="float32")[0])
        parts.append(room.standard_normal(round(rest_s * RATE)).astype(np.float32) * 1e-3)
    began = sum(len(part) for part in parts[:3])
    return np.concatenate(parts), began, began + sum(len(part) for part in parts[3:4])


@pytest.mark.parametrize("gate", [None, "webrtc", "none"])
@pytest.mark.parametrize(
    ("pause_s", "until_silence"), [(0, 0.8), (0.1, 0.5), (0.4, 0.5), (0.8, 0.5), (1, 0.8), (3, 0.8)]
)
def test_a_breath_after_the_wake_word_is_not_the_end(gate, pause_s, until_silence):
    """The wake word's own rest is not the speaker's first word."""
    sound, began, ended = breath(pause_s, "seven")
    spotter, captures = kws.Spotter(keywords="computer", gate=gate), []
    for at in range(0, len(sound), 800):
        found = spotter.push(sound[at : at + 800])
        captures += [spotter.capture(word, 8, until_silence) for word in found]

    (capture,) = captures
    end = capture.start + len(capture.audio)
    assert capture.done
    assert capture.spoke
    assert capture.start <= began
    assert ended < end < ended + (until_silence + 0.8) * RATE


@pytest.mark.parametrize("gate", [None, "webrtc", "none"])
def test_nobody_speaks_after_the_wake_word(gate):
    sound = breath(5)[0]
    spotter = kws.Spotter(keywords="computer", gate=gate)
    word, capture = None, None
    for at in range(0, len(sound), 800):
        for word in spotter.push(sound[at : at + 800]):
            capture = spotter.capture(word, 3, until_silence=0.5)

    assert capture.word is word
    assert capture.done
    assert not capture.spoke
    assert len(capture.audio) == 3 * RATE


# -- how captures end ------------------------------------------------------------------------


@pytest.fixture
def open_capture(spotter):
    """Let a capture of much audio begin with the first word; return what is told of it."""
    told = []

    @spotter.on("yes")
    def begin(word):
        told.append(spotter.capture(word, 60))

    @spotter.on(Captured)
    def end(captured):
        assert captured.capture is told[0]
        assert captured.capture.done
        assert captured.time_s == captured.capture.end / RATE
        told.append(captured)

    return told


def ended(told, sound):
    """Whether a capture ended, once, with all that was heard."""
    capture, _ = told
    return np.array_equal(sound[capture.start :], capture.audio)


def test_stop_ends_captures(spotter, open_capture):
    events = []
    for event in spotter.events(Blocks(SOUND, live=True)):
        events.append(event)
        if words(events) == ["yes", "no"]:
            spotter.stop()
    heard = round(spotter.stats.audio_s * RATE)

    assert ended(open_capture, SOUND[:heard])
    assert events[-1] is open_capture[1]


def test_the_end_of_a_live_source_ends_captures(spotter, open_capture):
    spotter.run(Blocks(SOUND, live=True))

    assert ended(open_capture, SOUND)


def test_ctrl_c_ends_captures(spotter, open_capture):
    spotter.run(Blocks(SOUND, live=True, loss=KeyboardInterrupt()))

    assert ended(open_capture, SOUND)


def test_ctrl_c_in_a_callback_ends_captures(spotter, open_capture):
    @spotter.on("no")
    def interrupt(word):
        raise KeyboardInterrupt

    spotter.run(Blocks(SOUND, live=True))

    assert open_capture[1].capture.done


@pytest.mark.parametrize("loss", [DeviceError("it is gone"), RuntimeError("a bug")])
def test_a_lost_device_ends_captures(spotter, open_capture, loss):
    """An iteration is told too, before the error."""
    events = []
    with pytest.raises(type(loss)):
        events.extend(spotter.events(Blocks(SOUND, live=True, loss=loss)))

    assert ended(open_capture, SOUND)
    assert (events[-1] is open_capture[1]) == isinstance(loss, DeviceError)


def test_leaving_the_loop_ends_captures(spotter, open_capture):
    events = spotter.events(Blocks(SOUND, live=True))
    while "no" not in words([next(events)]):
        pass
    events.close()

    assert open_capture[1].capture.done


@pytest.mark.parametrize("end", ["source", "stop", "lost", "break"])
def test_captures_end_without_blocking_too(spotter, open_capture, monkeypatch, end):
    loss = DeviceError("it is gone") if end == "lost" else None
    source = Blocks(SOUND, live=True, loss=loss)
    monkeypatch.setattr("kws.sources.microphone.Microphone", lambda *_, **__: source)

    async def hear():
        async for word in spotter:
            if word.keyword == "no" and end == "stop":
                spotter.stop()
            if word.keyword == "no" and end == "break":
                break

    if loss is None:
        asyncio.run(hear())
    else:
        with pytest.raises(DeviceError):
            asyncio.run(hear())

    assert open_capture[1].capture.done


def test_reset_ends_captures(spotter, open_capture):
    spotter.push(SOUND)
    spotter.reset()
    assert ended(open_capture, SOUND)
    spotter.push(SOUND[: RATE // 4])  # nothing of it is left

    assert ended(open_capture, SOUND)
    with pytest.raises(AudioError, match="gone"):
        spotter.capture(open_capture[0].word)


def test_a_pause_ends_captures(spotter, open_capture):
    """That is told with the next block, though nobody hears it."""
    spotter.push(SOUND)
    spotter.pause()
    assert open_capture[0].done
    events = spotter.process(Block(noise(0.1), len(SOUND), RATE))

    assert events == open_capture[1:]
    assert ended(open_capture, SOUND)


def test_lost_audio_ends_captures_before_it_is_told(spotter, open_capture):
    spotter.push(SOUND)
    events = spotter.process(Block(noise(0.1), 5 * RATE, RATE))

    assert [Captured, AudioLost] == [type(event) for event in events][:2]
    assert ended(open_capture, SOUND)


@pytest.mark.parametrize("seconds", [0.01, 1.5])
def test_a_full_capture_is_told_once_also_when_the_gate_is_closed(models, seconds):
    """Even one that is full as it begins."""
    spotter, told = kws.Spotter(models["stream"], gate="webrtc"), []
    spotter.on("yes")(lambda word: told.append(spotter.capture(word, seconds)))
    spotter.on(Captured)(told.append)
    sound = np.concatenate([SOUND[: round(0.8 * RATE)], np.zeros(3 * RATE, np.float32)])
    events = list(spotter.events(Blocks(sound, live=True)))
    (capture, captured), names = told, [type(event) for event in events]
    closed = [event.time_s for event in events if isinstance(event, GateChanged)][1]

    assert captured.capture is capture
    assert [captured] == [event for event in events if isinstance(event, Captured)]
    assert (captured.time_s > closed) == (seconds > 1)
    assert names.index(Captured) > names.index(Detection)


# -- settings --------------------------------------------------------------------------------


def test_keywords_and_thresholds(models):
    spotter = kws.Spotter(models["stream"], keywords=["yes", "no"], threshold={"yes": 1.0})

    assert {"yes": 1.0, "no": 0.6} == spotter.thresholds
    assert ["no"] == words(spotter.push(SOUND))
    assert kws.Spotter(models["stream"], threshold=0.3).thresholds == dict.fromkeys(
        ["yes", "no", "jarvis"], 0.3
    )


def test_thresholds_and_keywords_change_live(spotter):
    spotter.set_threshold({"no": 1.0})
    spotter.set_keywords(["no"])
    assert {"no": 1.0} == spotter.thresholds
    assert [] == spotter.push(SOUND)
    spotter.set_threshold(0.6)
    assert ["no"] == words(spotter.push(tone("no", 0.2)))
    spotter.set_keywords(None)

    assert {"yes": 0.6, "no": 0.6, "jarvis": 0.6} == spotter.thresholds


@pytest.mark.parametrize(
    ("options", "words_"),
    [
        ({"keywords": ["yess"]}, "did you mean yes"),
        ({"keywords": "banana"}, "there are yes, no, jarvis"),
        ({"keywords": []}, "no keyword is armed"),
        ({"threshold": {"nö": 0.5}}, "did you mean no"),
        ({"threshold": 1.5}, "outside 0..1"),
        ({"threshold": {"yes": -0.1}}, "outside 0..1"),
        ({"threshold": float("nan")}, "outside 0..1"),
        ({"wake": "jarvs"}, "did you mean jarvis"),
        ({"wake": []}, "wake names no word"),
        ({"wake": "yes"}, "'yes' is a command, not a wake word; wake words: jarvis"),
        ({"wake": ["jarvis", "no"], "keywords": ["yes"]}, "'no' is a command"),
        ({"false_alarms": 0.5}, "its points: none"),
        ({"false_alarms": 0.5, "threshold": 0.5}, "not both"),
        ({"gate": "silero"}, "none, webrtc"),
        ({"channel": 0}, "first channel is 1"),
        ({"overrides": "/nowhere.json"}, "can't be read"),
    ],
)
def test_options_that_make_no_sense(models, options, words_):
    with pytest.raises(ConfigError, match=words_):
        kws.Spotter(models["stream"], **options)


@pytest.mark.parametrize(
    "options",
    [
        *[{"threshold": each} for each in ("0.5", {"yes": "0.5"}, [0.5], {"yes": None}, True)],
        *[{"keywords": 5}, {"keywords": [5]}, {"wake": 5}, {"gate": 5}, {"device": 5}],
        *[{"channel": each} for each in ("left", 1.5, True)],
        *[{"overrides": 5}, {"false_alarms": "1"}],
    ],
    ids=str,
)
def test_options_of_another_type_are_one_line(models, options):
    with pytest.raises(ConfigError) as caught:
        kws.Spotter(models["stream"], **options)

    assert "\n" not in str(caught.value)


def test_changes_of_another_type_change_nothing(spotter):
    before = spotter.thresholds
    for change in (
        lambda: spotter.set_threshold("0.5"),
        lambda: spotter.set_threshold({"yes": "high"}),
        lambda: spotter.set_sensitivity("50"),
        lambda: spotter.set_sensitivity({"yes": "high"}),
        lambda: spotter.set_keywords(5),
        lambda: spotter.playback(on=True, raise_to="high"),
        lambda: spotter.playback(on=True, max_s="long"),
        lambda: spotter.playback(on=True, live=5),
    ):
        with pytest.raises(ConfigError, match="makes no sense"):
            change()
    with pytest.raises(AudioError, match="is no Block"):
        spotter.process(SOUND)
    for path in (5, b"x", None):
        with pytest.raises(AudioError, match="is no path"):
            kws.spot(path, model=spotter.models[0])
    with pytest.raises(ModelError, match="5 is no path"):
        kws.load(5)

    assert before == spotter.thresholds
    assert ["yes", "no"] == words(spotter.push(SOUND))


def test_only_one_thread_is_heard(spotter):
    """Whose audio comes next? The others are told; what the first pushed is heard."""
    inside, leave, told = threading.Event(), threading.Event(), []

    @spotter.on("yes")
    def wait(_):
        inside.set()
        leave.wait(30)

    pushing = threading.Thread(target=lambda: told.append(words(spotter.push(SOUND))))
    pushing.start()
    assert inside.wait(30)
    for attempt in (spotter.finish, lambda: spotter.process(Block(SOUND, 99_999, RATE))):
        with pytest.raises(AudioError, match="another thread is pushing"):
            attempt()
    spotter.set_threshold({"no": 0.5})  # what holds may be changed meanwhile
    leave.set()
    pushing.join(30)

    assert [["yes", "no"]] == told


def test_settings_change_beside_a_push(spotter):
    """From several threads: none of them, nor who looks on, meets half a change."""
    failed, ended = [], threading.Event()

    def repeat(*steps):
        try:
            while not ended.is_set():
                for step in steps:
                    step()
        except BaseException as error:  # noqa: BLE001 - whatever it is
            failed.append(error)

    rounds = [
        (lambda: spotter.set_keywords(["no"]), lambda: spotter.set_keywords(None)),
        (lambda: spotter.set_threshold(0.5), lambda: spotter.set_threshold(0.6)),
        (lambda: spotter.playback(on=True, max_s=1e-9), lambda: spotter.playback(on=False)),
        (lambda: spotter.thresholds, lambda: spotter.scores),
    ]
    threads = [threading.Thread(target=repeat, args=steps) for steps in rounds]
    switching = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for _ in range(20):
            spotter.push(SOUND[:RATE])
    finally:
        ended.set()
        for thread in threads:
            thread.join(30)
        sys.setswitchinterval(switching)

    assert not failed


def test_a_model_can_be_pickled(tmp_path):
    """It is opened again where it arrives, with the card that it had."""
    model = kws.load(write(tmp_path / "x.onnx"))
    model.card = replace(model.card, hop=2 * HOP)
    again, gate = (
        pickle.loads(pickle.dumps(each))  # noqa: S301 - it was made here
        for each in (model, kws.load().gate)
    )

    assert model.card == again.card
    assert np.array_equal(
        again.run(np.ones((1, HOP), np.float32))[0], model.run(np.ones((1, HOP), np.float32))[0]
    )
    assert gate.labels == kws.load().gate.labels
    assert copy.copy(model)._session is model._session
    model.path.unlink()
    with pytest.raises(ModelError, match="no such file"):
        copy.deepcopy(model)


def test_operating_points(tmp_path):
    rate = Rate(0.5, 1, 2.0, 0.0, 2.8)
    points = [
        OperatingPoint(0.5, "keyword", {"yes": 0.8, "no": 0.7}, rate),
        OperatingPoint(0.5, "wake", {"jarvis": 0.9}, rate),
        OperatingPoint(1.0, "keyword", {"yes": 0.6, "no": 0.5}, rate),
    ]
    model = kws.load(write(tmp_path / "t.onnx", card(operating_points=points)))

    assert {"yes": 0.8, "no": 0.7, "jarvis": 0.9} == kws.Spotter(model, false_alarms=0.5).thresholds
    assert {"yes": 0.6} == kws.Spotter(model, false_alarms=1, keywords="yes").thresholds
    some = kws.Spotter(model, false_alarms=0.5, keywords=["yes", "no"], threshold={"no": 0.1})
    assert {"yes": 0.8, "no": 0.1} == some.thresholds
    with pytest.raises(ConfigError, match=r"its points: 0\.5, 1"):
        kws.Spotter(model, false_alarms=0.1)
    with pytest.raises(ConfigError, match="jarvis"):
        kws.Spotter(model, false_alarms=1)


def test_an_override_file(models, tmp_path):
    path = tmp_path / "tuned.json"
    path.write_text(json.dumps({"thresholds": {"yes": 0.77}, "decision": {"release_s": 0.1}}))
    spotter = kws.Spotter(models["stream"], overrides=path)

    assert spotter.thresholds["yes"] == 0.77
    assert spotter._chain.decision._release == round(0.1 * RATE)
    assert kws.Spotter(models["stream"], overrides=path, threshold=0.2).thresholds["yes"] == 0.2
    for text in ['{"treshold": {}}', '{"decision": {"x": 1}}', "["]:
        path.write_text(text)
        with pytest.raises(ConfigError, match=r"tuned\.json"):
            kws.Spotter(models["stream"], overrides=path)


def test_wake_word_then_command_in_one_breath(models):
    sound = [noise(0.4), tone("jarvis", 0.3), noise(0.1), tone("yes", 0.3), noise(0.5)]
    command = np.concatenate([noise(0.3), tone("no", 0.3), *sound])
    spotter = kws.Spotter(models["stream"], wake="jarvis")

    assert ["jarvis", "yes"] == words(spotter.push(command))
    assert {"yes": 0.6, "no": 0.6, "jarvis": 0.6} == spotter.thresholds
    anything = kws.Spotter(models["stream"])
    assert ["no", "jarvis", "yes"] == words(anything.push(command))


def test_a_keyword_may_be_the_wake_word(tmp_path):
    """Of a model that was made without wake words."""
    labels = [*LABELS[:2], Label("jarvis", "keyword"), LABELS[3]]
    model = write(tmp_path / "commands.onnx", card(labels=labels))
    spotter = kws.Spotter(model, wake=["yes"], keywords=["no"])

    assert ["yes", "no"] == words(spotter.push(SOUND))
    assert [] == words(spotter.push(np.concatenate([noise(6), tone("no", 0.3)])))


def test_a_stuck_keyword_is_told(spotter):
    events = spotter.process(Block(tone("yes", 4), 0, RATE))

    assert [("yes")] == [event.keyword for event in events if isinstance(event, KeywordStuck)]


def test_several_models_share_one_stream(models, tmp_path):
    labels = [Label("oui", "keyword"), Label("non", "keyword"), Label("jarvis"), Label("_rest_")]
    names = {"oui": Threshold(0.5), "non": Threshold(0.5)}
    other = card("window", hop=640, hops=3, labels=labels, thresholds=names)
    spotter = kws.Spotter(
        [models["stream"], write(tmp_path / "o.onnx", other, hop=640, hops=3)], gate="webrtc"
    )
    events = spotter.process(Block(SOUND, 0, RATE))

    assert {0, 1} == {event.model for event in events if isinstance(event, Scores)}
    assert len(words(events)) == 2
    assert set(spotter.scores) == {"yes", "no", "jarvis", "oui", "non"}
    slow = write(tmp_path / "s.onnx", card(sample_rate=8_000))
    with pytest.raises(ConfigError, match="rates"):
        kws.Spotter([models["stream"], slow])


def test_figures(models):
    spotter = kws.Spotter(models["stream"], gate="webrtc")
    spotter.push(np.zeros(RATE, np.float32))
    assert not spotter.gate_open
    assert spotter.level_db == -120
    spotter.push(tone("yes", 0.3))

    assert spotter.gate_open
    assert spotter.level_db == pytest.approx(-13.5, abs=0.1)
    assert spotter.scores["yes"] > 0.99
    assert spotter.stats.audio_s == pytest.approx(1.3)
    assert spotter.stats.detections == 1
    assert 0.2 < spotter.stats.open_s <= 0.3
    assert spotter.stats.inferences >= spotter.stats.open_s * RATE / HOP
    assert spotter.latency == HOP - 1 + 319


@pytest.mark.parametrize("kind", ["stream", "window"])
def test_a_spotter_takes_less_than_a_megabyte(tmp_path, kind):
    what = card(kind, hop=1_600, hops=20)  # a window of 2 s
    model = kws.load(write(tmp_path / "big.onnx", what, hop=1_600, hops=20))
    kws.Spotter(model, gate="webrtc").push(SOUND)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        spotter = kws.Spotter(model, gate="webrtc")
        for _ in range(5):
            spotter.push(SOUND)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()

    assert grown < 1_000_000
    assert len(LABELS) == len(spotter.models[0].labels)
