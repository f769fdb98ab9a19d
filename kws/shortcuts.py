"""Shortcuts: the forms that fit in one line: listen, spot, classify."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from kws.errors import ModelError
from kws.flow import Detection
from kws.session import Model, load
from kws.spotter import Spotter
from kws.verification import AnyVerifier


def listen(**options: Any) -> Iterator[Detection]:
    """Hear a microphone and yield detections; takes what `Spotter` takes."""
    return iter(Spotter(**options))


def spot(path: str | os.PathLike[str], **options: Any) -> list[Detection]:
    """Return the detections in an audio file; takes what `Spotter` takes."""
    from kws.sources.file import AudioFile

    events = Spotter(**options).listen(AudioFile(path))
    return [event for event in events if isinstance(event, Detection)]


def classify(
    path: str | os.PathLike[str],
    model: Model | str | os.PathLike[str] | None = None,
    top: int | None = None,
    verify: AnyVerifier = None,
) -> list[tuple[str, float]]:
    """Return which word was said in an audio file: (label, score) pairs, the best first.

    The file may be of any length, and the word may lie anywhere in it: see `find_word`.
    model: None is the bundled one. top: how many pairs; None is all. verify: a second model that
    judges the clearest moment, as `Spotter` takes it.
    Raises AudioError, ModelError, ConfigError.
    """
    from kws.clip_verification import clip_verifier
    from kws.word_search import find_word, read_mono

    model = model if isinstance(model, Model) else load(model)
    if not model.labels:
        raise ModelError(f"{model.path}: names no labels, it gives embeddings only: --embedding")
    audio = read_mono(path, model.card.sample_rate)
    scores = find_word(model, audio, verify=clip_verifier(model, verify))
    ranked = sorted(zip(model.labels, scores.tolist(), strict=True), key=lambda pair: -pair[1])
    return ranked[:top]
