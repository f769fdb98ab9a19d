"""Take: what was heard after one prompt, whether it will do, and the part that is kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kws.evaluate.truth import ABOVE_FLOOR_DB, BELOW_LOUDEST_DB, FRAME_S
from kws.evaluate.tuning import spoken
from kws.flow import Block, Samples
from kws.gates.webrtc import Detector
from kws.levels import frames_db, rms_db
from kws.resample import Resampler

MARGIN_S = 0.3
"""Kept on either side: soft sounds at a word's edges lie under what counts as the word."""
EDGE_S = 0.1
"""A word so near to an end of what was heard may be cut."""
GAP_S = 0.5
"""A longer pause ends a word; those within phrases are shorter."""
LONGEST_S = 4.0
VOICED = 0.3
"""The share of a word's frames in which the detector must hear a voice: 1 in 300 of people's words
has less. So has only 1 in 9 everyday noises: barks and knocks are no different to it."""
VOICE_RATE = 16_000

FAULTS = {
    "lost": "some audio was lost on its way",
    "zeros": "nothing but zeros: is the microphone muted?",
    "nothing": "nothing was heard over the noise of the room",
    "clipped": "too loud, it was clipped: keep away a little, or turn the microphone down",
    "quiet": "too quiet: come closer, or turn the microphone up",
    "endless": "it did not end: say it once, with nothing else to be heard",
    "early": "it began too early: wait until you are asked",
    "several": "more than one word was heard: say it once, without long pauses",
    "long": f"longer than {LONGEST_S:g} s: say only the word",
    "noise": "that was no voice",
}
"""Why a take won't do, by a short name."""


@dataclass(frozen=True)
class Take:
    """What was heard. audio: float32 [n], mono at `rate` Hz, from a little before the prompt.

    clipped: samples at full scale, in any channel. lost: audio is missing in it.
    """

    audio: Samples
    rate: int
    clipped: int = 0
    lost: bool = False


@dataclass(frozen=True)
class Said:
    """One good recording of a word: audio with its margins; the word is [start_s, end_s) in it.

    level_db: the word's RMS in dBFS.
    """

    audio: Samples
    rate: int
    start_s: float
    end_s: float
    level_db: float


def words(audio: Samples, rate: int) -> list[tuple[int, int]]:
    """Return where something was said: first and past-the-last sample of each stretch.

    Frames count as in `word_bounds`; what is shorter than any word is left out.
    """
    audio = _centred(audio)
    if spoken.find(audio, rate) is None:
        return []
    frame = round(FRAME_S * rate)
    level = frames_db(audio, frame)
    floor = np.sort(level)[: max(1, len(level) // 10)].mean() + ABOVE_FLOOR_DB
    active = np.flatnonzero(level >= max(floor, level.max() - BELOW_LOUDEST_DB))
    parts = np.split(active, np.flatnonzero(np.diff(active) > GAP_S / FRAME_S) + 1)
    bounds = [(int(part[0]) * frame, int(part[-1] + 1) * frame) for part in parts]
    return [(start, end) for start, end in bounds if end - start >= spoken.SHORTEST_S * rate]


def judge(take: Take) -> Said | str:
    """Return what is to be kept of a take, or its fault: a key of FAULTS."""
    audio, rate = take.audio, take.rate
    found = words(audio, rate)
    if fault := _unusable(take, found) or _no_single_word(take, found):
        return fault
    ((start, end),) = found
    margin = round(MARGIN_S * rate)
    first, last = max(0, start - margin), min(len(audio), end + margin)
    return Said(
        audio[first:last].copy(), rate, (start - first) / rate, (end - first) / rate,
        rms_db(_centred(audio)[start:end]),
    )  # fmt: skip


def _unusable(take: Take, found: list[tuple[int, int]]) -> str | None:
    if take.lost:
        return "lost"
    if not take.audio.any():
        return "zeros"
    if take.clipped >= spoken.TOO_MANY:
        return "clipped"
    if not found:
        return "nothing"
    return "quiet" if is_quiet(take.audio, take.rate) else None


def _no_single_word(take: Take, found: list[tuple[int, int]]) -> str | None:
    audio, rate = take.audio, take.rate
    start, end = found[0]
    if found[-1][1] > len(audio) - EDGE_S * rate:
        return "endless"
    if start < EDGE_S * rate:
        return "early"
    if len(found) > 1:
        return "several"
    if end - start > LONGEST_S * rate:
        return "long"
    return None if voiced(audio, rate, start, end) >= VOICED else "noise"


def is_quiet(audio: Samples, rate: int) -> bool:
    """Whether even the loudest of it is lost in the noise of many microphones."""
    audio = _centred(audio)
    found = spoken.find(audio, rate)
    return found is not None and spoken.trouble(audio, rate, found, clipped=0) is not None


def voiced(audio: Samples, rate: int, start: int, end: int) -> float:
    """Return the share of the samples [start, end) in which the gate's detector hears a voice."""
    resampler, detector = Resampler(VOICE_RATE), Detector(VOICE_RATE)
    heard = [*resampler.process(Block(audio, 0, rate)), *resampler.flush()]
    samples = np.concatenate([block.samples for block in heard])
    step = detector.frame
    frames = samples[: len(samples) // step * step].reshape(-1, step)
    voice = np.array([detector.voiced(frame) for frame in frames])
    within = voice[int(start / rate * VOICE_RATE / step) : int(end / rate * VOICE_RATE / step) + 1]
    return float(within.mean()) if len(within) else 0.0


def _centred(audio: Samples) -> Samples:
    """Return it without the constant voltage that some sound cards add."""
    centred: Samples = audio - audio.mean()
    return centred
