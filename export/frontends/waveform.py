"""Waveform front end that goes into the graph: the waveform itself, brought to one level."""

from __future__ import annotations

from torch import Tensor, nn

FLOOR = 1e-7
"""Added to the variance, as transformers' Wav2Vec2FeatureExtractor does: silence stays zero."""


class Waveform(nn.Module):
    """float32 [batch, samples] -> the same shape, each clip with mean 0 and variance 1.

    The variance is the population's. normalise: False leaves the clip as it is.
    """

    def __init__(self, *, normalise: bool) -> None:
        super().__init__()
        self.normalise = normalise

    def forward(self, audio: Tensor) -> Tensor:
        """Return what the network hears."""
        if not self.normalise:
            return audio
        centred = audio - audio.mean(1, keepdim=True)
        return centred / (centred.square().mean(1, keepdim=True) + FLOOR).sqrt()
