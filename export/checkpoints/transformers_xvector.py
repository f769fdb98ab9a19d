"""Family: x-vector heads of transformers: a speaker's embedding, no labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from export import pretrained
from export.checkpoint import Checkpoint
from export.checkpoints import waveform
from export.families import Asked, Original
from export.frontends.waveform import Waveform
from kws.flow import Samples

SOURCES = (
    "x-vectors of transformers (wav2vec2, wav2vec2-conformer, WavLM, UniSpeech-SAT, "
    "data2vec-audio: ...ForXVector), embeddings only"
)
HEAD = "ForXVector"
ENCODERS = frozenset(["Wav2Vec2", "Wav2Vec2Conformer", "WavLM", "UniSpeechSat", "Data2VecAudio"])


class Embedding(nn.Module):
    """A model of transformers, reduced to its embedding: waveform -> (embedding,)."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, features: Tensor) -> tuple[Tensor]:
        """Return the embedding [batch, d]."""
        return (self.model(features).embeddings,)


def matches(checkpoint: Checkpoint) -> bool:
    """Whether config.json names one of these encoders with an x-vector head."""
    name = checkpoint.architecture
    return name.endswith(HEAD) and name.removesuffix(HEAD) in ENCODERS


def read(checkpoint: Checkpoint, asked: Asked) -> Original:
    """Read it by transformers. Raises ExportError."""
    extractor = waveform.prepared(checkpoint)
    model = pretrained.load(checkpoint, checkpoint.architecture)
    rate: int = extractor.sampling_rate
    least = waveform.heard(model.config, _frames(model.config))
    window, notes = waveform.clip(checkpoint, [], rate, least)
    most = max(round(waveform.MOST_S * rate), window)
    waveform.loosen(model, most)
    return Original(
        family=f"{model.config.model_type}-xvector",
        labels=[],
        rate=rate,
        window=window,
        reference=_reference(model, extractor),
        front=Waveform(normalise=extractor.do_normalize),
        network=Embedding(model),
        outputs=("embedding",),
        min_samples=least,
        max_samples=most,
        notes=notes,
    )


def _frames(config: Any) -> int:
    """Return the fewest frames that leave two to the pooling: one has no standard deviation."""
    layers = zip(config.tdnn_kernel, config.tdnn_dilation, strict=True)
    wide: int = sum(dilation * (kernel - 1) for kernel, dilation in layers)
    return wide + 2


def _reference(model: Any, extractor: Any) -> Callable[[Samples], Samples]:
    """Return the original as audio -> embedding; transformers has no pipeline for it."""

    def embedding(audio: Samples) -> Samples:
        with pretrained.quiet(), torch.no_grad():
            heard = extractor(
                audio.copy(), sampling_rate=extractor.sampling_rate, return_tensors="pt"
            )
            found: Samples = model(**heard).embeddings[0].numpy()
        return found

    return embedding
