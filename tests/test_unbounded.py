"""Memory stays bounded whatever a recording's header claims, and what can be heard is heard."""

import json
import subprocess
import sys

import models as tones
import numpy as np
import pytest
from audio_files import ENDLESS, noise, wav
from command import kws, model

from kws import Spotter
from kws.errors import AudioError
from kws.evaluate.corpus.reading import LongRecording
from kws.session import load

__all__ = ["kws", "model"]

RATE = tones.RATE


def said():
    """Return yes and no with pauses, as 16 bits hold it: float32 [n, 1]."""
    audio = tones.noise(3)
    for word, at in (("yes", 0.7), ("no", 1.9)):
        first = round(at * RATE)
        audio[first : first + RATE // 3] += tones.tone(word, 1)[: RATE // 3]
    return (np.round(audio * 32_768) / 32_768).astype(np.float32)[:, np.newaxis]


@pytest.fixture
def folder(tmp_path):
    """A folder of recordings whose headers don't tell how long they are, and one that lies."""
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    for number, made in enumerate(ENDLESS.values()):
        (recordings / f"{number}.wav").write_bytes(made(said()))
    (recordings / "cut.wav").write_bytes(wav(said(), size=1_000_000))
    return recordings


SPOT = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
from kws.cli import main
sys.argv[0] = "kws"
sys.exit(main())
"""


def spotted(*arguments):
    """Run `kws` in a process that can't take more than 4 GiB of addresses; return what it did."""
    return subprocess.run(
        [sys.executable, "-c", SPOT, *map(str, arguments)],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


@pytest.mark.parametrize("options", [[], ["--workers", "2"]], ids=["one by one", "shared out"])
def test_a_folder_of_them_is_heard(model, folder, options):
    """Every word in every file, in bounded memory; the one that is cut off is told."""
    done = spotted("spot", folder, "--model", model, *options)

    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["keyword"] for line in lines] == ["yes", "no"] * (len(ENDLESS) + 1)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "cut.wav: cut off: its header promises 1000000 bytes" in done.stderr


@pytest.mark.parametrize("name", ENDLESS)
def test_each_is_classified(kws, model, tmp_path, name):
    """By its word, not refused and not endless."""
    path = tmp_path / "x"
    path.write_bytes(ENDLESS[name](said()[: 3 * RATE // 2]))

    result = kws("classify", path, "--model", model, "--top", "1")

    assert (result.code, result.out.split()[1]) == (0, "yes")


def test_short_stretches_of_them_can_be_read(tmp_path):
    """Of a recording whose length must be counted first."""
    samples = noise(40_000)
    for number, made in enumerate(ENDLESS.values()):
        path = tmp_path / str(number)
        path.write_bytes(made(samples))
        long = LongRecording(path, RATE)

        assert len(long) == 40_000
        assert np.array_equal(long[30_000:30_100], samples[30_000:30_100, 0])


@pytest.mark.parametrize("rate", [1, 999, 384_001, 2**31 - 1, -16_000])
def test_no_other_rate_can_be_pushed(model, rate):
    """It is refused in one line and leaves no trace."""
    spotter = Spotter(load(model))
    audio = tones.noise(0.5)
    spotter.push(audio, RATE)

    with pytest.raises(AudioError, match=f"{rate} Hz can't be heard"):
        spotter.push(audio, rate)

    assert spotter.stats.audio_s == pytest.approx(0.5)
    spotter.push(audio, RATE)
    assert (spotter.stats.audio_s, spotter.stats.lost_s) == (pytest.approx(1.0), 0.0)


@pytest.mark.parametrize("name", ["spot", "classify"])
def test_a_rate_that_is_none_is_one_line(kws, model, tmp_path, name):
    """At once: a filter for 2 GHz would never be ready."""
    data, path = wav(noise(100)), tmp_path / "x.wav"
    path.write_bytes(data[:24] + (2**31 - 1).to_bytes(4, "little") + data[28:])

    result = kws(name, path, "--model", model)

    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "2147483647 Hz can't be heard; give audio of 1000 to 384000 Hz" in result.err
