"""Clips: a recording in memory -> samples; what it may be is told by its first bytes."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from kws.errors import AudioError
from kws.flow import RATES, Block, Samples
from kws.resample import Resampler
from kws.sources.headers import PatchedFile, examine

BLOCK = 1 << 16
CHANNELS = 16
LOUDEST = 2.0**31
"""What integers come to that were stored as floats; the square of more is endless."""
ENDLESS = 1 << 62
"""So many samples, or more, are promised by a writer that could not know."""


def decode(body: bytes, rate: int, most_s: float) -> Samples:
    """Return a WAV, FLAC or Ogg recording's samples at a rate: float32 [n], mono.

    Raises AudioError: it is none, is broken, or lasts longer than `most_s`, also where its header
    says otherwise: a few bytes may unpack to hours.
    """
    import soundfile

    wave = body[:4] == b"RIFF" and body[8:12] == b"WAVE"
    if not wave and body[:4] not in {b"fLaC", b"OggS"}:
        raise AudioError("the body is neither WAV nor FLAC nor Ogg")
    claim = examine(io.BytesIO(body))
    if claim.there < claim.size:
        raise AudioError(
            f"cut off: its header promises {claim.size} bytes of audio, {claim.there} came"
        )
    try:
        with soundfile.SoundFile(PatchedFile(io.BytesIO(body), claim.patches)) as file:
            if file.samplerate not in RATES or file.channels > CHANNELS:
                raise AudioError(f"{file.samplerate} Hz, {file.channels} channels: can't be heard")
            file.seekable = lambda: False  # or it looks for an end, which a stream may lack
            return _read(file, rate, most_s)
    except soundfile.LibsndfileError as error:
        raise AudioError(f"not audio that can be read ({error.error_string})") from None


def _read(file: Any, rate: int, most_s: float) -> Samples:
    resampler, at, parts = Resampler(rate), 0, []
    while len(samples := file.read(BLOCK, dtype="float32", always_2d=True)):
        block = Block(samples, at, file.samplerate)
        if block.end / block.rate > most_s:
            raise AudioError(f"the clip is longer than {most_s:g} s")
        if (peak := np.abs(samples).max()) > LOUDEST:
            raise AudioError(f"a sample of {peak:.3g}: louder than anything can be")
        parts += resampler.process(block)
        at = block.end
    if at < file.frames < ENDLESS:
        raise AudioError(f"cut off: {at} samples of the {file.frames} that its header promises")
    parts += resampler.flush()
    return np.concatenate([part.samples for part in parts]) if parts else np.zeros(0, np.float32)
