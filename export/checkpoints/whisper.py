"""Family: Whisper with a classification head, of transformers."""

from __future__ import annotations

from typing import Any

from export import pretrained
from export.checkpoint import Checkpoint
from export.families import Asked, Original
from export.frontends.whisper import WhisperLogMel
from export.labels import window_s
from kws.errors import ExportError

SOURCES = "Whisper (transformers' WhisperForAudioClassification)"
KIND = "WhisperForAudioClassification"
STRIDE = 2
"""Frames to a position of the encoder."""
FRAMES = 3000
"""Of 30 s: the length of the example with which optimum exports any Whisper."""
PLAIN = {"dither": 0.0, "padding_value": 0.0, "padding_side": "right"}
"""How the extractor is to be set: all that the front end knows."""


def matches(checkpoint: Checkpoint) -> bool:
    """Whether config.json names the class."""
    return checkpoint.architecture == KIND


def read(checkpoint: Checkpoint, asked: Asked) -> Original:
    """Read the network. Raises ExportError: files are missing, or contradict each other."""
    extractor = pretrained.extractor(checkpoint, "WhisperFeatureExtractor")
    model = pretrained.load(checkpoint, KIND)
    _check(checkpoint, extractor, model.config)
    labels = pretrained.labels(model)
    rate, samples = extractor.sampling_rate, extractor.n_samples
    seconds, told = samples / rate, window_s(labels)
    notes = [f"every call is padded to {seconds:g} s and costs the same for any shorter window"]
    if told is None:
        notes.append(
            "the checkpoint does not say how long its training clips were: a call hears the last "
            f"{seconds:g} s, which is all that it pays for; --window-s sets another"
        )
    return Original(
        family="whisper",
        labels=labels,
        rate=rate,
        window=samples if told is None else min(samples, round(told * rate)),
        reference=pretrained.reference(model, extractor, labels),
        front=WhisperLogMel(samples, extractor.n_fft, extractor.hop_length, extractor.mel_filters),
        network=pretrained.Logits(model),
        activation=pretrained.activation(model),
        max_samples=samples,
        optimum=model if extractor.nb_max_frames == FRAMES else None,
        padded=samples,
        notes=notes,
    )


def _check(checkpoint: Checkpoint, extractor: Any, config: Any) -> None:
    frames, wanted = extractor.nb_max_frames, STRIDE * config.max_source_positions
    if frames != wanted:
        raise ExportError(
            f"{checkpoint.path}: preprocessor_config.json makes {frames} frames (chunk_length), "
            f"config.json wants {wanted} (twice max_source_positions); correct the wrong one"
        )
    if extractor.feature_size != config.num_mel_bins:
        raise ExportError(
            f"{checkpoint.path}: preprocessor_config.json makes {extractor.feature_size} mels "
            f"(feature_size), config.json wants {config.num_mel_bins} (num_mel_bins); "
            "correct the wrong one"
        )
    for name, value in PLAIN.items():
        if (found := getattr(extractor, name, value)) != value:
            raise ExportError(
                f"{checkpoint.path}: preprocessor_config.json sets {name} to {found!r}, which no "
                f"exported front end does; set it to {value!r} if the network was trained so"
            )
