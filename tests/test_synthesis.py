# ruff: noqa: RUF001  phonetic symbols look like letters
"""Synthesis: every voice here speaks, at every speed and pitch; near-misses are near, and miss."""

import os
import shutil
import subprocess
import sys
from functools import cache
from itertools import combinations

import numpy as np
import pytest
import soundfile

from export import demo, synthesis
from export.synthesis import (
    CAST,
    RATE,
    Voice,
    holding,
    installed,
    near_misses,
    pronounces,
    said,
    say,
    sentences,
    speech,
)  # fmt: skip
from export.synthesis import nearmisses as near
from export.synthesis.likeness import CONSONANTS, VOWELS, distances, mass
from export.synthesis.pronunciation import pronounced, words
from export.synthesis.renderings import PER_VOICE, PITCHES, SPEEDS, manners
from kws.errors import DataError

SLT, ANN = Voice("flite", "slt"), Voice("espeak-ng", "en-us")
KAL, RMS = Voice("festival", "kal_diphone"), Voice("flite", "rms")


@pytest.fixture
def voices(request):
    """Every program of the three, or a reason why this test was left out."""
    programs = {"espeak-ng": "espeak-ng", "flite": "flite", "festival": "text2wave"}
    missing = [name for name, program in programs.items() if shutil.which(program) is None]
    if missing:
        reason = f"{request.node.nodeid} needs {', '.join(missing)}: `.ci/setup voices`"
        if os.environ.get("CI"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    return installed()


@pytest.fixture
def alone(monkeypatch, tmp_path):
    """A computer without synthesisers."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(near, "sounds", cache(near.sounds.__wrapped__))


def fundamental(audio):
    """Return the median pitch of what is loud: Hz."""
    frames = np.lib.stride_tricks.sliding_window_view(audio, 1280)[::640]
    frames = frames[np.sqrt((frames**2).mean(1)) > 0.1 * np.abs(audio).max()]
    found = []
    for frame in frames - frames.mean(1, keepdims=True):
        likeness = np.correlate(frame, frame, "full")[1279:]
        lag = 45 + likeness[45:230].argmax()
        if likeness[lag] > 0.5 * likeness[0]:
            found.append(RATE / lag)
    return np.median(found)


def test_every_voice_here_is_listed_once(voices):
    """The cast is among them, espeak-ng's variants too; no two names are one voice."""
    espeak = [voice for voice in voices if voice.program == "espeak-ng"]

    assert {*CAST} <= {*voices}
    assert len(voices) == len({*map(str, voices)})
    assert 20 <= len(espeak) <= 100
    assert {"en+m3", "en+f2", "en-us+f1"} <= {voice.name for voice in espeak}
    assert len({say(voice, "hey", speed=1.5).tobytes() for voice in espeak[::3]}) == len(
        espeak[::3]
    )


@pytest.mark.parametrize("voice", [SLT, RMS, ANN, KAL], ids=str)
def test_speed_and_pitch_are_what_they_say(voices, voice):
    """Half as fast again takes two thirds of the time; four semitones are four, give or take."""
    text = "hello my good old friend marvin"
    plain = say(voice, text)
    fast = say(voice, text, speed=1.5)
    high = say(voice, text, pitch=4)

    assert plain.dtype == np.float32
    assert plain.ndim == 1
    assert len(fast) / len(plain) == pytest.approx(1 / 1.5, rel=0.12)
    assert len(high) / len(plain) == pytest.approx(1, rel=0.05)
    assert 12 * np.log2(fundamental(high) / fundamental(plain)) == pytest.approx(4, abs=1.3)


def test_own_silence_is_cut_off(voices):
    """What is said begins and ends within 50 ms of the recording's ends."""
    for voice in CAST:
        audio = say(voice, "marvin")
        loud = np.flatnonzero(np.abs(audio) > 10 ** (-50 / 20))

        assert loud[0] <= RATE // 20
        assert len(audio) - loud[-1] <= RATE // 20


@pytest.mark.parametrize("text", ["--help", "$(touch pwned); `touch pwned` \"'", "-v en-us"])
def test_a_text_is_only_ever_said(voices, monkeypatch, tmp_path, text):
    """No program takes it for an option, no shell reads it."""
    monkeypatch.chdir(tmp_path)
    for voice in (SLT, ANN, KAL):
        assert len(say(voice, text)) > RATE / 4

    assert not list(tmp_path.iterdir())


def test_the_demo_is_what_it_was(voices):
    """These voices, at their own speed and pitch, say the bundled recording to the bit."""
    audio, rate = soundfile.read(demo.PATH, dtype="int16")

    assert rate == RATE
    assert np.array_equal(np.round(demo.recording() * 2**15).astype(np.int16), audio)


@pytest.mark.parametrize(
    ("voice", "text", "message"),
    [
        (Voice("espeak-ng", "nobody"), "hey", "espeak-ng-nobody could not say 'hey': Error"),
        (Voice("festival", "nobody"), "hey", "festival-nobody could not say 'hey': SIOD ERROR"),
        (SLT, "привет", "no letter that flite-slt knows"),
        (ANN, "...", "no letter that espeak-ng-en-us knows"),
        (RMS, " ", "no letter that flite-rms knows"),
    ],
    ids=["no such espeak-ng voice", "no such festival voice", "letters", "dots", "nothing"],
)
def test_who_cannot_say_it_says_so(voices, voice, text, message):
    """One line: who, what, why; no command line, no path."""
    with pytest.raises(DataError, match=message) as caught:
        say(voice, text)

    assert len(str(caught.value).splitlines()) == 1
    assert "/" not in str(caught.value)


def test_speeds_and_pitches_have_bounds():
    for wrong in ({"speed": 3}, {"speed": 0}, {"pitch": 12}, {"pitch": float("nan")}):
        with pytest.raises(DataError, match="is beyond 0"):
            say(SLT, "hey", **wrong)


def test_without_synthesisers_nobody_speaks(alone):
    """No voices, and each who asks for one is told what to install."""
    assert installed() == []
    assert not pronounces()
    with pytest.raises(DataError, match="flite is not installed"):
        say(SLT, "hey")
    for asked in (lambda: said("hey", 3), lambda: speech(1)):
        with pytest.raises(DataError, match="install espeak-ng, flite or festival"):
            asked()


def test_a_phrase_in_many_voices(voices):
    """As many as asked for, no two alike, the same at every call, others for another seed."""
    once, again, other = said("marvin", 8), said("marvin", 8), said("marvin", 8, seed=2)

    assert len(once) == len(other) == 8
    assert all(np.array_equal(a, b) for a, b in zip(once, again, strict=True))
    assert len({audio.tobytes() for audio in [*once, *other]}) == 16
    assert min(len(audio) for audio in once) > RATE / 5


def test_voices_that_cannot_say_it_are_left_out(voices):
    """Latin letters are all that flite and festival have; nobody can say nothing."""
    assert 0 < len(said("привет", 6)) < 6
    with pytest.raises(DataError, match="could not say ' '"):
        said(" ", 3)


def test_voices_take_turns():
    """Every voice and program speaks; espeak-ng's many don't drown the others."""
    cast = [SLT, RMS, KAL, *(Voice("espeak-ng", f"en+m{number}") for number in range(40))]
    first = manners(cast, 20, 1)
    every = manners(cast, 120, 1)

    assert {voice for voice, _, _ in every} == {*cast}
    assert {voice.program for voice, _, _ in first} == {"flite", "espeak-ng", "festival"}
    assert sum(voice.program == "espeak-ng" for voice, _, _ in first) <= 15
    assert len(manners(cast[:2], 10_000, 1)) == 2 * PER_VOICE


def test_no_two_manners_are_near_duplicates():
    """Speeds and pitches stay in their bounds, and one voice's differ from each other."""
    ways = [(speed, pitch) for _, speed, pitch in manners([SLT], PER_VOICE, 3)]

    assert all(SPEEDS[0] <= speed <= SPEEDS[1] for speed, _ in ways)
    assert all(PITCHES[0] <= pitch <= PITCHES[1] for _, pitch in ways)
    assert min(
        np.hypot(np.log(one[0] / other[0]) / 0.05, (one[1] - other[1]) / 0.5)
        for one, other in combinations(ways, 2)
    ) >= 0.7  # fmt: skip


def test_near_misses_of_a_phrase(voices):
    """Its parts, another word here or there, another order; the same at every call."""
    found = near_misses("hey marvin", 60)

    assert {"hey", "marvin", "marvin hey", "a marvin", "hey martin", "marvel"} <= {*found}
    assert len(found) == len({*found}) == 60
    assert near_misses("Hey, MARVIN!", 60) == found
    assert near_misses("hey_marvin", 10) == found[:10]


@pytest.mark.parametrize(
    ("text", "wanted", "unwanted"),
    [
        ("no", {"low", "go", "known", "nose", "snow"}, {"know", "knows", "no"}),
        ("right", {"bright", "ride", "light"}, {"write", "rights", "writes", "wright", "writing"}),
        ("stop", {"stock", "step", "top", "shop"}, {"stopped", "stops", "stopping"}),
        ("computer", {"commuter", "compute", "composer"}, {"computers"}),
        ("trick or treat", {"trick", "treat", "trickle treat"}, {"tricks or treat's"}),
    ],
)
def test_near_misses_of_words(voices, text, wanted, unwanted):
    """Words that sound alike, but no homophone nor inflection: those are the word."""
    found = {*near_misses(text, 200)}

    assert wanted <= found
    assert not unwanted & found


@pytest.mark.parametrize("text", ["hey marvin", "no", "dracarys", "hadouken"])
def test_no_near_miss_is_the_phrase(voices, text):
    """None is pronounced as the phrase is, in either accent."""
    found = near_misses(text, 30)

    assert len(found) >= 20
    assert not any(holding(found, text))
    for accent in ("en-us", "en-gb"):
        target, *others = pronounced([text, *found], accent)
        assert target not in others


def test_other_phrases_are_no_near_misses(voices):
    """Words that are spotted too must not be taught as the absence of a word."""
    found = near_misses("hey marvin", 40, without=["marvin", "hey martin"])

    assert len(found) == 40
    assert not [name for name in found if "marvin" in name or name == "hey martin"]


def test_holding_tells_who_says_a_phrase(voices):
    """Itself, homophones, inflections, and longer words round a word of two syllables."""
    asked = ["know", "nose", "no", "knows", "snow", "note", "notice"]
    assert holding(asked, "no") == [True, False, True, True, False, False, False]
    assert holding(["supercomputer", "hay computers", "compute"], "computer") == [True, True, False]
    assert holding([], "no") == []


def test_near_misses_by_spelling(alone):
    """Without espeak-ng: cruder, but none is the phrase, and all come from the same words."""
    found = near_misses("hey marvin", 60)

    assert {"hey", "marvin", "marvin hey", "hey martin", "hi marvin"} <= {*found}
    assert "hey marvin" not in found
    assert "know" not in near_misses("no", 30)
    assert {word for name in found for word in name.split()} <= {*near.vocabulary()}


@pytest.mark.parametrize("text", ["", " ", "...", "_"])
def test_a_phrase_without_words_is_refused(text):
    with pytest.raises(DataError, match="holds no word"):
        near_misses(text, 5)


def test_likeness_knows_sounds():
    """Alike sounds cost little, unlike ones much, none is negative; the way does not matter."""
    pairs = {"td": 0.35, "mn": 0.5, "sz": 0.35, "ɪi": 0.35}
    for (one, other), most in pairs.items():
        assert 0 < distances([(one,)], (other,))[0, -1] <= most
    every = [(symbol,) for symbol in [*VOWELS, *CONSONANTS]]
    table = np.array([distances(every, symbol)[:, -1] for symbol in every])

    assert np.allclose(table, table.T)
    assert np.array_equal(table == 0, np.eye(len(every), dtype=bool))
    assert distances([(), ("m", "ɑ")], ("m", "ɑ", "t")).shape == (2, 4)
    assert distances([()], ("m", "ɑ", "t"))[0, -1] == pytest.approx(mass(("m", "ɑ", "t")))
    assert distances([("m", "ɑ")], ("m", "ɑ", "t"))[0, 2] == 0


def test_the_vocabulary_is_clean():
    """Thousands of small words, each once, in order, pronounceable by spelling alone."""
    found = near.vocabulary()

    assert 4000 <= len(found) <= 6000
    assert list(found) == sorted({*found})
    assert all(word.isalpha() and word.islower() and word.isascii() for word in found)


def test_sentences_lack_the_phrases(voices):
    """None of the words, their homophones or inflections; the rest stay as they are."""
    every = sentences()
    kept = sentences(["right", "no ice"])
    lost = {word for text in {*every} - {*kept} for word in words(text)}

    assert len(every) >= 150
    assert 100 <= len(kept) < len(every)
    assert {*kept} < {*every}
    assert "ice" in lost
    assert not [text for text in kept if "no ice" in text or "right" in words(text)]
    assert sentences(["marvin"]) == every


def test_a_synthesised_background(voices):
    """As long as asked, the same at every call, in several voices."""
    once, again = speech(2), speech(2)

    assert 2 <= sum(map(len, once)) / RATE <= 120
    assert all(np.array_equal(a, b) for a, b in zip(once, again, strict=True))
    assert len({audio.tobytes() for audio in once}) == len(once)
    assert not np.array_equal(once[0], speech(2, seed=2)[0])
    assert speech(0) == []


def test_speaking_is_quick_to_load():
    """The room needs neither torch nor transformers."""
    code = "import sys, export.synthesis; print({'torch', 'transformers'} & set(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert result.stdout.strip() == "set()"


def test_the_public_names_exist():
    assert all(hasattr(synthesis, name) for name in synthesis.__all__)
