"""Sources: recordings and pipes as blocks, and what is wrong with some."""

import io
import os
import re
import subprocess
import tempfile
import threading
from contextlib import closing, suppress
from itertools import islice, pairwise

import numpy as np
import pytest
import soundfile
from audio_files import (
    BAD,
    ENDLESS,
    cut_off,
    cut_off_flac,
    endless_flac,
    noise,
    wav,
    written,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from telling import need

from kws.errors import AudioError
from kws.sources import open_audio
from kws.sources.demo import Demo
from kws.sources.file import AudioFile
from kws.sources.pipe import Pipe

RATES = [8_000, 16_000, 22_050, 44_100, 48_000, 96_000]


def encoded(form):
    """Return a quarter of a second in a format, as bytes."""
    stream = io.BytesIO()
    soundfile.write(stream, noise(4_000), 16_000, format=form)
    return stream.getvalue()


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
        (b"fLaC" + bytes(100), "carries FLAC that can't be read"),
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


# -- headers that don't tell, or lie ----------------------------------------------------------


@pytest.mark.parametrize("kind", ENDLESS)
def test_a_file_whose_header_does_not_tell_its_length_is_heard(tmp_path, kind):
    """To its end, and a second time."""
    samples, path = noise(40_000), tmp_path / "x"
    path.write_bytes(ENDLESS[kind](samples))
    source = AudioFile(path)

    with closing(source):
        for _ in range(2):
            assert np.array_equal(np.concatenate([b.samples for b in source]), samples)
    assert source.length in {None, len(samples)}


@pytest.mark.parametrize("kind", set(ENDLESS) - {"CAF"})
def test_so_it_is_in_a_pipe(kind):
    samples = noise(40_000)

    assert np.array_equal(heard(Pipe(io.BytesIO(ENDLESS[kind](samples)))), samples)


@pytest.mark.parametrize(
    "tail", [b"LIST\4\0\0\0abcd", b"id3 \5\0\0\0abcde", b"TAGabcdefghij", b"\0"]
)
def test_tags_at_the_end_are_not_audio(tmp_path, tail):
    """Neither in a file nor in a pipe."""
    samples, path = noise(1_000), tmp_path / "x.wav"
    path.write_bytes(wav(samples) + tail)

    assert np.array_equal(heard(AudioFile(path)), samples)
    assert np.array_equal(heard(Pipe(io.BytesIO(path.read_bytes()))), samples)


@pytest.mark.parametrize(("made", "there"), [(cut_off, 9_978), (cut_off_flac, 40_000)])
def test_what_is_cut_off_is_heard_as_far_as_it_goes(tmp_path, made, there):
    """And then told."""
    blocks = []
    with pytest.raises(AudioError, match=r"cut off|unreadable after"):
        blocks.extend(AudioFile(made(tmp_path)))

    assert sum(len(block.samples) for block in blocks) >= there


@pytest.mark.parametrize("padding", [b"", b"\0"])
def test_an_odd_number_of_bytes_has_a_padding_before_the_tags(tmp_path, padding):
    """Some writers forget it in files."""
    samples, path = noise(1_001), tmp_path / "x.wav"
    data = wav(samples, subtype="PCM_U8")[: 44 + 1_001]
    path.write_bytes(data + padding + b"LIST\4\0\0\0abcd")

    assert len(heard(AudioFile(path))) == 1_001
    assert len(heard(Pipe(io.BytesIO(data + b"\0LIST\4\0\0\0abcd")))) == 1_001


WHOLE = [wav(noise(4_000)), *(made(noise(4_000)) for made in ENDLESS.values())]
WHOLE += [encoded(form) for form in ("RF64", "W64", "AU", "AIFF", "CAF", "FLAC", "OGG", "MP3")]


@settings(max_examples=200, deadline=None)
@given(
    whole=st.sampled_from(WHOLE),
    changes=st.lists(st.tuples(st.integers(0, 120), st.binary(min_size=1, max_size=8)), max_size=4),
    end=st.integers(0, 40_000),
    piped=st.booleans(),
)
def test_any_header_is_a_recording_or_refused(whole, changes, end, piped):
    """Whatever it claims: nothing but AudioError, no more samples than there can be."""
    data = bytearray(whole[:end])
    for at, change in changes:
        data[at : at + len(change)] = change
    with tempfile.NamedTemporaryFile() as file, suppress(AudioError):
        file.write(data)
        file.flush()
        blocks = iter(Pipe(io.BytesIO(data)) if piped else AudioFile(file.name))
        assert all(block.samples.size <= 1 << 19 for block in islice(blocks, 1_000))
        assert next(blocks, None) is None


@pytest.mark.parametrize("rate", [1, 999, 384_001, 2**31 - 1])
def test_rates_that_can_not_be_heard_are_refused(tmp_path, rate):
    """In a file, in a pipe, raw: at once, in one line."""
    path = tmp_path / "x.wav"
    path.write_bytes(with_rate(rate))

    for opened in (
        lambda: AudioFile(path),
        lambda: Pipe(io.BytesIO(with_rate(rate))),
        lambda: Pipe(io.BytesIO(bytes(100)), rate=rate),
    ):
        with pytest.raises(AudioError, match=rf"{rate} Hz can't be heard; give audio of 1000 to"):
            opened()


def with_rate(rate):
    data = wav(noise(100))
    return data[:24] + rate.to_bytes(4, "little") + data[28:]


@pytest.mark.parametrize("rate", [1_000, 384_000])
def test_rates_at_the_limits_are_heard(tmp_path, rate):
    path = written(tmp_path, samples=noise(rate), rate=rate)

    assert len(heard(AudioFile(path))) == len(heard(Pipe(io.BytesIO(path.read_bytes())))) == rate


def test_a_block_of_a_thousand_channels_is_small(tmp_path):
    """Half a second at 384 kHz would take 800 MB."""
    source = AudioFile(written(tmp_path, samples=noise(2_000, 1_024), rate=384_000))

    with closing(source):
        assert max(block.samples.size for block in source) <= 1 << 19


class Endless(io.RawIOBase):
    """Bytes, then zeros without end; remembers how many were asked for at once."""

    def __init__(self, head):
        self.head, self.most, self.given = head, 0, 0

    def read(self, size=-1):
        self.most, self.given = max(self.most, size), self.given + size
        found, self.head = self.head[:size], self.head[size:]
        return found + bytes(size - len(found))


@pytest.mark.parametrize(
    "head",
    [
        b"RIFF\xff\xff\xff\xffWAVELIST\0\0\x10\0",
        b"RIFF\xff\xff\xff\xffWAVEfmt \0\0\x10\0",
        b"RIFF\xff\xff\xff\xffWAVE",
        b"fLaC\0\0\0\x22" + bytes(34),
        b".snd\xff\xff\xff\x00" + bytes(100),
        b"FORM\xff\xff\xff\xffAIFFCOMM\xff\xff\xff\xf0",
    ],
)
def test_a_header_that_claims_a_lot_takes_no_memory(head):
    """A part of a mebibyte is passed over in small pieces; a header without end has one."""
    stream = Endless(head)

    with pytest.raises(AudioError):
        Pipe(stream)

    assert stream.most <= 1 << 20
    assert stream.given <= 1 << 24


# -- formats in pipes -------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["FLAC", "AU", "AIFF", "W64", "RF64", "IRCAM", "VOC"])
def test_what_can_be_read_from_a_pipe_is(tmp_path, form):
    """The same samples as from the file, however many."""
    samples, path = noise(100_000), tmp_path / "x"
    soundfile.write(path, samples, 16_000, format=form, subtype="PCM_16")
    with open(path, "rb") as stream:
        piped = Pipe(stream)
        assert piped.rate == 16_000
        assert np.array_equal(heard(piped)[: len(samples)], samples)


def test_a_decoder_keeps_no_more_than_it_needs():
    """Of minutes of FLAC in a pipe, a mebibyte at most."""
    piped = Pipe(io.BytesIO(endless_flac(noise(16_000 * 120))))

    kept = [len(piped._decoder._stream._kept) for _ in piped]

    assert max(kept) <= 1 << 20


def aac(length=200):
    head = b"\xff\xf1\x60\x40" + bytes([length >> 3 & 0xFF, (length & 7) << 5 | 0x1F, 0xFC])
    return (head + bytes(length - 7)) * 40


FOREIGN = {
    "Ogg": lambda: encoded("OGG"),
    "MP3": lambda: encoded("MP3"),
    "CAF": lambda: encoded("CAF"),
    r"MP4 \(m4a\)": lambda: b"\0\0\0\x1cftypM4A " + bytes(100),
    "WebM or Matroska": lambda: b"\x1a\x45\xdf\xa3" + bytes(100),
    "AC3": lambda: (b"\x0b\x77\x90\x7c\x8c\x40" + bytes(570)) * 8,
    "AAC": aac,
    "MPEG-TS": lambda: (b"\x47" + bytes(187)) * 30,
    "AMR": lambda: b"#!AMR-WB\n" + bytes(100),
    "RIFF without WAVE": lambda: b"RIFF\xff\xff\xff\xffAVI LIST" + bytes(100),
    "text": lambda: b"<!DOCTYPE html><html><head>",
    "gzip": lambda: b"\x1f\x8b\x08\0" + bytes(100),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_can_not_be_read_from_a_pipe_is_called_by_its_name(name):
    """Instead of nothing, or noise."""
    with pytest.raises(AudioError, match=f"stdin: carries {name}.*(ffmpeg|no audio)") as error:
        Pipe(io.BytesIO(FOREIGN[name]()))

    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "first", [b"\xff\xfb\x90\x00", b"\x0b\x77", b"\x47", b"\xff\xf1", b"\x56\xe0"]
)
def test_samples_may_begin_like_frames(first):
    """What looks like one frame and no second is raw samples, and all of them are heard."""
    data = first + np.random.default_rng(1).integers(0, 256, 9_998, np.uint8).tobytes()
    data = data[: len(data) // 2 * 2]

    assert np.array_equal(
        heard(Pipe(io.BytesIO(data)))[:, 0], np.frombuffer(data, "<i2").astype(np.float32) / 32_768
    )


@pytest.mark.parametrize(
    "options",
    [
        "-f wav", "-f wav -rf64 always", "-f flac", "-f w64", "-f au", "-f aiff", "-f caf",
        "-f mp3", "-f webm", "-f ac3", "-f adts", "-f matroska", "-f mpegts",
        "-f mp4 -movflags frag_keyframe+empty_moov",
    ],
)  # fmt: skip
@pytest.mark.parametrize("piped", [False, True], ids=["file", "pipe"])
def test_whatever_ffmpeg_writes_into_a_pipe_is_heard_or_refused(request, tmp_path, options, piped):
    """Of three seconds none is lost; what can't be heard is named in one line."""
    need(request, "ffmpeg", "ffmpeg")
    sound = ["-f", "lavfi", "-i", "sine=duration=3:sample_rate=16000", *options.split()]
    command = ["ffmpeg", "-loglevel", "error", *sound, "pipe:1"]
    path = tmp_path / "x"
    path.write_bytes(subprocess.run(command, capture_output=True, check=True).stdout)

    try:
        with open(path, "rb") as stream:
            source = Pipe(stream) if piped else AudioFile(path)
            found = len(heard(source)) / source.rate
    except AudioError as error:
        found = str(error)

    refused = r".*: (carries|not audio that can be read: it is) .*ffmpeg -i .*"
    assert re.fullmatch(refused, str(found)) or found == pytest.approx(3, abs=0.3)
