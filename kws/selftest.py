"""Self-test: audio in the card with the scores it must give, so that deafness shows."""

from __future__ import annotations

import io
import math
from copy import copy
from typing import TYPE_CHECKING

import numpy as np

from kws.card import SelfTest, replace
from kws.errors import KwsError, ModelError
from kws.flow import Block, Samples, Scores
from kws.spotter import Spotter

if TYPE_CHECKING:
    from kws.card import Card
    from kws.session import Model

TOLERANCE = 1e-3
"""So far a score may lie from the stored one: other processors round otherwise."""
DECIMALS = 4
LONGEST_S = 30
"""Seconds of audio that a file's self-test may hold."""
LENGTH = 25_600
"""Samples of audio; with the scores it must not make a small model file much larger."""
MOST_SCORES = 1_000
"""Scores that are stored, but for a model with more labels than that."""
STEP = 2**-8
"""The audio's samples are multiples of it: less than half the bytes, and it needs no more."""


def made(model: Model) -> SelfTest | None:
    """Return the self-test of a model, under 20 KB; None: it has no keyword to be spotted.

    A stream model hears its hops, a window model, which may be slow, two calls at most: what they
    hear lies at the end of a window of silence.

    Where the matrices themselves are int8, the scores may hold only on processors like this one:
    see `is_portable`. Raises ModelError: the scores are no numbers.
    """
    import soundfile

    card = model.card
    if not card.keywords:
        return None
    hop, hops = card.hop, LENGTH // card.hop
    if card.kind == "window":
        frame = card.sample_rate // 50  # which the spotter waits for
        hop, hops = max(1, min(card.window, LENGTH) // 2 // frame) * frame, 2
    hops = max(1, min(hops, MOST_SCORES // len(card.labels)))
    audio = vowels(card.sample_rate, hops * hop)
    content = io.BytesIO()
    soundfile.write(content, audio, card.sample_rate, format="FLAC", subtype="PCM_16")
    test = SelfTest(content.getvalue(), [[0.0]] * hops)
    # A plain 0 is shorter as JSON, and most of many labels score as little.
    rounded = [[round(value, DECIMALS) or 0 for value in each] for each in _scores(model, test)]
    if not np.isfinite(rounded).all():
        raise ModelError(f"{model.path}: gives scores that are no numbers")
    return SelfTest(test.flac, rounded)


def deviation(model: Model) -> float | None:
    """Return how far the model's scores lie from the stored ones; None: none are stored.

    Raises ModelError: it can't be run.
    """
    test = model.card.self_test
    if test is None:
        return None
    if len({len(each) for each in test.scores}) > 1:
        raise ModelError(f"{model.path}: its self-test's scores have no shape; export it anew")
    found, wanted = np.array(_scores(model, test)), np.array(test.scores)
    if found.shape != wanted.shape:
        shapes = f"{found.shape}, not {wanted.shape}"
        raise ModelError(f"{model.path}: its self-test gives scores of shape {shapes}")
    off = float(np.abs(found - wanted).max(initial=0))
    return math.inf if math.isnan(off) else off


def is_portable(card: Card) -> bool:
    """Whether the stored scores hold on every processor.

    Not where activations are made int8, too: they may be rounded otherwise, and older processors
    cut sums off that newer ones hold. Weights that are merely stored as int8 do no harm.
    """
    return card.quantization is None or card.quantization.scheme == "int8-storage"


def _scores(model: Model, test: SelfTest) -> list[list[float]]:
    """Return the scores [hops][labels] of a test's audio, by a spare spotter.

    However often the window model is run elsewhere: here it is run as often as scores are stored.
    """
    import soundfile

    card = model.card
    try:
        most = LONGEST_S * card.sample_rate  # a few bytes can hold hours of silence
        audio: Samples = soundfile.read(io.BytesIO(test.flac), most, dtype="float32")[0]
    except (soundfile.LibsndfileError, TypeError):
        raise ModelError(f"{model.path}: its self-test can't be read; export it anew") from None
    if audio.ndim != 1 or not len(audio):
        raise ModelError(f"{model.path}: its self-test is no mono audio; export it anew")
    if card.kind == "window":
        model = copy(model)
        hop = max(1, len(audio) // max(1, len(test.scores)))
        model.card = replace(card, hop=hop, stride=None)
    try:
        spotter = Spotter(model, gate="none", verify="none")
        found = spotter.process(Block(audio, 0, card.sample_rate))
    except KwsError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a file makes it do is the file's fault
        what = f"{type(error).__name__}: {error}"
        raise ModelError(f"{model.path}: its self-test fails ({what}); export it anew") from None
    return [each.values.tolist() for each in found if isinstance(each, Scores)]


def vowels(rate: int, length: int) -> Samples:
    """Return something like a voice that glides through vowels: float32 [length] in [-1, 1]."""
    time = np.arange(length) / rate
    pitch = 110 * (1 + 0.15 * np.sin(2 * np.pi * 1.3 * time))
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    first = 500 + 300 * np.sin(2 * np.pi * 0.9 * time)
    second = 1500 + 700 * np.sin(2 * np.pi * 0.6 * time + 1)
    voice = np.zeros_like(time)
    for harmonic in range(1, 36):
        frequency = harmonic * pitch
        gain = np.exp(-(((frequency - first) / 200) ** 2))
        gain += 0.6 * np.exp(-(((frequency - second) / 300) ** 2))
        gain += 0.25 * np.exp(-(((frequency - 2600) / 400) ** 2))
        voice += gain * np.sin(harmonic * phase) * (frequency < 0.45 * rate)
    voice *= np.sqrt(0.5 - 0.5 * np.cos(2 * np.pi * 2.1 * time))
    quiet: Samples = np.round(0.25 * voice / np.abs(voice).max() / STEP).astype(np.float32)
    quiet *= np.float32(STEP)
    return quiet
