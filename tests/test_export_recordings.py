"""Recordings for an export: the default set is what it says, folders are read as they lie."""

import collections

import numpy as np
import pytest
import soundfile

from export import labels, recordings
from export.clips.__main__ import script
from export.recordings import AUDIO, INDEX, SILENCE, default, halves, read
from kws.errors import DataError


@pytest.fixture(scope="module")
def clips():
    """The default set, as models at 16 kHz hear it."""
    return default()


def tone(hertz, rate, seconds):
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype("f4")


def test_the_default_set_holds_words_sentences_and_silence(clips):
    """Every word of Speech Commands by several voices, in a second; sentences of up to five."""
    words = [clip for clip in clips if clip.label not in {None, SILENCE}]
    sentences = [clip for clip in clips if clip.label is None]
    times = collections.Counter(clip.label for clip in words)

    assert times.keys() >= labels.SPEECH_COMMANDS
    assert len(words) >= 64
    assert min(times[word] for word in labels.SPEECH_COMMANDS) >= 4
    assert {len(clip.samples) for clip in words} == {16_000}
    assert len(sentences) >= 4
    assert max(len(clip.samples) for clip in sentences) <= 5 * 16_000
    assert len({clip.name.split("/")[0] for clip in words}) == 8
    assert sum(clip.label == SILENCE for clip in clips) >= 8
    assert not next(clip for clip in clips if clip.name == "silence").samples.any()


def test_the_default_set_is_small_and_always_the_same(clips):
    """400 kB at most on disk; two calls give equal samples, which are none outside [-1, 1]."""
    again = default()

    assert AUDIO.stat().st_size + INDEX.stat().st_size <= 400_000
    for one, other in zip(clips, again, strict=True):
        assert np.array_equal(one.samples, other.samples)
        assert np.float32 == one.samples.dtype
        assert np.abs(one.samples).max() <= 1


def test_the_default_set_follows_its_script(clips):
    """The clips in the repository are those that the script would say, in its order."""
    assert [label for _, label, _ in script()] == [
        clip.label for clip in clips if clip.label != SILENCE
    ]


def test_the_default_set_comes_at_any_rate(clips):
    """At 48 kHz a second has 48,000 samples, and the same level."""
    faster = default(48_000)

    for slow, fast in zip(clips[:5], faster[:5], strict=True):
        assert 3 * len(slow.samples) == len(fast.samples)
        assert np.std(fast.samples) == pytest.approx(np.std(slow.samples), rel=0.1)


def test_folders_are_labels(tmp_path):
    """Speech Commands' layout: a folder a word. Files beside the folders have no label."""
    (tmp_path / "yes").mkdir()
    soundfile.write(tmp_path / "yes" / "a.wav", tone(440, 16_000, 1), 16_000)
    soundfile.write(tmp_path / "loose.flac", tone(440, 16_000, 1), 16_000)
    (tmp_path / "yes" / "notes.txt").write_text("not audio")
    (tmp_path / "yes" / "._a.wav").write_bytes(b"left by a Mac")

    assert [("loose.flac", None), ("yes/a.wav", "yes")] == [
        (clip.name, clip.label) for clip in read(tmp_path, 16_000)
    ]


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "mp3"])
def test_recordings_of_any_kind_become_mono_at_the_rate_asked_for(ending, tmp_path):
    """A stereo recording at 44.1 kHz gives the mean of its channels at 16 kHz."""
    both = np.stack([tone(440, 44_100, 1), 0 * tone(440, 44_100, 1)], axis=1)
    soundfile.write(tmp_path / f"a.{ending}", both, 44_100)
    (clip,) = read(tmp_path, 16_000)

    assert abs(len(clip.samples) - 16_000) < 1_600  # MP3 adds a little
    assert np.std(clip.samples[4_000:12_000]) == pytest.approx(0.25 / 2**0.5, rel=0.05)


def test_channels_that_cancel_each_other_out_are_heard_alone(tmp_path):
    """From the first sample on: the louder one."""
    sound = tone(440, 16_000, 1)
    soundfile.write(tmp_path / "a.wav", np.stack([-0.9 * sound, sound], axis=1), 16_000)
    (clip,) = read(tmp_path, 16_000)

    assert np.allclose(sound, clip.samples, atol=1e-4)


def test_a_large_folder_is_sampled_evenly(tmp_path):
    """Of ten labels with four recordings each, ten recordings know every label."""
    for label in range(10):
        (tmp_path / f"label{label}").mkdir()
        for number in range(4):
            soundfile.write(tmp_path / f"label{label}" / f"{number}.wav", np.ones(99), 16_000)
    found = read(tmp_path, 16_000, most=10)

    assert 10 == len(found) == len({clip.label for clip in found})
    assert 40 == len(read(tmp_path, 16_000))


def test_a_long_recording_is_heard_from_its_start(tmp_path):
    """An hour in the folder takes no hour."""
    soundfile.write(tmp_path / "long.wav", np.zeros(15 * 8_000), 8_000)

    assert recordings.LONGEST_S * 8_000 == len(read(tmp_path, 8_000)[0].samples)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "holds no recordings"),
        (b"no audio", "can't be read as audio"),
        (np.zeros(0), "is empty"),
        (np.full(99, np.nan, np.float32), "no numbers"),
    ],
)
def test_bad_recordings_are_refused(content, message, tmp_path):
    """One line names the file and says what is wrong."""
    path = tmp_path / "bad.wav"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        soundfile.write(path, content, 16_000, subtype="FLOAT")

    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path, 16_000)
    assert str(path if content is not None else tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_folder_is_named(tmp_path):
    """Nothing is created, the path is in the message."""
    with pytest.raises(DataError, match="nowhere: is no folder"):
        read(tmp_path / "nowhere", 16_000)


def test_halves_are_apart_and_alike(clips):
    """No clip is in both halves; each repeated label is; one clip alone serves for both."""
    one, other = halves(clips)
    times = collections.Counter(clip.label for clip in clips)
    repeated = {label for label, count in times.items() if count > 1}

    assert abs(len(one) - len(other)) <= 1
    assert {clip.name for clip in clips} == {clip.name for clip in [*one, *other]}
    assert not {clip.name for clip in one} & {clip.name for clip in other}
    assert repeated <= {clip.label for clip in one} & {clip.label for clip in other}
    assert (clips[:1], clips[:1]) == halves(clips[:1])
