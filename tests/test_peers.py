"""Beside the peers: how scores become figures that can be compared, and how they are told."""

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks import peer_installs, peer_runs
from benchmarks.material import lay_out
from benchmarks.peer_figures import apart, events, figures
from benchmarks.peer_streams import Streams
from benchmarks.peer_table import Cost, Entry, Result, plot, table
from kws.errors import DataError
from kws.evaluate.match import Word

BLOCK_S = 0.1
WORDS = [Word("alexa", 1.0, 1.5), Word("alexa", 4.0, 4.5), Word("alexa", 8.0, 8.5, clear=False)]
HOURS = {"clean": 0.1, "10 dB": 0.1, "speech": 2.0}


def said(peaks, seconds=12.0, events_s=()):
    """Return what a program says of a stream: scores of 0 but at these times."""
    scores = [0.0] * round(seconds / BLOCK_S)
    for at, score in peaks.items():
        scores[round(at / BLOCK_S) - 1] = score
    return {"scores": scores, "block_s": BLOCK_S, "events_s": list(events_s)}


def streams(hours=HOURS):
    nowhere = Path("nowhere")
    return Streams({"clean": (nowhere, WORDS), "10 dB": (nowhere, WORDS)}, nowhere, hours)


@pytest.fixture
def found():
    """Figures of a spotter whose false alarms score 0.8, 0.6 and 0.4 in two hours."""
    clean = said({1.7: 0.9, 4.4: 0.7, 8.3: 0.5}, events_s=[1.7, 1.9, 11.0])
    noisy = said({1.6: 0.65, 4.7: 0.3, 9.0: 0.95}, events_s=[])
    negatives = said({2.0: 0.8, 2.4: 0.79, 5.0: 0.6, 8.0: 0.4}, events_s=[2.0])
    return figures({"": {"clean": clean, "10 dB": noisy, "negatives": negatives}}, streams())


def test_an_event_is_over_the_threshold_and_a_second_after_the_last():
    """A score at the threshold is none; one that stays up is an event again after a second."""
    ends = np.arange(1, 31) * 0.1
    scores = np.zeros(30, np.float32)
    scores[4:20] = 0.5

    assert events(scores, ends, 0.5) == []
    assert events(scores, ends, 0.4) == pytest.approx([0.5, 1.5])
    assert apart([0.0, 0.9, 1.0, 1.8, 2.1]) == [0.0, 1.0, 2.1]


def test_misses_at_matched_false_alarms_are_those_worked_out_by_hand(found):
    """Half an alarm an hour is one in two hours: the threshold is the second highest peak."""
    half, one = found.matched["0.5"], found.matched["1"]

    assert (half.threshold, half.false_alarms.events) == (pytest.approx(0.6), 1)
    assert half.streams["clean"].misses.hits == 1  # 0.5 is under 0.6
    assert half.streams["10 dB"].misses.hits == 1
    assert (one.threshold, one.false_alarms.events) == (pytest.approx(0.4), 2)
    assert one.streams["clean"].misses.hits == 0
    assert one.streams["10 dB"].misses.hits == 1  # 0.3 is under 0.4


def test_delays_run_from_the_end_of_words_whose_end_is_known(found):
    """Delays are signed, and the word without clear bounds has none."""
    clean = found.matched["1"].streams["clean"]

    assert clean.delay_ms_p50 == pytest.approx(50)  # 200 and -100 ms
    assert clean.delay_ms_p95 == pytest.approx(185)


def test_as_shipped_counts_what_the_client_reports(found):
    """Duplicates and events elsewhere are told apart from false alarms without words."""
    clean = found.shipped.streams["clean"]

    assert (clean.misses.hits, clean.duplicates, clean.elsewhere) == (2, 1, 1)
    assert found.shipped.false_alarms.events == 1
    assert found.shipped.streams["10 dB"].delay_ms_p50 is None


def test_the_curve_has_a_step_for_each_count_of_false_alarms(found):
    """Misses fall as false alarms are allowed."""
    clean = [step.misses["clean"] for step in found.curve]

    assert [step.false_alarms for step in found.curve] == [0, 1, 2, 3]
    assert clean == pytest.approx([2 / 3, 1 / 3, 0, 0], abs=1e-4)


def test_a_rate_that_the_hours_cannot_show_is_not_claimed():
    """In one and a half hours half an alarm an hour is less than one: no figure."""
    quiet = said({5.0: 0.9})
    runs = {"": {"clean": quiet, "10 dB": quiet, "negatives": quiet}}

    assert list(figures(runs, streams({**HOURS, "speech": 1.5})).matched) == ["1"]


def runs_without_scores():
    """Three settings of a spotter without scores: 9, 2 and 1 false alarms, in 2 hours."""

    def run(alarms, hits):
        words = said({}, events_s=[(1.6, 4.6, 8.6)[number] for number in range(hits)])
        return {"clean": words, "10 dB": words, "negatives": said({}, events_s=range(alarms))}

    return {"": run(9, 3), "1e-10": run(2, 2), "1e-5": run(1, 1)}


def test_a_spotter_without_scores_is_matched_by_its_settings():
    """Of its settings the loosest within the rate is taken; none may be."""
    found = figures(runs_without_scores(), streams())
    loose = figures({"": runs_without_scores()[""]}, streams())

    assert found.shipped.false_alarms.events == 9
    assert {rate: point.option for rate, point in found.matched.items()} == {
        "0.5": "1e-5",
        "1": "1e-10",
    }
    assert loose.matched == {"0.5": None, "1": None}


@pytest.fixture
def result(found):
    """Two spotters with figures, one measured, and one that did not run."""
    cost = Cost(0.0042, 68.4, 0.2, 159.2, 300.0, {"kws": "0.1.0"})
    loose = figures({"": runs_without_scores()[""]}, streams())
    return Result(
        command="python -m benchmarks.peers --work DIR",
        date="2026-11-21",
        machine="a machine",
        word="alexa",
        said={"clean": 3, "10 dB": 3},
        negative_hours={"speech": 2.0},
        remarks=["words are few"],
        spotters={
            "kws": Entry("0.1.0", "alone", found, cost),
            "pocketsphinx": Entry("5.1.1", "", loose, None),
        },
        absent={"openwakeword": "no wheel for this Python"},
    )


def test_the_table_tells_all(result):
    """Every spotter has its row in both tables; who is absent is named with the reason."""
    lines = table(result).splitlines()
    rows = [line for line in lines if line.startswith("|")]

    assert {line.count("|") for line in rows[:4]} == {10}
    assert {line.count("|") for line in rows[4:]} == {6}
    assert "kws 0.1.0 | 33.3 % (6.1–79.2) | 33.3 %" in rows[2]  # noqa: RUF001 - a range
    assert "never so few FA" in rows[3]
    assert rows[6] == "| kws | 0.0042 | 68 MiB | 0.20 s | 159 MiB |"
    assert "not measured" in rows[7]
    assert "- openwakeword did not run: no wheel for this Python" in lines
    assert "- kws: alone." in lines


def test_the_plot_is_a_picture(result, tmp_path):
    """Both streams have a panel; spotters without a curve have a mark."""
    plot(result, tmp_path / "peers.svg")

    assert "<svg" in (tmp_path / "peers.svg").read_text(encoding="utf-8")


PROGRAM = """
BLOCK = 4

def spotter(option):
    if option == "fail":
        raise ValueError("no such model")
    return lambda block: (len(block) / 100, block[0] == 7)
"""


@pytest.fixture
def loud(monkeypatch, tmp_path):
    """A spotter that reports blocks that begin with a seven."""
    (tmp_path / "feed.py").write_bytes((peer_installs.PROGRAMS / "feed.py").read_bytes())
    (tmp_path / "loud.py").write_text(PROGRAM, encoding="utf-8")
    for module in (peer_installs, peer_runs):
        monkeypatch.setattr(module, "PROGRAMS", tmp_path)
    monkeypatch.setitem(peer_installs.PEERS, "loud", peer_installs.Peer("loud", ("loud==1",)))
    np.array([0, 0, 0, 0, 7, 0, 0, 0, 1], np.int16).tofile(tmp_path / "audio.pcm")
    return tmp_path


def test_a_program_hears_the_file_in_its_blocks(loud):
    """Events are timed by the audio fed; the last block is filled up; what was heard is kept."""
    job = ("loud", "", loud / "audio.pcm")
    said = peer_runs.hear(job, Path(sys.executable), loud / "runs")
    again = peer_runs.hear(job, Path("nothing is run"), loud / "runs")

    assert said["events_s"] == [8 / 16_000]
    assert said["scores"] == pytest.approx([0.08] * 3)
    assert again == said


def test_a_program_that_fails_says_why(loud):
    """The last word of a program that failed is the reason that is told."""
    job = ("loud", "fail", loud / "audio.pcm")
    found = peer_runs.hear_all([job], {"loud": Path(sys.executable)}, loud / "runs", 1)

    assert str(found[job]) == "ValueError: no such model"


CLIPS = """\
shard start samples label split speaker source name text
speech_commands/a.flac 0 160 yes validation ann sc ann_nohash_0.wav yes
speech_commands/a.flac 160 160 yes validation ann sc ann_nohash_0.wav yes
speech_commands/a.flac 320 160 no train bob sc bob_nohash_0.wav no
wake/a.flac 0 160 alexa validation - wwb alexa_1.flac -
speech/a.flac 0 160 speech validation ann libri 1 hello_there
speech/a.flac 160 160 speech validation bob libri 2 hello_there
speech/a.flac 320 160 speech validation ann libri 3 good_day
speech/a.flac 480 160 speech validation ann libri 4 yes
speech_untranscribed/a.flac 0 160 speech_untranscribed validation cy cv 5 -
noise/a.flac 0 160 noise validation - esc/10 rain.ogg -
noise/a.flac 160 160 music validation - loops drum.ogg -
"""


@pytest.fixture
def few(tmp_path, monkeypatch):
    """A folder of very few recordings, laid out as KWS_DATA is."""
    lines = [line.replace(" ", "\t") for line in CLIPS.splitlines()]
    text = "\n".join(line.replace("\t-", "\t").replace("_there", " there") for line in lines)
    (tmp_path / "index.tsv").write_text(text + "\n", encoding="utf-8")
    audio = np.repeat(np.arange(1, 5, dtype=np.int16), 160)  # each clip is its number in the shard
    for shard in {line.split("\t")[0] for line in lines[1:]}:
        (tmp_path / shard).parent.mkdir()
        soundfile.write(tmp_path / shard, audio, 16_000)
    rooms = {"validation/hall": np.array([100, 50], np.int16), "train/attic": np.ones(2, np.int16)}
    np.savez(tmp_path / "rooms.npz", **rooms)
    np.savez(tmp_path / "rooms_2.npz", **{"validation/den": np.array([7], np.int16)})
    monkeypatch.setenv("KWS_DATA", str(tmp_path))
    return tmp_path / "out"


def test_recordings_become_files_of_one_split(few):
    """Every clip is a file of its own name, every speaker one; keywords in speech are left out."""
    lay_out(few, "validation")
    files = {str(file.relative_to(few)) for file in few.rglob("*") if file.suffix}
    ann, _ = soundfile.read(few / "speech" / "libri-ann.flac", dtype="int16")

    assert files == {
        "words/yes/ann_nohash_0.flac", "words/yes/ann_nohash_0_2.flac", "wake/alexa/alexa_1.flac",
        "speech/libri-ann.flac", "speech/libri-bob.flac", "untranscribed/cv-cy.flac",
        "noise/000-esc-10.flac", "rooms/000.wav", "rooms/001.wav",
    }  # fmt: skip
    assert np.array_equal(ann, np.repeat(np.array([1, 3], np.int16), 160))


def test_what_is_laid_out_stays(few):
    """What is complete is not written again, and no other split is mixed in."""
    lay_out(few, "validation")
    (few / "wake" / "alexa" / "alexa_1.flac").unlink()
    lay_out(few, "validation")

    assert not (few / "wake" / "alexa" / "alexa_1.flac").exists()
    with pytest.raises(DataError, match="holds the validation split"):
        lay_out(few, "train")
