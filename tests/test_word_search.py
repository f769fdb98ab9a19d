"""Word search: the word is found wherever it lies in a recording of any length."""

import json
import subprocess
import sys
from itertools import pairwise

import models as tones
import numpy as np
import pytest
import soundfile
from audio_files import written
from hypothesis import given, settings
from hypothesis import strategies as st

from kws.card import Label
from kws.classifiers import classify_clip
from kws.errors import AudioError
from kws.flow import Block
from kws.session import load
from kws.shortcuts import classify
from kws.word_search import AFTER_S, BEFORE_S, find_peak, find_word

RATE = tones.RATE


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A stream model and its twin, a window model that hears no more than its window at once."""
    folder = tmp_path_factory.mktemp("searched")
    limits = {"min_samples": tones.WINDOW, "max_samples": tones.WINDOW}
    return {
        kind: load(tones.write(folder / f"{kind}.onnx", tones.card(kind, **changes)))
        for kind, changes in {"stream": {}, "window": limits}.items()
    }


def placed(word, before, after, seconds=0.4):
    """A word in quiet noise, so many seconds after its beginning and before its end."""
    audio = tones.noise(before + seconds + after)
    at = round(before * RATE)
    audio[at : at + round(seconds * RATE)] += tones.tone(word, seconds)
    return audio


def best(model, audio, **options):
    scores = find_word(model, [Block(audio, 0, RATE)], **options)
    return model.labels[int(scores.argmax())]


@pytest.mark.parametrize("kind", ["stream", "window"])
@pytest.mark.parametrize(
    ("before", "after"), [(0, 0), (0, 1), (0, 7), (0.7, 0), (5, 0), (3, 3), (0.31, 1.7)]
)
def test_the_word_may_lie_anywhere(searched, kind, before, after):
    """At the very start, the very end, and with seconds of nothing around it."""
    assert best(searched[kind], placed("no", before, after)) == "no"


@pytest.mark.parametrize("kind", ["stream", "window"])
def test_the_clearer_of_two_words_is_told(searched, kind):
    """A short, faint one does not hide it, whichever comes first."""
    faint, clear = placed("yes", 1, 1, seconds=0.1), placed("jarvis", 1, 1)

    for audio in (np.concatenate([faint, clear]), np.concatenate([clear, faint])):
        assert best(searched[kind], audio) == "jarvis"


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """A model of a keyword, other words and silence, by three tones."""
    labels = [Label("yes", "keyword"), Label("_unknown_"), Label("_silence_")]
    card = tones.card(labels=labels, thresholds={})
    return load(tones.write(tmp_path_factory.mktemp("three") / "m.onnx", card, labels=3))


def test_where_no_keyword_is_clear_another_word_is(three):
    """A word that is no keyword is not silence, however much silence follows it."""
    hum = tones.tone("jarvis", 4)  # what sounds like silence to this model
    word = np.concatenate([hum, tones.tone("no", 0.5), hum])
    both = np.concatenate([word, tones.tone("yes", 0.5), hum])

    assert [best(three, each) for each in (hum, word, both)] == ["_silence_", "_unknown_", "yes"]


def test_what_is_unclear_is_what_the_whole_is(three):
    """Without a clear moment the mean over the recording counts, not one hop's accident."""
    audio = tones.noise(3)
    scores = find_word(three, [Block(audio, 0, RATE)])

    assert scores.shape == (3,)
    assert scores.max() < 0.5


@settings(max_examples=20, deadline=None)
@given(sizes=st.lists(st.integers(1, 20_000), min_size=1, max_size=20))
@pytest.mark.parametrize("kind", ["stream", "window"])
def test_any_cut_of_the_audio_gives_the_same(searched, kind, sizes):
    """Scores, moment and the audio around it."""
    audio = placed("no", 1.3, 4)
    cuts = np.unique([0, *np.minimum(np.cumsum(sizes), len(audio)), len(audio)])
    blocks = [Block(audio[a:b], int(a), RATE) for a, b in pairwise(cuts)]

    found, wanted = (find_peak(searched[kind], each) for each in (blocks, [Block(audio, 0, RATE)]))

    assert np.array_equal(wanted.answer, found.answer)
    assert (wanted.end, wanted.start) == (found.end, found.start)
    assert np.array_equal(wanted.audio, found.audio)


@pytest.mark.parametrize(("before", "after"), [(0, 0), (0.2, 6), (6, 0.2), (6, 6)])
def test_a_second_stage_judges_the_audio_around_the_peak(searched, before, after):
    """It gets the recording's own samples, as far as they reach, and its answer is the answer."""
    audio, peaks = placed("no", before, after), []

    def verify(peak):
        peaks.append(peak)
        return np.array([0.9, 0, 0, 0], np.float32)

    assert best(searched["stream"], audio, verify=verify) == "yes"
    (peak,) = peaks
    heard = np.concatenate([audio, np.zeros(RATE, np.float32)])
    assert np.array_equal(heard[peak.start : peak.start + len(peak.audio)], peak.audio)
    assert peak.start == max(0, peak.end - round(BEFORE_S * RATE))
    assert peak.start + len(peak.audio) == peak.end + round(AFTER_S * RATE)
    assert before * RATE < peak.end - 0.2 * RATE < (before + 0.4) * RATE
    assert peak.scores.argmax() == peak.answer.argmax() == 1


def test_what_fits_in_one_call_is_heard_in_one(searched):
    """A window model's answer to a short clip is the original's."""
    clip = tones.tone("no", tones.WINDOW / RATE)
    found = find_word(searched["window"], [Block(clip, 0, RATE)])

    assert np.array_equal(classify_clip(searched["window"], clip), found)


@pytest.mark.parametrize("kind", ["stream", "window"])
def test_no_audio_is_no_word(searched, kind):
    with pytest.raises(AudioError, match="empty"):
        find_word(searched[kind], [])


MEASURED = """
import json, resource, sys
from kws.session import load
from kws.shortcuts import classify
model, short, long = sys.argv[1:]
model = load(model)
peaks = []
for path in (short, long):
    classify(path, model)
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
print(json.dumps(peaks))
"""


def grown(*arguments):
    """Return by how many MiB a process grew on the second of two recordings."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *map(str, arguments)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    before, after = json.loads(done.stdout)
    return (after - before) / 1_024


@pytest.mark.parametrize("kind", ["stream", "window"])
def test_memory_does_not_grow_with_the_recording(tmp_path, kind):
    """Of half an hour, 110 MiB of samples, no more is held than of ten seconds."""
    limits = {"max_samples": 2 * 8_000} if kind == "window" else {}
    what = tones.card(kind, hop=8_000, hops=2, **limits)
    model = tones.write(tmp_path / "m.onnx", what, hop=8_000, hops=2)
    short = written(tmp_path, "short.flac", tones.noise(10))
    with soundfile.SoundFile(tmp_path / "long.flac", "w", RATE, 1) as file:
        for _ in range(180):
            file.write(np.zeros(10 * RATE, np.float32))

    assert grown(model, short, tmp_path / "long.flac") < 30


def test_a_word_of_people_is_found_with_nothing_around_it(recordings, tmp_path):
    """Twelve of twelve *yes*, and *computer*, with a second of nothing appended."""
    clips = [("yes", "speech_commands")] * 12 + [("computer", "wake")] * 4
    seen = {}
    for number, (label, kind) in enumerate(clips):
        clip = recordings.clips(kind, label)[seen.setdefault(label, 0)]
        seen[label] += 1
        audio = np.concatenate([recordings.read(clip), np.zeros(RATE, np.float32)])
        path = written(tmp_path, f"{number}.wav", audio)
        assert classify(path)[0][0] == label, clip
