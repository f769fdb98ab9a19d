"""Sources: recordings and pipes as blocks, and what is wrong with some."""

import io
import os
import threading
from contextlib import closing
from itertools import pairwise

import numpy as np
import pytest
from audio_files import BAD, noise, wav, written

from kws.errors import AudioError
from kws.sources import open_audio
from kws.sources.demo import Demo
from kws.sources.file import AudioFile
from kws.sources.pipe import Pipe

RATES = [8_000, 16_000, 22_050, 44_100, 48_000, 96_000]


def heard(source):
    """Return all that a source delivers: float32 [n, channels]; its blocks must join."""
    with closing(source):
        blocks = list(source)
    assert all(before.end == after.start for before, after in pairwise(blocks))
    assert {block.rate for block in blocks} == {source.rate}
    return np.concatenate([block.samples for block in blocks])


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("channels", [1, 2, 8])
def test_a_file_is_heard_whole_at_any_rate(tmp_path, rate, channels):
    """Every sample of every channel, once and in order, at the file's own rate."""
    samples = noise(rate + 17, channels)

    source = AudioFile(written(tmp_path, samples=samples, rate=rate))

    assert (source.rate, source.channels, source.length) == (rate, channels, rate + 17)
    assert np.array_equal(heard(source), samples)


def test_a_file_is_never_loaded_whole(tmp_path):
    """A block is half a second at most, however long the file is."""
    source = AudioFile(written(tmp_path, samples=noise(160_000)))

    with closing(source):
        assert max(len(block.samples) for block in source) <= 8_000


@pytest.mark.parametrize("name", ["x.flac", "x.ogg", "x.opus", "x.mp3", "x.aiff"])
def test_whatever_libsndfile_reads_is_audio(tmp_path, name):
    """The suffix does not matter, a lossy format neither."""
    options = {"format": "OGG", "subtype": "OPUS"} if name.endswith("opus") else {}
    path = written(tmp_path, name, **options)

    assert abs(len(heard(AudioFile(path))) - 16_000) < 3_000


def test_a_second_iteration_begins_anew(tmp_path):
    """A file can be heard twice."""
    source = AudioFile(written(tmp_path))

    with closing(source):
        assert len(list(source)) == len(list(source))


def test_a_closed_file_ends(tmp_path):
    """close() ends the iteration without an error, twice too."""
    source = AudioFile(written(tmp_path, samples=noise(160_000)))
    blocks = iter(source)
    next(blocks)
    source.close()
    source.close()

    assert list(blocks) == []


@pytest.mark.parametrize("said", BAD)
def test_a_bad_file_says_what_is_wrong(tmp_path, said):
    """One line that names the file."""
    path = BAD[said](tmp_path)

    with pytest.raises(AudioError, match=said) as error:
        heard(AudioFile(path))

    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_a_piped_wav_is_what_the_file_is(tmp_path, subtype):
    """Every kind of plain sample, any rate and number of channels."""
    samples, path = noise(5_000, 3), tmp_path / "x.wav"
    path.write_bytes(wav(samples, 44_100, subtype=subtype))

    piped = Pipe(io.BytesIO(path.read_bytes()))

    assert piped.rate == 44_100
    assert np.allclose(heard(piped), heard(AudioFile(path)), atol=1e-7)


@pytest.mark.parametrize("size", [0, 0x7FFF_F024, 0xFFFF_FFFF])
def test_a_header_written_into_a_pipe_knows_no_length(size):
    """arecord, ffmpeg and sox can't know how long they will record: all is heard."""
    samples = noise(1_000)

    assert np.array_equal(heard(Pipe(io.BytesIO(wav(samples, size=size)))), samples)


def test_what_follows_the_samples_is_not_audio():
    """A WAV's tags may come last."""
    samples = noise(1_000)

    assert np.array_equal(heard(Pipe(io.BytesIO(wav(samples) + b"LIST\4\0\0\0abcd"))), samples)


@pytest.mark.parametrize("channels", [1, 2])
def test_raw_samples_are_16_bit(channels):
    """Without a header the caller says rate and channels; half a sample at the end is nothing."""
    samples = noise(40_000, channels)
    data = np.round(samples * 32_768).astype("<i2").tobytes() + b"\1"

    piped = Pipe(io.BytesIO(data), rate=8_000, channels=channels)

    assert np.array_equal(heard(piped), samples)
    assert piped.rate == 8_000


def test_a_pipe_is_heard_as_it_comes():
    """A block is there as soon as its bytes are, however few."""
    reader, writer = os.pipe()
    with os.fdopen(writer, "wb", buffering=0) as out, closing(Pipe(_first(reader, out))) as pipe:
        blocks = iter(pipe)
        assert len(next(blocks).samples) == 10
        out.write(bytes(8))
        assert len(next(blocks).samples) == 4


def _first(reader, out):
    out.write(bytes(20))
    return os.fdopen(reader, "rb")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no audio came"),
        (b"\1", "no audio came"),
        (b"RIFF\0\0\0\0WAVE", "ended within the WAV header"),
        (wav(noise(100))[:30], "ended within the WAV header"),
        (wav(noise(100))[:44], "no audio came"),
        (wav(np.full(100, np.inf), subtype="FLOAT"), "not a number"),
        (b"fLaC" + bytes(100), "carries FLAC"),
        (wav(noise(100)).replace(b"\x10\0\0\0\1\0", b"\x10\0\0\0\2\0"), "only plain samples"),
    ],
)
def test_a_bad_pipe_says_what_is_wrong(data, said):
    """Nothing, a torn header, what is neither WAV nor raw."""
    with pytest.raises(AudioError, match=said):
        heard(Pipe(io.BytesIO(data)))


def test_a_wav_that_is_cut_off_in_a_pipe_is_heard_to_where_it_ends():
    """Whoever records may stop at any moment."""
    assert len(heard(Pipe(io.BytesIO(wav(noise(1_000))[:1_044])))) == 500


def test_a_named_pipe_is_a_pipe(tmp_path):
    """`kws spot <(...)` gets a path that can't be rewound."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    data = wav(noise(1_000))
    writer = threading.Thread(target=path.write_bytes, args=(data,))
    writer.start()
    samples = heard(open_audio(str(path)))
    writer.join()

    assert len(samples) == 1_000


def test_the_demo_is_a_recording_in_real_time(monkeypatch):
    """It sleeps as long as it lasts."""
    slept = []
    monkeypatch.setattr("time.sleep", slept.append)

    samples, rate = heard(source := Demo()), source.rate

    assert sum(slept) == pytest.approx(len(samples) / rate)
    assert max(slept) < 0.05
