"""What the cost benchmark listens to: silence, speech without pauses, a noisy room."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from export.training.recordings import Clip, folder, keyword_free, table
from kws.levels import frames_db

RATE = 16_000
FRAME = RATE // 100
Samples = NDArray[np.float32]
Pcm = NDArray[np.int16]

NO_SPEECH = {"esc10", "blanket", "ambienzzzz", "noisekun", "modern-alarm-clock", "speech_commands"}
"""Sources of noise in which nobody talks, in the background either."""


def silence(seconds: float) -> Pcm:
    """Noise at -60 dBFS, never zeros: a quiet room."""
    noise = np.random.default_rng(1).standard_normal(round(seconds * RATE))
    return _pcm(noise * 10 ** (-60 / 20))


def speech(seconds: float) -> Pcm:
    """Keyword-free speech of the validation split's speakers, its pauses cut out, at -26 dBFS."""
    clips = keyword_free("validation")
    return _collected(clips, seconds, -26.0, without_pauses=True)


def room_noise(seconds: float) -> Pcm:
    """Noise without speech, at -40 dBFS."""
    clips = [
        clip
        for clip in table("noise", "validation")
        if clip.label == "noise" and clip.source in NO_SPEECH
    ]
    return _collected(clips, seconds, -40.0, without_pauses=False)


KINDS = {"silence": silence, "speech": speech, "room noise": room_noise}


def _collected(clips: list[Clip], seconds: float, level_db: float, *, without_pauses: bool) -> Pcm:
    parts: list[Samples] = []
    missing = round(seconds * RATE)
    for position in np.random.default_rng(1).permutation(len(clips)):
        audio = _read(folder(), clips[position])
        audio = _without_pauses(audio) if without_pauses else audio
        level = np.sqrt(np.mean(audio**2)) if len(audio) else 0.0
        if level == 0.0:
            continue
        parts.append(audio[:missing] * 10 ** (level_db / 20) / level)
        missing -= len(parts[-1])
        if not missing:
            break
    return _pcm(np.concatenate(parts))


def _read(recordings: Path, clip: Clip) -> Samples:
    with soundfile.SoundFile(recordings / clip.shard) as shard:
        shard.seek(clip.start)
        audio: Samples = shard.read(clip.samples, dtype="float32")
    return audio


def _without_pauses(audio: Samples) -> Samples:
    """Keep the 10 ms frames within 30 dB of the loudest, and the 50 ms around each."""
    frames = audio[: len(audio) // FRAME * FRAME].reshape(-1, FRAME)
    if not len(frames):
        return audio[:0]
    level = frames_db(audio, FRAME)
    spoken = np.convolve(level >= level.max() - 30, np.ones(11), mode="same") > 0
    return frames[spoken].ravel()


def _pcm(audio: NDArray[np.float64] | Samples) -> Pcm:
    return (audio * 32_768).clip(-32_768, 32_767).astype(np.int16)
