"""Shortcuts: the forms that fit in one line: listen, spot, classify."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence

from kws.errors import ModelError
from kws.flow import Detection
from kws.overrides import Overrides
from kws.resample import Channel
from kws.session import Model, load
from kws.spotter import AnyModel, Spotter
from kws.verification import AnyVerifier


def listen(
    model: AnyModel | Sequence[AnyModel] | None = None,
    *,
    keywords: str | Iterable[str] | None = None,
    threshold: float | Mapping[str, float] | None = None,
    sensitivity: float | Mapping[str, float] | None = None,
    false_alarms: float | Mapping[str, float] | None = None,
    wake: str | Iterable[str] | None = None,
    gate: str | None = None,
    channel: Channel = None,
    device: str | None = None,
    overrides: str | os.PathLike[str] | Overrides | None = None,
    verify: AnyVerifier = None,
) -> Iterator[Detection]:
    """Yield detections from a microphone, for as long as it is iterated.

    >>> for detection in kws.listen(keywords=["yes", "no"]):  # doctest: +SKIP
    ...     print(detection.keyword, detection.score)

    Takes what `Spotter` takes, which says what each option means. Raises ConfigError, ModelError;
    when iterated DeviceError.
    """
    spotter = Spotter(
        model,
        keywords=keywords,
        threshold=threshold,
        sensitivity=sensitivity,
        false_alarms=false_alarms,
        wake=wake,
        gate=gate,
        channel=channel,
        device=device,
        overrides=overrides,
        verify=verify,
    )
    return iter(spotter)


def spot(
    path: str | os.PathLike[str],
    model: AnyModel | Sequence[AnyModel] | None = None,
    *,
    keywords: str | Iterable[str] | None = None,
    threshold: float | Mapping[str, float] | None = None,
    sensitivity: float | Mapping[str, float] | None = None,
    false_alarms: float | Mapping[str, float] | None = None,
    wake: str | Iterable[str] | None = None,
    gate: str | None = None,
    channel: Channel = None,
    overrides: str | os.PathLike[str] | Overrides | None = None,
    verify: AnyVerifier = None,
) -> list[Detection]:
    """Return the detections in an audio file: WAV, FLAC, Ogg or MP3, at any rate.

    >>> [detection.keyword for detection in kws.spot("demo.flac", keywords=["yes", "stop"])]
    ['yes', 'stop']

    Takes what `Spotter` takes, which says what each option means. Raises AudioError, ConfigError,
    ModelError.
    """
    from kws.sources.file import AudioFile

    spotter = Spotter(
        model,
        keywords=keywords,
        threshold=threshold,
        sensitivity=sensitivity,
        false_alarms=false_alarms,
        wake=wake,
        gate=gate,
        channel=channel,
        overrides=overrides,
        verify=verify,
    )
    events = spotter.events(AudioFile(path))
    return [event for event in events if isinstance(event, Detection)]


def classify(
    path: str | os.PathLike[str],
    model: Model | str | os.PathLike[str] | None = None,
    top: int | None = None,
    verify: AnyVerifier = None,
) -> list[tuple[str, float]]:
    """Return which word was said in an audio file: (label, score) pairs, the best first.

    >>> kws.classify("demo.flac", top=1)[0][0]
    'computer'

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
