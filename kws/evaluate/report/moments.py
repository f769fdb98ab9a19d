"""Moments: what to hear and to look at around a miss or a false alarm."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np

from kws import card
from kws.errors import AudioError
from kws.evaluate.drawing.excerpt import Excerpt, hear
from kws.evaluate.results import Wrong
from kws.flow import Block
from kws.resample import Channel, Resampler
from kws.sources.file import name_of
from kws.spotter import Spotter

BESIDE_S = 1.0
"""What is heard, and seen, before and after a moment."""
LONGEST_S = 10.0
RATE = 16_000
"""What is kept of the sound, at most, in Hz: models hear no more."""


def around(
    spotter: Spotter,
    wrongs: Sequence[Wrong],
    *,
    channel: Channel = None,
    rules: Sequence[card.Decision] | None = None,
) -> dict[Wrong, Excerpt]:
    """Hear what was heard around misses and false alarms; each recording is heard once.

    Those whose recording can't be read are left out. channel, rules: as `hear` takes them.
    """
    found: dict[Wrong, Excerpt] = {}
    for name in dict.fromkeys(wrong.audio for wrong in wrongs):
        here = [wrong for wrong in wrongs if wrong.audio == name]
        try:
            excerpts = hear(
                spotter, name, [span(each) for each in here], channel=channel, rules=rules
            )
        except AudioError:
            continue
        found |= dict(zip(here, excerpts, strict=True))
    return found


def span(wrong: Wrong) -> tuple[float, float]:
    """Return from when to when a moment is heard, in seconds of its recording."""
    start = max(0.0, wrong.start_s - BESIDE_S)
    return start, min(wrong.end_s + BESIDE_S, start + LONGEST_S)


def sound(wrong: Wrong) -> bytes | None:
    """Return the sound around a moment, as mono FLAC; None where it can't be read.

    The level is as it was; the rate is the recording's, but for the highest frequencies.
    """
    import soundfile

    start, end = span(wrong)
    try:
        with soundfile.SoundFile(name_of(wrong.audio)) as file:
            rate = file.samplerate
            file.seek(min(round(start * rate), file.frames))
            samples = file.read(round((end - start) * rate), dtype="float32", always_2d=True)
    except (OSError, soundfile.LibsndfileError, TypeError):
        return None
    if not len(samples) or not np.isfinite(samples).all():
        return None
    resampler = Resampler(min(rate, RATE))
    parts = [*resampler.process(Block(samples, 0, rate)), *resampler.flush()]
    mono = np.concatenate([part.samples for part in parts])
    flac = io.BytesIO()
    soundfile.write(flac, np.clip(mono, -1, 1), min(rate, RATE), "PCM_16", format="FLAC")
    return flac.getvalue()
