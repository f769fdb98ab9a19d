"""Clips: a recording in memory -> samples; what it may be is told by its first bytes."""

from __future__ import annotations

import io

import numpy as np

from kws.errors import AudioError
from kws.flow import Block, Samples
from kws.resample import Resampler

BLOCK = 1 << 16
CHANNELS = 16
RATES = range(1_000, 384_001)


def decode(body: bytes, rate: int, most_s: float) -> Samples:
    """Return a WAV, FLAC or Ogg recording's samples at a rate: float32 [n], mono.

    Raises AudioError: it is none, is broken, or lasts longer than `most_s`, also where its header
    says otherwise: a few bytes may unpack to hours.
    """
    import soundfile

    wave = body[:4] == b"RIFF" and body[8:12] == b"WAVE"
    if not wave and body[:4] not in {b"fLaC", b"OggS"}:
        raise AudioError("the body is neither WAV nor FLAC nor Ogg")
    try:
        with soundfile.SoundFile(io.BytesIO(body)) as file:
            if file.samplerate not in RATES or file.channels > CHANNELS:
                raise AudioError(f"{file.samplerate} Hz, {file.channels} channels: can't be heard")
            return _read(file, rate, most_s)
    except soundfile.LibsndfileError as error:
        raise AudioError(f"not audio that can be read ({error.error_string})") from None


def _read(file: object, rate: int, most_s: float) -> Samples:
    resampler, at, parts = Resampler(rate), 0, []
    while len(samples := file.read(BLOCK, dtype="float32", always_2d=True)):  # type: ignore[attr-defined]
        block = Block(samples, at, file.samplerate)  # type: ignore[attr-defined]
        if block.end / block.rate > most_s:
            raise AudioError(f"the clip is longer than {most_s:g} s")
        parts += resampler.process(block)
        at = block.end
    parts += resampler.flush()
    return np.concatenate([part.samples for part in parts]) if parts else np.zeros(0, np.float32)
