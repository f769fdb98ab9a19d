"""Recordings made for tests: good ones of every kind, and what people give by mistake."""

import io
import struct

import numpy as np
import soundfile


def noise(samples, channels=1, seed=0):
    """Return noise that 16 bits hold exactly: float32 [samples, channels]."""
    whole = np.random.default_rng(seed).integers(-20_000, 20_000, (samples, channels))
    return (whole / 32_768).astype(np.float32)


def written(folder, name="x.wav", samples=None, rate=16_000, **options):
    path = folder / name
    soundfile.write(path, noise(rate) if samples is None else samples, rate, **options)
    return path


def wav(samples, rate=16_000, *, subtype="PCM_16", size=None):
    """Return a WAV as bytes; `size`: what its header says instead of the truth."""
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate, format="WAV", subtype=subtype)
    data = stream.getvalue()
    at = data.index(b"data") + 4
    return data if size is None else data[:at] + struct.pack("<I", size) + data[at + 4 :]


def endless_flac(samples, rate=16_000):
    """Return a FLAC as a program writes it into a pipe: its header can't tell the length."""
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate, format="FLAC")
    data = bytearray(stream.getvalue())
    data[21] &= 0xF0  # the number of samples: the low 36 bits from here
    data[22:26] = bytes(4)
    return bytes(data)


def endless_rf64(samples, rate=16_000):
    """Return an RF64 of the kind: its sizes are 0."""
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate, format="RF64")
    data = stream.getvalue()
    at = data.index(b"ds64") + 8
    data = data[:at] + bytes(24) + data[at + 24 :]
    at = data.index(b"data") + 4
    return data[:at] + b"\xff" * 4 + data[at + 4 :]


def endless_caf(samples, rate=16_000):
    """Return a CAF of the kind: its data last until the end, says -1."""
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate, format="CAF")
    data = stream.getvalue()
    at = data.index(b"data") + 4
    return data[:at] + b"\xff" * 8 + data[at + 8 :]


ENDLESS = {
    "FLAC": endless_flac,
    "RF64": endless_rf64,
    "CAF": endless_caf,
    "WAV of 0": lambda samples: wav(samples, size=0),
    "WAV of too few": lambda samples: wav(samples, size=1_000),
    "WAV of most": lambda samples: wav(samples, size=0xFFFF_FFFF),
    "WAV of most with a sign": lambda samples: wav(samples, size=0x7FFF_F024),
}
"""Recordings whose headers don't tell how long they are, as programs write into pipes."""


def nan(folder):
    samples = noise(16_000)
    samples[8_000] = np.nan
    return written(folder, samples=samples, subtype="FLOAT")


def cut_off(folder):
    path = written(folder)
    path.write_bytes(path.read_bytes()[:20_000])
    return path


def cut_off_flac(folder):
    path = written(folder, "x.flac", samples=noise(160_000))
    path.write_bytes(path.read_bytes()[:100_000])
    return path


def text(folder):
    path = folder / "text.wav"
    path.write_text("This is no audio, whatever its name says.\n" * 20)
    return path


def empty(folder):
    path = folder / "empty.wav"
    path.touch()
    return path


def raw(folder):
    path = folder / "x.raw"
    path.write_bytes(bytes(3_200))
    return path


BAD = {
    "no such file": lambda folder: folder / "missing.wav",
    "a directory": lambda folder: folder,
    r"empty \(0 bytes\)": empty,
    "cut off": cut_off,
    "cut off|unreadable after": cut_off_flac,
    "not audio that can be read": text,
    r"not a number \(NaN or infinity\) at 0.500 s": nan,
    "holds no samples": lambda folder: written(folder, samples=np.zeros((0, 1))),
    "raw samples tell neither rate nor channels": raw,
}
"""Bad recordings, by what is said of them."""
