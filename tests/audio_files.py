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
