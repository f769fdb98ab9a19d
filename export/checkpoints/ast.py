"""Family: Audio Spectrogram Transformer of transformers (Gong et al., arXiv 2104.01778)."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor, nn

from export import labels as words
from export import pretrained
from export.checkpoint import Checkpoint
from export.families import Asked, Original
from export.frontends import kaldi
from kws.errors import ExportError

ARCHITECTURE = "ASTForAudioClassification"
EXTRACTOR = "ASTFeatureExtractor"
SOURCES = f"{ARCHITECTURE} (transformers)"
RATE = 16_000
DEFAULTS = {"max_length": 1024, "num_mel_bins": 128}
"""What both configurations mean where they don't say it, in frames and in triangles."""
PLACES = "audio_spectrogram_transformer.embeddings.position_embeddings"


class Front(nn.Module):
    """float32 [batch, samples >= 400] -> [batch, max_length, mels], as ASTFeatureExtractor does.

    Too short a clip is padded with zeros among the log-mels, which sound louder than silence;
    then everything, padding included, is normalised.
    """

    def __init__(self, extractor: Any) -> None:
        super().__init__()
        self.frames = int(extractor.max_length)
        self.fbank = kaldi.Fbank(
            kaldi.hann(), int(extractor.num_mel_bins), int(extractor.sampling_rate)
        )
        normal = bool(extractor.do_normalize)
        self.mean = float(extractor.mean) if normal else 0.0
        self.scale = 2 * float(extractor.std) if normal else 1.0

    def forward(self, audio: Tensor) -> Tensor:
        """Return the features."""
        mels = self.fbank(audio[:, : kaldi.samples(self.frames)])
        padded = nn.functional.pad(mels, (0, 0, 0, self.frames))[:, : self.frames]
        return (padded - self.mean) / self.scale


def matches(checkpoint: Checkpoint) -> bool:
    """Whether config.json names an AST that classifies."""
    return checkpoint.architecture == ARCHITECTURE


def read(checkpoint: Checkpoint, asked: Asked) -> Original:
    """Read it. Raises ExportError: its two configurations or its weights disagree."""
    extractor = pretrained.extractor(checkpoint, EXTRACTOR)
    _agree(checkpoint, extractor)
    _fit(checkpoint)
    model = pretrained.load(checkpoint, ARCHITECTURE)
    labels = pretrained.labels(model)
    longest = kaldi.samples(extractor.max_length)
    window = words.window_s(labels)
    return Original(
        family="ast",
        labels=labels,
        rate=RATE,
        window=longest if window is None else min(longest, round(window * RATE)),
        reference=pretrained.reference(model, extractor, labels),
        front=Front(extractor),
        network=pretrained.Logits(model),
        activation=pretrained.activation(model),
        min_samples=kaldi.samples(1),
        max_samples=longest,
        optimum=model,
    )


def _agree(checkpoint: Checkpoint, extractor: Any) -> None:
    """Raise ExportError where the features are not those that the network was made for."""
    where = f"{checkpoint.path}: preprocessor_config.json"
    if extractor.sampling_rate != RATE:
        # With torchaudio transformers scales the frames to the rate, without it doesn't.
        raise ExportError(
            f"{where} says sampling_rate {extractor.sampling_rate}, at which transformers' own "
            f"ways of computing AST's features differ; only {RATE} is exported"
        )
    for key, default in DEFAULTS.items():
        here, there = getattr(extractor, key), checkpoint.config.get(key, default)
        if here != there:
            raise ExportError(
                f"{where} says {key} {here}, config.json {there} ({default} where it is missing); "
                "give both what the network was trained with"
            )
    mean, std = extractor.mean, extractor.std
    numbers = all(isinstance(value, (int, float)) and math.isfinite(value) for value in (mean, std))
    if extractor.do_normalize and not (numbers and std > 0):
        raise ExportError(
            f"{where} says mean {mean} and std {std}, by which nothing can be normalised; copy "
            "them from the checkpoint that this one was fine-tuned from"
        )


def _fit(checkpoint: Checkpoint) -> None:
    """Raise ExportError where config.json cuts other patches than the weights have places for.

    transformers would only say that some size differs. Weights in other files are left to it.
    """
    says = {
        key: checkpoint.config.get(key, default)
        for key, default in {
            **DEFAULTS, "patch_size": 16, "frequency_stride": 10, "time_stride": 10
        }.items()
    }  # fmt: skip
    length, mels, patch, frequency, time = says.values()
    try:
        from safetensors import safe_open

        with safe_open(checkpoint.path / "model.safetensors", "pt") as weights:
            places = weights.get_slice(PLACES).get_shape()[1] - 2  # two tokens stand before them
        patches = ((mels - patch) // frequency + 1) * ((length - patch) // time + 1)
    except Exception:  # noqa: BLE001 - whatever is wrong, transformers tells when it loads them
        return
    if patches != places:
        told = ", ".join(f"{key} {value}" for key, value in says.items())
        raise ExportError(
            f"{checkpoint.path}: config.json says {told}: {patches} patches, but the weights have "
            f"places for {places}; give it what the network was trained with"
        )
