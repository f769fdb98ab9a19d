"""What the load benchmark's streams hear: people at home, who talk for a part of the time."""

from __future__ import annotations

from itertools import cycle

import numpy as np

from benchmarks.audio import NO_SPEECH, RATE, Pcm
from export.training.recordings import Clip, keyword_free, load, table

SPEECH = 0.3
"""The part of the time that utterances take, their own short pauses included."""
WAKE_EVERY = 12
"""So many utterances to one wake word."""
WORDS = ("alexa", "jarvis")
QUIET_DB, NOISE_DB, SPEECH_DB = -60.0, -40.0, -26.0


def tape(seconds: float) -> Pcm:
    """Utterances and now and then a wake word, after each as much of something else as is due.

    That is a quiet room (noise at -60 dBFS) and a room with noise without speech (-40 dBFS), in
    turn. Of the validation split, in an order drawn once.
    """
    random = np.random.default_rng(1)
    spoken = _drawn(keyword_free("validation"), random, 400)
    wake = _drawn([c for c in table("wake", "validation") if c.label in WORDS], random, 40)
    rooms = [
        clip
        for clip in table("noise", "validation")
        if clip.label == "noise" and clip.source in NO_SPEECH
    ]
    noise = _levelled(np.concatenate(_drawn(rooms, random, 60)), NOISE_DB)
    words, parts, have, at = cycle(wake), [], 0, 0
    for number, utterance in enumerate(cycle(spoken)):
        wake_word = number % WAKE_EVERY == WAKE_EVERY - 1
        said = _levelled(next(words) if wake_word else utterance, SPEECH_DB)
        gap = round(len(said) * (1 - SPEECH) / SPEECH)
        if number % 2:
            rest = random.standard_normal(gap) * 32_768 * 10 ** (QUIET_DB / 20)
        else:
            rest = np.take(noise, range(at, at + gap), mode="wrap")
            at += gap
        parts += [said, rest.astype(np.int16)]
        have += len(said) + gap
        if have >= seconds * RATE:
            return np.concatenate(parts)[: round(seconds * RATE)]
    raise AssertionError


def _drawn(clips: list[Clip], random: np.random.Generator, count: int) -> list[Pcm]:
    return load([clips[at] for at in random.permutation(len(clips))[:count]])


def _levelled(audio: Pcm, level_db: float) -> Pcm:
    level = np.sqrt(np.mean(np.square(audio.astype(np.float32) / 32_768))) or 1.0
    scaled = audio * (10 ** (level_db / 20) / level)
    return scaled.clip(-32_768, 32_767).astype(np.int16)
