"""Simulated streams: the words lie where the truth says, over a background that never breaks."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import soundfile
from audio_files import text, written

from kws.errors import AudioError, ConfigError, DataError
from kws.evaluate.corpus.reading import read
from kws.evaluate.simulation.rooms import read_rooms
from kws.evaluate.simulation.simulate import build, clean
from kws.evaluate.simulation.standard import PEAK, active_level, standard
from kws.evaluate.simulation.tape import FADE_S, Tape
from kws.evaluate.truthfile import read_truth

RATE = 16_000
DRY = [np.ones(1)]
"""A room that changes nothing."""


def hiss(seconds, level=0.01, seed=0):
    return (level * np.random.default_rng(seed).standard_normal(round(seconds * RATE))).astype(
        np.float32
    )


def hum(frequency, seconds, level=0.1):
    time = np.arange(round(seconds * RATE)) / RATE
    return (level * np.sin(2 * np.pi * frequency * time)).astype(np.float32)


def beep(start, end, *, frequency=1_000, level=0.3, seconds=1.0):
    """A tone between two moments of a clip, over a quiet floor."""
    clip = hiss(seconds, 1e-4)
    first, last = round(start * RATE), round(end * RATE)
    clip[first:last] += hum(frequency, (last - first) / RATE, level)
    return clip


def endless(audio):
    """A background that repeats."""
    at = 0

    def take(count):
        nonlocal at
        found = np.take(audio, np.arange(at, at + count), mode="wrap")
        at += count
        return found

    return take


def mixed(clips, *, rooms=DRY, speech=None, noise=None, **options):
    """Return the recipe `standard` as one array, and its words."""
    speech = endless(hiss(20, seed=1)) if speech is None else speech
    noise = endless(hiss(20, seed=2)) if noise is None else noise
    found = standard(clips, RATE, speech=speech, noise=noise, rooms=rooms, **options)
    pieces, words = zip(*found, strict=True)
    return np.concatenate(pieces), words


def level_db(audio):
    return 20 * np.log10(np.sqrt(np.mean(np.square(audio, dtype=np.float64))) + 1e-12)


def cut(audio, start_s, end_s):
    return audio[round(start_s * RATE) : round(end_s * RATE)]


def share(audio, frequency):
    """How much of a frequency there is: an amplitude."""
    time = np.arange(len(audio)) / RATE
    return 2 * abs(np.mean(audio * np.exp(-2j * np.pi * frequency * time)))


@pytest.fixture
def material(tmp_path):
    """Folders of clips, speech, noise and rooms, in whole numbers that no machine rounds."""

    def lay(name, file, seconds, seed, channels=1):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
        whole = np.random.default_rng(seed).integers(-6000, 6000, (seconds * RATE, channels))
        path = tmp_path / name / file
        soundfile.write(path, whole.astype(np.int16), RATE)

    for number, label in enumerate(["yes", "no", "cat", "yes"]):
        lay(f"clips/{label}", f"{number}.wav", 1, number)
    for number in range(3):
        lay("speech/book", f"{number}.flac", 4, 10 + number)
        lay("noise", f"{number}.wav", 3, 20 + number)
    (tmp_path / "rooms").mkdir()
    for number in range(2):
        response = np.zeros(2_000, np.int16)
        response[[100, 700 + number, 1_900]] = 20_000, -9_000, 4_000
        soundfile.write(tmp_path / "rooms" / f"{number}.wav", response, RATE)
    return tmp_path


def built(folder, out="stream.wav", recipe="standard", **options):
    parts = {name: folder / name for name in ("clips", "speech", "noise", "rooms")}
    return build(folder / out, recipe=recipe, **parts | options)


def test_the_word_lies_where_the_truth_says():
    """Found by its energy in the stream, in a room whose sound arrives late."""
    late = np.zeros(6_000)
    late[[5_000, 5_800]] = 1, 0.3
    clips = [("a", beep(0.2, 0.5)), ("b", beep(0.4, 0.8)), ("c", beep(0.1, 0.3))]
    rooms = [late[5_000:]]

    audio, words = mixed(clips, rooms=rooms, snr_db=30)

    assert ["a", "b", "c"] == [word.label for word in words]
    for word, seconds in zip(words, (0.3, 0.4, 0.2), strict=True):
        assert seconds == pytest.approx(word.end_s - word.start_s, abs=0.011)
        inside = share(cut(audio, word.start_s, word.end_s), 1_000)
        before = share(cut(audio, word.start_s - 0.1, word.start_s - 0.01), 1_000)
        assert inside > 10 * before
        assert word.clear


def test_rooms_begin_with_their_direct_sound(tmp_path):
    """Whatever came before it is cut, from files and from arrays; energy is one."""
    response = np.zeros((8_000, 2), np.float32)
    response[:, 1] = 0.9  # another ear
    response[3_000, 0], response[3_100, 0], response[2_000, 0] = 0.5, -0.2, 0.01
    soundfile.write(tmp_path / "b.wav", response, RATE, subtype="FLOAT")
    array = response[:, 0]

    (found,) = read_rooms(tmp_path, RATE)
    assert (5_000, 100) == (len(found), int(np.argmin(found)))
    assert 1 == pytest.approx(np.sum(found**2))
    assert 0.4 == pytest.approx(-found[100] / found[0])

    np.savez(tmp_path / "rooms.npz", **{"train/a": array, "validation/b": array[2_900:]})
    assert [5_000] == [len(one) for one in read_rooms(tmp_path / "rooms.npz", RATE)]
    np.savez(tmp_path / "rooms.npz", a=array, b=array)
    assert 2 == len(read_rooms(tmp_path / "rooms.npz", RATE))
    assert 10_000 == pytest.approx(len(read_rooms(tmp_path / "rooms.npz", 2 * RATE)[0]), abs=20)
    np.savez(tmp_path / "rooms.npz", a=np.zeros(5))
    with pytest.raises(DataError, match=r"rooms\.npz: a: holds no impulse"):
        read_rooms(tmp_path, RATE)
    (tmp_path / "rooms.npz").write_text("no")
    with pytest.raises(DataError, match="no file of numpy arrays"):
        read_rooms(tmp_path, RATE)


@pytest.mark.parametrize("snr_db", [10, 0])
@pytest.mark.parametrize("level", [0.3, 0.01])
def test_the_background_is_so_far_under_the_word(snr_db, level):
    """Between the word's bounds against the same clip beside them, word by word."""
    clips = [("a", beep(0.5, 0.9, level=level))] * 6

    audio, words = mixed(clips, snr_db=snr_db)

    for word in words:
        both = level_db(cut(audio, word.start_s, word.end_s))
        background = level_db(cut(audio, word.start_s - 0.45, word.start_s))
        alone = 10 * np.log10(10 ** (both / 10) - 10 ** (background / 10))
        assert snr_db == pytest.approx(alone - background, abs=0.7)


def test_the_background_never_breaks():
    """Over clips and gaps its level is steady, from the first sample to the last."""
    clips = [("a", beep(0.45, 0.55, level=0.3))] * 8

    audio, words = mixed(clips)

    for word in words:
        first, last = round((word.start_s - 0.02) * RATE), round((word.end_s + 0.02) * RATE)
        audio[first:last] = np.nan
    frames = audio[: len(audio) // 800 * 800].reshape(-1, 800)
    levels = np.array([level_db(frame) for frame in frames if not np.isnan(frame).any()])
    assert np.ptp(levels) < 3
    closing = len(audio) / RATE - words[-1].end_s
    assert closing > 0.8 + 0.4


def test_half_of_the_clips_are_over_speech_and_half_over_noise():
    """Told apart by what is heard beside each word; gaps are as long as they should be."""
    clips = [("a", beep(0.5, 0.7, frequency=500))] * 40

    audio, words = mixed(
        clips, speech=endless(hum(3_000, 2)), noise=endless(hum(6_000, 2)), snr_db=10
    )

    beside = [cut(audio, word.start_s - 0.4, word.start_s) for word in words]
    spoken = [share(part, 3_000) > share(part, 6_000) for part in beside]
    assert 20 == sum(spoken)
    assert 4 < np.count_nonzero(np.diff(spoken))  # not in turn, not all of one first
    apart = np.diff([word.start_s for word in words]) - 1
    assert apart.min() >= 0.8
    assert 2.0 == pytest.approx(np.mean(apart), abs=0.6)


def test_speech_behind_is_in_the_room_and_noise_is_not():
    """A room that takes all of a tone away takes it from speech alone."""
    deaf = np.zeros(5)
    deaf[[0, 4]] = 1, 1  # adds what came 4 samples before: nothing is left at 2 kHz
    both = hum(2_000, 2) + hum(5_000, 2)
    clips = [("a", beep(0.5, 0.7, frequency=500))] * 10

    audio, words = mixed(clips, speech=endless(both), noise=endless(both), rooms=[deaf])

    shares = [
        share(cut(audio, word.start_s - 0.4, word.start_s - 0.1), 2_000)
        / share(cut(audio, word.start_s - 0.4, word.start_s - 0.1), 5_000)
        for word in words
    ]
    assert 5 == sum(found < 0.1 for found in shares)
    assert 5 == sum(0.9 < found < 1.1 for found in shares)


def test_an_echo_reaches_over_the_next_word():
    """A reflection 4 s late is heard 4 s late, whatever was said in between."""
    late = np.zeros(4 * RATE + 1)
    late[[0, -1]] = 1, 0.5
    clips = [("a", beep(0.2, 0.6, frequency=2_500)), *[("b", beep(0.2, 0.6))] * 4]

    audio, words = mixed(clips, rooms=[late], snr_db=60)

    said = cut(audio, words[0].start_s, words[0].end_s)
    again = cut(audio, words[0].start_s + 4, words[0].end_s + 4)
    assert 0.5 == pytest.approx(share(again, 2_500) / share(said, 2_500), abs=0.02)


def test_nothing_clips_and_the_quieter_words_are_told():
    """Too loud a word is made quieter with its background: the distance between them stays."""
    clips = [("a", beep(0.5, 0.9, level=1.2)), ("b", beep(0.5, 0.9, level=0.1))]
    lines = []

    audio, words = mixed(clips, told=lines.append)

    assert np.abs(audio).max() < 1
    assert PEAK == pytest.approx(
        np.abs(cut(audio, words[0].start_s, words[0].end_s)).max(), rel=0.05
    )
    assert 1 == len(lines)
    assert lines[0].startswith("1 of 2 words were made quieter with their background, by ")
    background = level_db(cut(audio, words[0].start_s - 0.4, words[0].start_s))
    both = level_db(cut(audio, words[0].start_s, words[0].end_s))
    assert 10.4 == pytest.approx(both - background, abs=0.7)


def test_pauses_do_not_count_in_the_active_level():
    """A tone for a quarter of the time has the tone's level, a tone throughout the same."""
    tone = hum(1_000, 4).astype(np.float64)
    pausing = tone.copy()
    pausing[RATE:] *= 1e-3

    assert active_level(tone, RATE) == pytest.approx(0.1 / np.sqrt(2), rel=0.01)
    assert active_level(pausing, RATE) == pytest.approx(0.1 / np.sqrt(2), rel=0.01)
    assert 0 == active_level(np.zeros(RATE), RATE)


def test_a_silent_background_is_an_error_and_a_silent_stretch_is_not():
    """What can't be heard is passed over, as long as something follows."""
    quiet = np.concatenate([np.zeros(8 * RATE, np.float32), hiss(8)])
    audio, (word,) = mixed([("a", beep(0.5, 0.7))], speech=endless(quiet), noise=endless(quiet))
    assert level_db(cut(audio, word.end_s + 0.5, len(audio) / RATE)) > -60

    silent = endless(np.zeros(RATE, np.float32))
    with pytest.raises(DataError, match="silence throughout"):
        mixed([("a", beep(0.5, 0.7))], speech=silent, noise=silent)


def test_pieces_come_as_they_are_asked_for():
    """Of the clips, no more than one is held ahead."""
    read_so_far = []

    def clips():
        for number in range(50):
            read_so_far.append(number)
            yield "a", beep(0.5, 0.7)

    background = endless(hiss(20))
    stream = standard(clips(), RATE, speech=background, noise=background, rooms=DRY)

    for wanted in range(1, 5):
        next(stream)
        assert wanted + 1 == len(read_so_far)


def test_a_stream_is_the_same_for_everybody(material):
    """The same bytes, here and on every machine: in whatever order files were made or listed."""
    truth = built(material)
    first = (material / "stream.wav").read_bytes()
    for folder in ("clips/yes", "speech/book", "noise", "rooms"):
        for path in sorted((material / folder).iterdir(), reverse=True):
            content = path.read_bytes()
            path.unlink()
            path.write_bytes(content)
    again = built(material, "again.wav")
    built(material, "again.flac")
    other = built(material, "other.wav", seed=2)

    assert (first, truth) == ((material / "again.wav").read_bytes(), again)
    assert first != (material / "other.wav").read_bytes()
    assert truth.words != other.words
    flac, _ = soundfile.read(material / "again.flac", dtype="int16")
    wav, rate = soundfile.read(material / "stream.wav", dtype="int16")
    assert np.array_equal(flac, wav)
    assert (RATE, pytest.approx(truth.seconds, abs=1e-4)) == (rate, len(wav) / RATE)
    assert SAMPLES == hashlib.sha256(wav.astype("<i2").tobytes()).hexdigest()


SAMPLES = "a4fbc51230f94c2133943279cdbefd718baf00b82ff416e43045094fe091a3a4"
"""The samples of that stream, wherever it is made."""


def test_the_truth_is_written_beside_it(material):
    """Each clip once, with its name; recipe and seed; a stream at another level says so."""
    truth = built(material)

    assert truth == read_truth(material / "stream.json")
    assert ("standard", 1) == (truth.recipe, truth.seed)
    assert ["cat/2.wav", "no/1.wav", "yes/0.wav", "yes/3.wav"] == sorted(
        w.clip for w in truth.words
    )
    assert all(word.clip.split("/")[0] == word.label for word in truth.words)
    assert "standard, 5 dB" == built(material, snr_db=5).recipe


def test_the_recipe_clean_is_what_clean_yields(material):
    """The clips in the seed's order, nothing around them."""
    truth = built(material, recipe="clean", speech=None, noise=None, rooms=None)
    audio, _ = soundfile.read(material / "stream.wav", dtype="float32")

    clips = [(word.label, read(material / "clips" / word.clip, RATE)) for word in truth.words]
    pieces, words = zip(*clean(clips, RATE), strict=True)

    assert np.abs(np.concatenate(pieces) - audio).max() <= 0.51 / 32_768
    assert [word.start_s for word in words] == pytest.approx(
        [word.start_s for word in truth.words], abs=1e-4
    )
    assert ("clean", 4) == (truth.recipe, len(truth.words))


def test_what_can_not_be_read_is_told_and_left_out(material):
    """Clips and backgrounds: the others are fine."""
    text(material / "clips" / "yes")
    text(material / "noise")
    text(material / "speech")
    lines = []

    truth = built(material, told=lines.append)

    assert 4 == len(truth.words)
    assert {"clips/yes/text.wav", "noise/text.wav", "speech/text.wav"} >= {
        Path(line.split(":")[0]).relative_to(material).as_posix() for line in lines
    }
    assert any("clips" in line and line.endswith("left out") for line in lines)


def test_silence_is_no_word_and_the_corpus_brings_its_own_noise(material):
    """`_silence_` clips are not laid out; `_background_noise_` serves where no noise is given."""
    (material / "noise").rename(material / "clips" / "_background_noise_")
    (material / "clips" / "_silence_").mkdir()
    written(material / "clips" / "_silence_", "s.wav", hiss(1), RATE)
    (material / "clips" / "testing_list.txt").write_text("yes/0.wav\n_silence_/s.wav\n")

    truth = built(material, noise=None)

    assert ["yes/0.wav"] == [word.clip for word in truth.words]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"speech": None}, DataError, "speech without keywords; give --speech"),
        ({"noise": None}, DataError, "needs recordings of noise; give --noise"),
        ({"rooms": None}, DataError, "room impulse responses; give --rooms"),
        ({"rooms": Path("nowhere")}, DataError, "nowhere: no such file or folder"),
        ({"clips": Path("nowhere")}, DataError, "nowhere: no such folder"),
        ({"noise": Path("nowhere")}, AudioError, "nowhere"),
        ({"recipe": "loud"}, ConfigError, "no recipe 'loud'; give clean or standard"),
        ({"out": "stream.mp3"}, ConfigError, r"stream\.mp3: a simulated stream is a \.wav"),
        ({"out": "missing/stream.wav"}, DataError, "can't be written"),
    ],
)
def test_what_is_missing_is_told_in_one_line(material, options, error, message):
    """Each says what to give; nothing is left half written."""
    with pytest.raises(error, match=message) as told:
        built(material, **options)

    assert "\n" not in str(told.value)
    assert not list(material.glob("*stream*"))


def test_no_clip_can_be_read(material):
    """A stream without words is none."""
    for path in (material / "clips").rglob("*.wav"):
        path.write_text("no audio")

    with pytest.raises(DataError, match="none of the 4 clips can be read"):
        built(material)
    assert not list(material.glob("*stream*"))


def test_a_tape_goes_round_without_a_click(tmp_path):
    """Every recording once, in the seed's order, then all over; edges are faded."""
    for number in range(3):
        level = np.full(RATE, 0.1 * (number + 1), np.float32)
        written(tmp_path, f"{number}.wav", level, RATE, subtype="FLOAT")
    files = sorted(tmp_path.iterdir())
    parts = [Tape(files, RATE, seed=1).take(RATE * 6)]
    tape = Tape(files, RATE, seed=1)
    parts.append(np.concatenate([tape.take(n) for n in (1, 7_777, 50_000, RATE * 6 - 57_778)]))

    assert np.array_equal(*parts)
    middles = parts[0][RATE // 2 :: RATE]
    assert {0.1, 0.2, 0.3} == {round(float(level), 3) for level in middles[:3]}
    assert np.array_equal(middles[:3], middles[3:])
    assert np.abs(np.diff(parts[0])).max() < 0.31 / (FADE_S * RATE - 1)

    for path in files:
        path.write_text("no audio")
    lines = []
    with pytest.raises(AudioError, match="none of the recordings can be read"):
        Tape(files, RATE, seed=1, told=lines.append).take(1)
    assert 3 == len(lines)
