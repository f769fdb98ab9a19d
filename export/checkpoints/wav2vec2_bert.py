"""Family: wav2vec2-bert of transformers (Barrault et al., arXiv 2312.05187), fine-tuned."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from export import labels as words
from export import pretrained
from export.checkpoint import Checkpoint
from export.families import Asked, Original
from export.frontends import kaldi
from kws.errors import ExportError

ARCHITECTURE = "Wav2Vec2BertForSequenceClassification"
EXTRACTOR = "SeamlessM4TFeatureExtractor"
SOURCES = f"{ARCHITECTURE} (transformers)"
WINDOW_S = 3.0
SCALE = 2.0**15
DIMENSION = "feature_projection_input_dim"
PAIR = 2
"""Frames that the network hears as one."""


class Front(nn.Module):
    """float32 [batch, samples >= 560] -> [batch, pairs, 2 * mels].

    As SeamlessM4TFeatureExtractor does: each mel to zero mean and unit variance (of n - 1) over
    all frames, then frames in pairs. The original masks a pair that is half padding, in attention,
    convolution and mean: such a pair is left out. Where it is told to give no mask, that pair
    counts: `padding` is what fills it.
    """

    def __init__(self, extractor: Any) -> None:
        super().__init__()
        self.fbank = kaldi.Fbank(
            kaldi.povey(), int(extractor.num_mel_bins), int(extractor.sampling_rate), SCALE
        )
        self.padding = None if extractor.return_attention_mask else float(extractor.padding_value)

    def forward(self, audio: Tensor) -> Tensor:
        """Return the features; the bounds of the slices hold for odd and even alike."""
        mels = self.fbank(audio)
        centred = mels - mels.mean(1, keepdim=True)
        count = torch.ones_like(mels[:, :, :1]).sum(1, keepdim=True)
        variance = centred.square().sum(1, keepdim=True) / (count - 1)
        normal = centred / torch.sqrt(variance + 1e-7)
        if self.padding is not None:
            normal = nn.functional.pad(normal, (0, 0, 0, 1), value=self.padding)
        return torch.cat([normal[:, :-1:PAIR], normal[:, 1::PAIR]], 2)


class Network(pretrained.Logits):
    """The model's logits; its length is never taken from an earlier call."""

    def forward(self, features: Tensor) -> tuple[Tensor]:
        """Return the logits [batch, labels]."""
        module: Any
        for module in self.model.modules():
            # Rotary positions of the last length are kept, and would be traced as constants.
            if hasattr(module, "cached_sequence_length"):
                module.cached_sequence_length = None
        return super().forward(features)


def matches(checkpoint: Checkpoint) -> bool:
    """Whether config.json names a wav2vec2-bert that classifies."""
    return checkpoint.architecture == ARCHITECTURE


def read(checkpoint: Checkpoint, asked: Asked) -> Original:
    """Read it. Raises ExportError: its two configurations or its weights disagree."""
    extractor = pretrained.extractor(checkpoint, EXTRACTOR)
    _agree(checkpoint, extractor)
    model = pretrained.load(checkpoint, ARCHITECTURE)
    labels = pretrained.labels(model)
    window, notes = words.window_s(labels), []
    if window is None:
        window = WINDOW_S
        notes.append(
            "the checkpoint does not say how long its training clips were: the window is "
            f"{WINDOW_S:g} s; --window-s sets another"
        )
    return Original(
        family="wav2vec2-bert",
        labels=labels,
        rate=extractor.sampling_rate,
        window=round(window * extractor.sampling_rate),
        reference=pretrained.reference(model, extractor, labels),
        front=Front(extractor),
        network=Network(model),
        activation=pretrained.activation(model),
        min_samples=kaldi.samples(PAIR),  # of one frame there is no variance
        max_samples=_longest(model),
        notes=notes,
    )


def _longest(model: Any) -> int | None:
    """Return how much audio the table of positions reaches; only `relative` has one."""
    if model.config.position_embeddings_type != "relative":
        return None
    return kaldi.samples(PAIR * model.config.max_source_positions)


def _agree(checkpoint: Checkpoint, extractor: Any) -> None:
    """Raise ExportError where the features are not those that the network was made for."""
    where = f"{checkpoint.path}: preprocessor_config.json"
    for key, wanted in {"stride": PAIR, "padding_side": "right"}.items():
        if getattr(extractor, key) != wanted:
            raise ExportError(
                f"{where} says {key} {getattr(extractor, key)}; only {wanted} is exported"
            )
    made, heard = PAIR * extractor.num_mel_bins, checkpoint.config.get(DIMENSION, 160)
    if made != heard:
        raise ExportError(
            f"{where} says num_mel_bins {extractor.num_mel_bins}, which in pairs make {made}, "
            f"config.json {DIMENSION} {heard} (160 where it is missing); give both what the "
            "network was trained with"
        )
