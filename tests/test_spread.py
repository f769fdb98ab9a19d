"""Scores shared out among processes and machines: the same bits, whatever dies meanwhile."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from itertools import count
from pathlib import Path

import models as tones
import numpy as np
import pytest
from audio_files import cut_off_flac, written
from command import kws, model
from spread_work import Number, deadly_at_three, fails_at_three, slow_squares, squares

from kws.errors import AudioError, ConfigError, ModelError
from kws.evaluate.tracks import join, recordings, score, units
from kws.evaluate.workers import cluster as cluster_
from kws.evaluate.workers import spread as spreading
from kws.evaluate.workers.spread import results, spread
from kws.evaluate.workers.task import Failed
from kws.flow import Scores
from kws.session import load
from kws.sources.file import AudioFile
from kws.spotter import Spotter
from kws.terminal.progress import progress

__all__ = ["kws", "model"]

TESTS = Path(__file__).parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(TESTS)}


def speech(seconds, *, seed=1):
    """Words in noise: float32 [n] at the models' rate."""
    rng = np.random.default_rng(seed)
    audio = tones.noise(seconds, amplitude=0.01, seed=seed)
    for start in range(0, len(audio) - tones.RATE, tones.RATE):
        word = tones.tone(["yes", "no"][rng.integers(2)], rng.uniform(0.2, 0.5))
        at = start + rng.integers(tones.RATE // 2)
        audio[at : at + len(word)] += word[: len(audio) - at]
    return audio


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Recordings of all kinds in folders, one of them bad, and what is none."""
    folder = tmp_path_factory.mktemp("archive")
    (folder / "later" / ".hidden").mkdir(parents=True)
    written(folder, "b.wav", speech(6.3), tones.RATE)
    written(folder, "c.flac", speech(4.1, seed=2), tones.RATE)
    written(folder / "later", "A.wav", np.repeat(speech(3, seed=3), 3), 3 * tones.RATE)
    written(folder / "later", "b.ogg", speech(3, seed=4), tones.RATE)
    written(folder / "later" / ".hidden", "c.wav", speech(2), tones.RATE)
    written(folder, ".hidden.wav", speech(2), tones.RATE)
    (folder / "notes.txt").write_text("no audio")
    cut_off_flac(folder)
    return folder


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A dask scheduler and two workers, real processes; yields its address and the workers."""
    file = tmp_path_factory.mktemp("dask") / "scheduler.json"
    command = [sys.executable, "-m"]
    where = ["--scheduler-file", str(file), "--no-dashboard"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": file.parent}
    worker = ["distributed.cli.dask_worker", *where, "--no-nanny", "--nthreads", "1"]
    worker += ["--death-timeout", "60"]
    scheduler = ["distributed.cli.dask_scheduler", *where, "--port", "0", "--host", "127.0.0.1"]
    scheduler += ["--idle-timeout", "300"]  # should nobody be left to kill it
    started = [
        subprocess.Popen([*command, *what], env=ENVIRONMENT, **quiet)
        for what in (scheduler, worker, worker)
    ]
    try:
        wait_for(lambda: file.is_file() and file.read_text().strip().endswith("}"))
        address = json.loads(file.read_text())["address"]
        wait_for(lambda: workers_of(address) == 2)
        yield address, started[1:]
    finally:
        for process in started:
            process.kill()
            process.wait()


def workers_of(address):
    from distributed import Client

    with Client(address, timeout=10, set_as_default=False) as client:
        return len(client.nthreads())


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def alive(group):
    """Tell whether anybody is left in a process group."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def bits(values):
    return values.view(np.uint32).tolist()


def same(found, expected):
    """Tell whether two lists of tracks, or of arrays, are the same bit by bit."""
    pairs = zip(found, expected, strict=True)
    return all(bits(getattr(a, "values", a)) == bits(getattr(b, "values", b)) for a, b in pairs)


# -- tracks -------------------------------------------------------------------------------------


def live(model, path):
    """Return what a Spotter without a gate scores in a recording: float32 [hops, labels]."""
    events = Spotter(model, gate="none").events(AudioFile(path))
    return np.stack([event.values for event in events if isinstance(event, Scores)])


@pytest.mark.parametrize("name", ["b.wav", "c.flac"])
@pytest.mark.parametrize("kind", ["stream", "window"])
def test_segments_joined_are_the_uncut_track(models, archive, kind, name):
    """Bit by bit, wherever it is cut; and the track is what a Spotter scores."""
    path, one = archive / name, models[kind]
    [whole] = units(path, one)
    track = score(whole)

    for segment_s in (1.3, 0.3, 0.1):
        parts = [score(unit) for unit in units(path, one, segment_s)]
        joined = join(parts)
        assert len(parts) >= 3
        assert bits(joined.values) == bits(track.values)
        assert joined.samples == track.samples == AudioFile(path).length
    assert bits(track.values) == bits(live(one, path))
    assert track.ends().tolist() == [320 * (k + 1) for k in range(len(track.values))]


@pytest.mark.parametrize("name", ["later/A.wav", "later/b.ogg"])
def test_what_cannot_be_cut_is_one_part(models, archive, name):
    """Another rate, because of the resampler; what is coded with loss, because of the decoder."""
    path = archive / name

    [unit] = units(path, models["stream"], 0.5)
    track = score(unit)

    assert bits(track.values) == bits(live(models["stream"], path))
    assert track.samples == round(AudioFile(path).length * tones.RATE / AudioFile(path).rate)


def test_a_key_names_recording_model_and_part(models, archive, tmp_path):
    """Each other part has another; the same, made again, the same; a changed file another."""
    path = written(tmp_path, "x.wav", speech(3), tones.RATE)
    every = [
        *units(path, models["stream"], 0.5),
        *units(path, models["window"], 0.5),
        *units(path, models["stream"]),
        *units(path, models["stream"], channel=1),
        *units(path, models["stream"], tail=9),
    ]
    again = units(path, models["stream"], 0.5, index=1)
    os.utime(path, ns=(1, 1))
    changed = units(path, models["stream"], 0.5)

    assert len({unit.key for unit in every + changed}) == len(every + changed)
    assert [unit.key for unit in again] == [unit.key for unit in every[: len(again)]]


def test_a_model_that_is_another_one_here_is_refused(archive, tmp_path):
    """A worker's disk may hold an older file by that name."""
    path = tones.write(tmp_path / "x.onnx")
    [unit] = units(archive / "b.wav", load(path))
    tones.write(path, tones.card(date="2026-02-02"))

    with pytest.raises(ModelError, match="not the same file everywhere"):
        score(unit)


def test_a_folder_is_its_audio_files(archive, tmp_path):
    """Sorted, folders in it too; hidden ones and other files are passed over."""
    names = [path.relative_to(archive).as_posix() for path in recordings(archive)]

    assert names == ["b.wav", "c.flac", "later/A.wav", "later/b.ogg", "x.flac"]
    with pytest.raises(AudioError, match="without audio files"):
        recordings(tmp_path)


# -- spreading ----------------------------------------------------------------------------------


def test_processes_and_cluster_give_the_serial_bits(models, archive, cluster):
    """In input order; what fails is listed in its place, and the others go on."""
    every = [
        unit
        for path in recordings(archive)
        for index, kind in enumerate(["stream", "window"])
        for unit in units(path, models[kind], 2.0, index=index)
    ]

    serial = spread(every, score)
    failed = [result for result in serial if isinstance(result, Failed)]
    assert {Path(result.unit.path).name for result in failed} == {"x.flac"}
    assert 0 < len(failed) < len(every) - 10
    for there in ({"workers": 2}, {"dask": cluster[0]}):
        told = []
        found = spread(every, score, told=lambda told=told: told.append(1), **there)
        assert [isinstance(one, Failed) for one in found] == [
            isinstance(one, Failed) for one in serial
        ]
        assert [one for one in found if isinstance(one, Failed)] == failed
        good = [
            [one for one in several if not isinstance(one, Failed)] for several in (found, serial)
        ]
        assert same(*good)
        assert len(told) == len(every)


@pytest.mark.parametrize("where", ["here", "processes", "cluster"])
def test_a_failure_is_one_line(cluster, where):
    """Wherever it happens."""
    there = {"here": {}, "processes": {"workers": 2}, "cluster": {"dask": cluster[0]}}[where]

    found = spread([Number(value) for value in range(6)], fails_at_three, **there)

    assert found[3] == Failed(Number(3), "three is no number")
    assert [one[1] for one in found if not isinstance(one, Failed)] == [0, 1, 4, 16, 25]


def test_a_killed_process_loses_nothing():
    """Killed from outside, twice, while others go on."""
    done = []

    def told():
        done.append(1)
        if len(done) in (3, 9):
            os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)

    found = spread([Number(value) for value in range(20)], slow_squares, workers=2, told=told)

    assert [one.tolist() for one in found] == [[value, value**2] for value in range(20)]
    assert not multiprocessing.active_children()


def test_what_kills_its_process_each_time_is_given_up():
    """And it alone, though others were at work beside it."""
    found = spread([Number(value) for value in range(8)], deadly_at_three, workers=2)

    assert found[3] == Failed(Number(3), "the process that worked on it died, 3 times")
    assert [one[0] for one in found if not isinstance(one, Failed)] == [0, 1, 2, 4, 5, 6, 7]


def test_results_come_as_soon_as_they_are_known():
    """Units are asked for when they are needed: there may be more than fit into memory."""
    endless = (Number(value) for value in count())

    with closing(results(endless, squares)) as found:
        assert [next(found)[1] for _ in range(3)] == [0, 1, 4]
    assert next(endless).value == 3


def test_few_results_wait_in_memory(monkeypatch):
    """Where the first takes long, the others wait for it rather than pile up."""
    monkeypatch.setattr(spreading, "AHEAD", 4)
    asked = []

    def every():
        for value in range(40):
            asked.append(value)
            yield Number(value)

    with closing(results(every(), slow_squares, workers=2)) as found:
        assert next(found)[0] == 0
        assert len(asked) < 12
        assert [one[0] for one in found] == list(range(1, 40))


# -- interrupted and begun again ----------------------------------------------------------------


def test_an_interrupted_run_goes_on(tmp_path):
    """What was finished is not done again; what is broken or failed is."""
    kept, every = tmp_path / "kept", [Number(value, str(tmp_path)) for value in range(6)]
    done = []

    def told():
        done.append(1)
        if len(done) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        spread(every, fails_at_three, kept=kept, told=told)
    parts = sorted(kept.iterdir())
    parts[1].write_bytes(parts[1].read_bytes()[:-3])
    found = spread(every, squares_by_that_name, kept=kept, told=told)

    assert len(parts) == 3
    assert [one.tolist() for one in found] == [[value, value**2] for value in range(6)]
    times = [len((tmp_path / f"{value}.pids").read_text().split()) for value in range(6)]
    assert times == [1, 2, 1, 1, 1, 1]
    assert len(done) == 4 + 6


def squares_by_that_name(unit: Number) -> np.ndarray:
    return squares(unit)


squares_by_that_name.__name__ = fails_at_three.__name__


def test_ctrl_c_ends_it_cleanly(tmp_path):
    """Soon, without a word from the workers, which end too; what was finished is kept."""
    process = subprocess.Popen(
        [sys.executable, TESTS / "spread_work.py", tmp_path],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    kept = tmp_path / "kept"
    wait_for(lambda: kept.is_dir() and len(list(kept.glob("*.part"))) > 2)
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=20)[1]

    assert said.count("Traceback") == 1
    assert said.splitlines()[-1] == "KeyboardInterrupt"
    assert not any(path.suffix != ".part" for path in kept.iterdir())
    wait_for(lambda: not alive(process.pid), 5)


def test_workers_end_with_who_started_them(tmp_path):
    """Even where that one is killed and can't tell them."""
    process = subprocess.Popen(
        [sys.executable, TESTS / "spread_work.py", tmp_path], start_new_session=True
    )
    wait_for(lambda: list((tmp_path / "kept").glob("*.part")))
    process.kill()
    process.wait()

    wait_for(lambda: not alive(process.pid), 10)


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    """In one line."""
    (tmp_path / "file").touch()

    with pytest.raises(ConfigError, match="can't be kept here"):
        spread([Number(1)], squares, kept=tmp_path / "file" / "kept")


# -- the cluster --------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense"])
def test_a_scheduler_that_is_not_there_is_one_line(kws, archive, model, address, monkeypatch):
    """Within seconds."""
    monkeypatch.setattr(cluster_, "CONNECT_S", 1.0)
    began = time.monotonic()
    result = kws("spot", archive, "--model", model, "--dask", address)

    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(f"kws: --dask {address}: no scheduler answers there")
    assert result.err.count("\n") == 1
    assert time.monotonic() - began < 6


def test_either_workers_or_a_cluster():
    """Both make no sense."""
    with pytest.raises(ConfigError, match="not both"):
        spread([Number(1)], squares, workers=2, dask="tcp://127.0.0.1:1")


# -- kws spot -----------------------------------------------------------------------------------


@pytest.fixture
def one_by_one(kws, archive, model, tmp_path):
    """What `kws spot` says of each recording in the archive, live."""
    return kws("spot", *recordings(archive), "--model", model, "--scores", tmp_path / "live.csv")


def without_failed(table):
    """Return the rows of the recordings that could be read to their end."""
    return [row for row in table.read_text().splitlines() if "x.flac" not in row]


def test_spot_hears_folders(kws, archive, model, one_by_one, tmp_path):
    """As it hears each recording in them, whoever scores; pipes and empty folders are told."""
    kept = tmp_path / "kept"
    arguments = [archive, "--model", model]
    for more in ([], ["--workers", 2, "--resume", kept], ["--resume", kept]):
        result = kws("spot", *arguments, "--scores", tmp_path / "s.csv", *more)
        assert (result.code, result.out, result.err) == (2, one_by_one.out, one_by_one.err)
        assert without_failed(tmp_path / "s.csv") == without_failed(tmp_path / "live.csv")
    assert one_by_one.out.count("\n") >= 10
    assert "x.flac" in one_by_one.err
    assert len(list(kept.iterdir())) == 4

    (tmp_path / "empty").mkdir()
    result = kws("spot", tmp_path / "empty", archive / "b.wav", "--model", model, "--gate", "none")
    assert result.code == 2
    assert (
        result.out == kws("spot", archive / "b.wav", "--model", model, "--gate", "none").out != ""
    )
    assert "without audio files" in result.err
    assert "a pipe is heard as it comes" in kws("spot", "-", archive, "--model", model).err


def test_spot_on_a_cluster(kws, archive, model, one_by_one, cluster):
    """The same lines, though a worker is killed."""
    result = kws("spot", archive, "--model", model, "--dask", cluster[0])

    assert (result.code, result.out, result.err) == (2, one_by_one.out, one_by_one.err)


def test_a_killed_cluster_worker_loses_nothing(cluster):
    """Its units are given to another. The last test with these workers."""
    address, workers = cluster
    done = []

    def told():
        done.append(1)
        if len(done) == 3:
            workers[0].send_signal(signal.SIGKILL)

    found = spread([Number(value) for value in range(20)], slow_squares, dask=address, told=told)

    assert workers[0].wait(10) == -signal.SIGKILL
    assert [one.tolist() for one in found] == [[value, value**2] for value in range(20)]


# -- progress -----------------------------------------------------------------------------------


def test_progress_is_for_terminals(capsys):
    """Nothing of it reaches a file."""
    with progress("scoring", 3) as advance:
        advance()

    assert capsys.readouterr() == ("", "")
