"""A microphone's thread: what it tells, how its spotter is replaced, what is recorded."""

import json
import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from models import RATE, noise, tone
from serving import PATIENCE_S, says
from telling import until
from test_sinks import full_disk

from kws.cli import main
from kws.evaluate.hearing import audio_files
from kws.flow import Block, Detection, DigitalSilence
from kws.serve import listener
from kws.serve.config import Health, Record
from kws.serve.keeping import OURS, Keeper
from kws.serve.listener import Hearing, Listener
from kws.serve.vital import Vital
from kws.sinks import Lost, Returned
from kws.spotter import Spotter


class Given:
    """A microphone by hand, as `Supervised` is one. before: called before each block."""

    def __init__(self, sound, *, size=640, rate=RATE, before=lambda number: None):
        self.blocks = [
            Block(sound[at : at + size], at, rate, 100.0 + at / rate)
            for at in range(0, len(sound), size)
        ]
        self.before, self.events, self.ended = before, [], threading.Event()

    def __iter__(self):
        for number, block in enumerate(self.blocks):
            self.before(number)
            yield block
        self.ended.set()

    def poll_events(self):
        events, self.events = self.events, []
        return events

    def close(self):
        self.blocks = []


def listened(source, spotter, keeper=None, **changed):
    """Return a listener that has heard all of a source, and what it told."""
    facts = []
    one = Listener("kitchen", Vital(Health(), time.monotonic()), facts.append)
    vars(source).update({name: partly(one) for name, partly in changed.items()})
    one.start(source, Hearing(spotter, keeper))
    one.join(PATIENCE_S)
    assert not one.running
    return one, facts


SOUND = np.concatenate(
    [
        *[noise(0.5), tone("yes", 0.3), noise(0.6), tone("no", 0.3), noise(0.6)],
        *[tone("jarvis", 0.3), noise(1)],
    ]
)


def test_what_is_heard_becomes_a_fact(models):
    one, facts = listened(Given(SOUND), Spotter(models["stream"]))

    assert ["yes", "no", "jarvis"] == [fact.keyword for fact in facts]
    first = facts[0]
    assert ("kitchen", "keyword", "yes", "stream") == (
        first.microphone, first.role, first.phrase, first.model,
    )  # fmt: skip
    assert first.score >= first.threshold == 0.6
    assert 0.5 <= first.start_s < first.end_s <= first.time_s < 0.8
    assert first.wall_time == pytest.approx(100 + first.time_s, abs=1e-3)
    assert first.level_db == pytest.approx(-13.5, abs=0.2)
    assert first.recording is None
    assert one.failure is None
    assert one.vital.away_since is None
    assert one.vital.gate_open


def test_silence_and_standstill_are_noticed(models):
    """A hole of seconds that nobody told is told as a loss; one that was told, once."""
    source = Given(noise(2))
    for block in (jumped := source.blocks[10:]):
        object.__setattr__(block, "start", block.start + 5 * RATE)
    source.before = lambda number: source.events.append(DigitalSilence(silent=True, time_s=0))
    one, facts = listened(source, Spotter(models["stream"]))

    assert jumped
    assert [Lost, Returned] == [type(fact) for fact in facts]
    assert "no audio for 5.0 s" in facts[0].reason
    assert (facts[1].away_s, facts[1].microphone) == (5.0, "kitchen")
    assert one.vital.zeros

    def back(one):
        return lambda number: number == 10 and (one.lost("unplugged"), one.returned(5.0))

    _, facts = listened(source, Spotter(models["stream"]), before=back)
    assert [("unplugged",), (5.0,)] == [(facts[0].reason,), (facts[1].away_s,)]
    assert len(facts) == 2


def test_a_spotter_that_fails_is_its_listener_s_failure(models):
    source = Given(SOUND)
    source.blocks[5] = Block(np.zeros((2, 2, 2), np.float32), source.blocks[5].start, RATE)
    one, facts = listened(source, Spotter(models["stream"]))

    assert "shape" in str(one.failure)
    assert not facts


@settings(max_examples=60, deadline=None)
@given(
    at=st.integers(0, 90),
    size=st.sampled_from([320, 640, 700, 1_764]),
    recent=st.sampled_from([0.5, 0.83, 7.0]),
    threshold=st.sampled_from([0.3, 0.6, 0.9]),
    gate=st.sampled_from(["none", "webrtc"]),
)
def test_a_new_spotter_takes_over_without_losing_or_repeating_a_word(
    models, *, at, size, recent, threshold, gate
):
    """Wherever in the audio that falls, and whatever the new one's thresholds are."""

    def swap(one):
        new = Spotter(models["stream"], threshold=threshold, gate=gate)
        return lambda number: number == at and one.replace(Hearing(new, None))

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(listener, "RECENT_S", recent)
        source = Given(SOUND, size=size)
        one, facts = listened(source, Spotter(models["stream"], gate="none"), before=swap)

    assert one.failure is None
    assert ["yes", "no", "jarvis"] == [fact.keyword for fact in facts]
    if at < len(source.blocks):
        assert one._hearing.spotter.thresholds["yes"] == threshold


def test_a_wake_word_counts_beyond_a_new_spotter(models):
    sound = np.concatenate([noise(0.5), tone("jarvis", 0.3), noise(4), tone("yes", 0.3), noise(1)])

    def swap(one):
        new = Spotter(models["stream"], wake="jarvis")
        return lambda number: number == 110 and one.replace(Hearing(new, None))

    source = Given(sound)
    _, facts = listened(source, Spotter(models["stream"], wake="jarvis"), before=swap)

    assert ["jarvis", "yes"] == [fact.keyword for fact in facts]


def test_a_word_that_never_ends_keeps_no_spotter_away(models):
    def swap(one):
        new = Spotter(models["stream"], threshold=0.5)
        return lambda number: number == 30 and one.replace(Hearing(new, None))

    source = Given(np.concatenate([noise(0.5), tone("yes", 5)]))
    one, _ = listened(source, Spotter(models["stream"]), before=swap)

    assert one._hearing.spotter.thresholds["yes"] == 0.5


def test_the_last_of_several_new_spotters_counts(models):
    def swap(one):
        def before(number):
            for threshold in (0.3, 0.4, 0.5) if number == 20 else ():
                one.replace(Hearing(Spotter(models["stream"], threshold=threshold), None))
            if number == 21:
                one.do(lambda spotter: spotter.set_threshold({"no": 1.0}))

        return before

    source = Given(SOUND)
    one, facts = listened(source, Spotter(models["stream"]), before=swap)

    assert {"yes": 0.5, "no": 1.0, "jarvis": 0.5} == one._hearing.spotter.thresholds
    assert ["yes", "jarvis"] == [fact.keyword for fact in facts]


# -- recordings -------------------------------------------------------------------------------


def kept(folder, models, *, size=640, sound=SOUND, **options):
    """Keep the words of a sound; return them, their paths, and what was said."""
    lines, say = says()
    keeper = Keeper(Record(folder=str(folder), **options), say)
    spotter, words, paths = Spotter(models["stream"]), [], []
    for at in range(0, len(sound), size):
        wall = 1_800_000_000 + at / RATE
        for event in spotter.process(Block(sound[at : at + size], at, RATE, wall)):
            if isinstance(event, Detection):
                words.append(event)
                paths.append(Path(keeper.begin(spotter, event, "kitchen/1")))
        keeper.collect()
    keeper.close(PATIENCE_S)
    return words, paths, lines


@pytest.mark.parametrize("after_s", [0.0, 0.5, 3.0])
@pytest.mark.parametrize("size", [640, 9_000])
def test_a_recording_is_the_audio_around_its_word(models, tmp_path, after_s, size):
    words, paths, lines = kept(tmp_path / "heard", models, size=size, after_s=after_s)

    assert not lines
    assert ["yes", "no", "jarvis"] == [path.parent.name for path in paths]
    for word, path in zip(words, paths, strict=True):
        audio, rate = soundfile.read(path, dtype="float32")
        end = min(len(SOUND), word.end + round(after_s * RATE))
        assert rate == RATE
        assert word.audio_start <= 0.3 * RATE + word.start
        assert len(audio) == end - word.audio_start
        assert np.abs(audio - SOUND[word.audio_start : end]).max() <= 1 / 32_768
        assert OURS.fullmatch(path.name)
        assert path.name.endswith(f"-kitchen_1-{word.score:.2f}.flac")
    assert not list(tmp_path.rglob("*.partial"))


def test_kws_eval_reads_the_recordings(models, tmp_path, capsys):
    folder = tmp_path / "heard"
    _, paths, _ = kept(folder, models)

    assert sorted(paths) == sorted(audio_files([folder]))
    options = ["--model", str(models["stream"].path), "--json", "--workers", "1"]
    assert main(["eval", "--clips", str(folder), *options]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["clips"]["accuracy"]["count"] == 3


def test_a_label_s_folder_has_its_name(tmp_path):
    """Only what no file system takes is replaced."""
    keeper = Keeper(Record(folder=str(tmp_path), after_s=0), print)
    word = Detection(
        keyword="hey jarvis?", score=0.999, threshold=0.5, start=0, end=10, time=10, rate=RATE,
        level_db=-20.0, audio=noise(0.1), audio_start=0, wall_time=1_800_000_000.9999,
    )  # fmt: skip
    path = Path(keeper.begin(None, word, "küche: 1"))
    keeper.collect()
    keeper.close(PATIENCE_S)

    assert path.exists()
    assert path.parent.name == "hey jarvis_"
    assert OURS.fullmatch(path.name)
    assert path.name.endswith("-999-küche_ 1-1.00.flac")


def words_at(seconds):
    return [
        Detection(
            keyword=name, score=0.9, threshold=0.5, start=0, end=10, time=10, rate=RATE,
            level_db=-20.0, audio=noise(0.5, amplitude=0.1), audio_start=0, wall_time=second,
        )
        for name, second in seconds
    ]  # fmt: skip


@pytest.mark.parametrize(("options", "left"), [({"most": 3}, 3), ({"most_mb": 0.04}, 2)])
def test_the_oldest_recordings_go_and_nothing_else_ever(tmp_path, options, left):
    foreign = [
        tmp_path / name for name in ("notes.flac", "no/mine.flac", "no/20000101-000000.flac")
    ]
    for path in foreign:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(100_000))
    keeper = Keeper(Record(folder=str(tmp_path), after_s=0, **options), print)
    paths = []
    names = ["no", "yes", "yes", "no", "yes", "no"]
    for word in words_at(zip(names, range(1_800_000_000, 1_800_000_060, 10), strict=True)):
        paths.append(Path(keeper.begin(None, word, "hall")))
        keeper.collect()
    keeper.close(PATIENCE_S)

    assert all(path.exists() for path in foreign)
    assert paths[-left:] == [path for path in paths if path.exists()]


def test_a_clock_that_was_set_back_costs_no_new_recording(tmp_path):
    """As a Raspberry Pi's is at each start: what was written last goes last."""
    paths, year = [], 366 * 86_400
    for second in (1_800_000_000, 1_800_000_001, 40_000, 39_000, 41_000):
        keeper = Keeper(Record(folder=str(tmp_path), after_s=0, most=3), print)
        paths.append(Path(keeper.begin(None, words_at([("yes", second)])[0], "hall")))
        keeper.close(PATIENCE_S)
        if second > year:  # it was written when the clock was right, and a year later than now
            os.utime(paths[-1], (time.time() + year, time.time() + year + len(paths)))

    assert paths[-3:] == [path for path in paths if path.exists()]


def test_a_folder_whose_recordings_are_gone_is_gone(tmp_path):
    """A label without clips is an error for who reads them."""
    keeper = Keeper(Record(folder=str(tmp_path), after_s=0, most=1), print)
    for word in words_at([("yes", 1_800_000_000), ("no", 1_800_000_001)]):
        keeper.begin(None, word, "hall")
        keeper.collect()
    keeper.close(PATIENCE_S)

    assert ["no"] == [path.name for path in tmp_path.iterdir()]


def test_a_full_disk_costs_the_recording_alone(models, tmp_path):
    with full_disk(100):
        words, paths, lines = kept(tmp_path / "heard", models)

    assert len(words) == 3
    why = "can't be written (File too large)"
    assert [f"recordings: {path}: {why}" for path in paths] == [text for _, text in lines]
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_keeper_whose_thread_died_is_its_listener_s_failure(models, tmp_path, monkeypatch):
    def write(*_, **__):
        raise ValueError("what?")

    monkeypatch.setattr(soundfile, "write", write)
    keeper = Keeper(Record(folder=str(tmp_path), after_s=0), print)
    source = Given(SOUND)
    # Before the third word begins: a busy machine may let it pass sooner than the thread dies.
    source.before = lambda number: number == 50 and until(lambda: keeper._outlet.failure)
    one, facts = listened(source, Spotter(models["stream"]), keeper)

    assert "what?" in str(one.failure)
    assert facts[0].recording is not None
    assert len(facts) < 3
