"""The verifier's network: Whisper's encoder on a short window, and a small head."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from export.frontends.whisper import WhisperLogMel
from export.training.recordings import RATE

FRAME, SHIFT, MELS = 400, 160, 80


@dataclass(frozen=True)
class Config:
    """Sizes. window: samples; steps: of features that the head hears, averages of positions."""

    labels: int
    window: int = 25_600
    width: int = 384
    heads: int = 6
    layers: int = 4
    feed: int = 1536
    steps: int = 20
    head_width: int = 192
    dropout: float = 0.2

    @property
    def positions(self) -> int:
        """Positions of the encoder: two frames each."""
        return self.window // SHIFT // 2


class Layer(nn.Module):
    """One transformer layer, normalised before each part (Radford et al., arXiv 2212.04356)."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        width = config.width
        self.heads = config.heads
        self.attention_norm, self.feed_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention_in, self.attention_out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.feed_in, self.feed_out = nn.Linear(width, config.feed), nn.Linear(config.feed, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return [batch, positions, width] of the same."""
        _, positions, width = x.shape
        shape = (-1, positions, 3, self.heads, width // self.heads)
        query, key, value = self.attention_in(self.attention_norm(x)).reshape(shape).unbind(2)
        query, key, value = (part.transpose(1, 2) for part in (query, key, value))
        heard = functional.scaled_dot_product_attention(query, key, value)
        x = x + self.attention_out(heard.transpose(1, 2).reshape(-1, positions, width))
        fed: Tensor = self.feed_out(functional.gelu(self.feed_in(self.feed_norm(x))))
        return x + fed


class Encoder(nn.Module):
    """Whisper's audio encoder: log-mels [batch, 80, frames] -> [batch, frames // 2, width]."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        width = config.width
        self.conv1 = nn.Conv1d(MELS, width, 3, padding=1)
        self.conv2 = nn.Conv1d(width, width, 3, stride=2, padding=1)
        self.positions = nn.Parameter(torch.zeros(config.positions, width))
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, mels: Tensor) -> Tensor:
        """Return the last layer's normalised features."""
        x = functional.gelu(self.conv1(mels))
        x = functional.gelu(self.conv2(x)).transpose(1, 2) + self.positions
        for layer in self.layers:
            x = layer(x)
        found: Tensor = self.norm(x)
        return found


class Head(nn.Module):
    """Features [batch, steps, width] -> logits [batch, labels] and embedding [batch, head_width].

    Two convolutions over time, attention and maximum pooling.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        width = config.head_width
        self.norm = nn.LayerNorm(config.width)
        self.conv1, self.norm1 = nn.Conv1d(config.width, width, 3, padding=1), nn.BatchNorm1d(width)
        self.conv2, self.norm2 = nn.Conv1d(width, width, 3, padding=1), nn.BatchNorm1d(width)
        self.places = nn.Parameter(torch.zeros(1, config.steps, width))
        self.attention = nn.Linear(width, 1)
        self.embed, self.norm3 = nn.Linear(2 * width, width), nn.BatchNorm1d(width)
        self.classify = nn.Linear(width, config.labels)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and embedding."""
        x = self.dropout(self.norm(features)).transpose(1, 2)
        x = self.dropout(functional.gelu(self.norm1(self.conv1(x))))
        x = functional.gelu(self.norm2(self.conv2(x))) + x
        x = x.transpose(1, 2) + self.places
        weights = self.attention(x).softmax(1)
        pooled = torch.cat([(weights * x).sum(1), x.amax(1)], 1)
        embedding = functional.gelu(self.norm3(self.embed(pooled)))
        return self.classify(self.dropout(embedding)), embedding


class Verifier(nn.Module):
    """Log-mels of a window [batch, 80, frames] -> logits and embedding."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.encoder, self.head = Encoder(config), Head(config)

    def features(self, mels: Tensor) -> Tensor:
        """Return the encoder's features, averaged to [batch, steps, width]."""
        found: Tensor = self.encoder(mels)
        steps, width = self.config.steps, self.config.width
        return found.reshape(-1, steps, self.config.positions // steps, width).mean(2)

    def forward(self, mels: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits [batch, labels] and embedding [batch, head_width]."""
        found: tuple[Tensor, Tensor] = self.head(self.features(mels))
        return found


def mel_filters() -> Tensor:
    """Return Whisper's mel filters, float64 [201, 80] (Slaney's scale and areas)."""
    from transformers.audio_utils import mel_filter_bank

    return torch.from_numpy(
        mel_filter_bank(
            FRAME // 2 + 1, MELS, 0.0, RATE / 2, RATE, norm="slaney", mel_scale="slaney"
        )
    )


class FastLogMel(nn.Module):
    """The front end by FFT, for training: what `WhisperLogMel` gives, several times faster."""

    mel: Tensor
    hann: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mel", mel_filters().float().T)
        self.register_buffer("hann", torch.hann_window(FRAME))

    def forward(self, audio: Tensor) -> Tensor:
        """Return log-mels [batch, 80, samples // 160] of audio [batch, samples]."""
        spectrum = torch.stft(audio, FRAME, SHIFT, window=self.hann, return_complex=True)
        power = spectrum.real.square() + spectrum.imag.square()
        level = (self.mel @ power[..., :-1]).clamp_min(1e-10).log10()
        return (torch.maximum(level, level.amax((1, 2), keepdim=True) - 8) + 4) / 4


def front_end(config: Config) -> WhisperLogMel:
    """Return the front end that goes into the graph."""
    return WhisperLogMel(config.window, FRAME, SHIFT, mel_filters().numpy())
