"""The network of the bundled model: an x-vector TDNN whose pooling slides over the last second.

After Snyder et al., "X-vectors: Robust DNN embeddings for speaker recognition" (2018), with
residual blocks and everything causal: an output depends on a finite past alone.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import torch
from torch import Tensor, nn

from export.frontends.logmel import OVERLAP, SHIFT, LogMel

FIRST, STRIDE = 5, 2
"""Kernel and stride of the first convolution: 10 ms frames become 20 ms frames."""
KERNEL = 3
EPSILON = 1e-4


@dataclass(frozen=True)
class Config:
    """Sizes. `hop` in 10 ms frames, `pool` in hops, dilations in 20 ms frames.

    The pool is cut into `segments`, each with a mean of its own, so that the order of sounds
    survives pooling; the deviation is the whole pool's.
    """

    labels: int
    mels: int = 40
    channels: int = 128
    dilations: list[int] = field(default_factory=lambda: [1, 2, 3, 4])
    pooled: int = 256
    embedding: int = 96
    hop: int = 8
    pool: int = 12
    segments: int = 3

    @property
    def hop_samples(self) -> int:
        """Samples between two outputs."""
        return self.hop * SHIFT

    @property
    def context(self) -> int:
        """20 ms frames of past that the blocks look back."""
        return sum((KERNEL - 1) * dilation for dilation in self.dilations)

    @property
    def warmup(self) -> int:
        """Hops that go by before the first output that depends on audio alone."""
        return self.context * STRIDE // self.hop + self.pool

    @property
    def window(self) -> int:
        """Receptive field in samples."""
        frames = self.warmup * self.hop + FIRST - STRIDE
        return frames * SHIFT + OVERLAP

    def as_card(self) -> dict[str, int | float | str | list[int]]:
        """Return what the card keeps, to rebuild the network."""
        return asdict(self)


class Residual(nn.Module):
    """Dilated causal convolution beside the identity, which is cropped to match."""

    def __init__(self, channels: int, dilation: int, norm: bool) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, channels, KERNEL, dilation=dilation)
        self.norm = nn.BatchNorm1d(channels) if norm else nn.Identity()
        self.context = (KERNEL - 1) * dilation

    def forward(self, x: Tensor) -> Tensor:
        """Map [batch, channels, context + frames] to [batch, channels, frames]."""
        return x[:, :, self.context :] + self.transformed(x)

    def transformed(self, x: Tensor) -> Tensor:
        """What is added to the identity."""
        return torch.relu(self.norm(self.conv(x)))


class XVector(nn.Module):
    """Log-mels in, logits per hop out. With `norm` False the batch norms are folded away."""

    def __init__(self, config: Config, norm: bool = True) -> None:
        super().__init__()
        if config.context * STRIDE % config.hop:
            raise ValueError("the dilations' context must be a whole number of hops")
        if config.pool % config.segments:
            raise ValueError("the pool must be cut into segments of whole hops")
        self.config = config
        self.features = LogMel(config.mels)
        self.scale = nn.Parameter(torch.full((config.mels, 1), 0.25), requires_grad=False)
        self.shift = nn.Parameter(torch.full((config.mels, 1), 1.0), requires_grad=False)

        def batch_norm(channels: int) -> nn.Module:
            return nn.BatchNorm1d(channels) if norm else nn.Identity()

        self.first = nn.Conv1d(config.mels, config.channels, FIRST, stride=STRIDE)
        self.first_norm = batch_norm(config.channels)
        self.blocks = nn.ModuleList(
            Residual(config.channels, dilation, norm) for dilation in config.dilations
        )
        self.wide = nn.Conv1d(config.channels, config.pooled, 1)
        self.wide_norm = batch_norm(config.pooled)
        self.embed = nn.Linear((config.segments + 1) * config.pooled, config.embedding)
        self.embed_norm = batch_norm(config.embedding)
        self.classify = nn.Linear(config.embedding, config.labels)

    def normalise(self, mels: Tensor) -> Tensor:
        """Apply the fixed affine map that training measured, per mel."""
        return mels * self.scale + self.shift

    def begin(self, mels: Tensor) -> Tensor:
        """Normalised log-mels [batch, mels, 3 + 2 t] -> [batch, channels, t]."""
        return torch.relu(self.first_norm(self.first(mels)))

    def widen(self, frames: Tensor) -> Tensor:
        """Map [batch, channels, t] to [batch, pooled, t]."""
        return torch.relu(self.wide_norm(self.wide(frames)))

    def hop_statistics(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and centred second moment of each hop: [batch, pooled, t] -> [..., hops]."""
        size = self.config.hop // STRIDE
        frames = frames.float()  # training runs the layers before in bfloat16
        hops = frames.reshape(-1, self.config.pooled, int(frames.shape[2]) // size, size)
        mean = hops.mean(3)
        return mean, (hops - mean.unsqueeze(3)).square().sum(3)

    def merge(self, means: Tensor, moments: Tensor) -> Tensor:
        """Merge hops into means and deviation: [batch, pooled, pool] -> [batch, statistics].

        Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm for computing sample
        variances" (1979): centred moments add, plus the spread of the hops' means.
        """
        size = self.config.hop // STRIDE
        spread = (means - means.mean(-1, keepdim=True)).square() * size
        variance = (moments + spread).sum(-1) / (size * self.config.pool)
        config = self.config
        parts = means.reshape(-1, config.pooled, config.segments, config.pool // config.segments)
        ordered = parts.mean(3).transpose(1, 2).reshape(-1, config.segments * config.pooled)
        return torch.cat([ordered, torch.sqrt(variance + EPSILON)], 1)

    def slide(self, means: Tensor, moments: Tensor) -> Tensor:
        """Merge at every hop: [batch, pooled, hops] -> [batch, hops - pool + 1, statistics].

        What `merge` gives on each stretch of `pool` hops, by running averages around the batch's
        mean: accurate enough here, where nothing runs for weeks, and without a copy a hop.
        """
        config, average = self.config, nn.functional.avg_pool1d
        centred = means - means.detach().mean((0, 2), keepdim=True)
        square = centred.square() + moments / (config.hop // STRIDE)
        variance = average(square, config.pool, 1) - average(centred, config.pool, 1).square()
        part, count = config.pool // config.segments, means.shape[2] - config.pool + 1
        parts = average(means, part, 1)
        sliding = [parts[:, :, at : at + count] for at in range(0, config.pool, part)]
        deviation = torch.sqrt(variance.clamp_min(0) + EPSILON)
        return torch.cat([*sliding, deviation], 1).transpose(1, 2)

    def embedding(self, statistics: Tensor) -> Tensor:
        """Map [rows, statistics] to [rows, embedding]."""
        return torch.relu(self.embed_norm(self.embed(statistics)))

    def statistics(self, mels: Tensor) -> tuple[Tensor, Tensor]:
        """Log-mels [batch, mels, 3 + hop * hops] -> every hop's mean and centred moment."""
        frames = self.begin(self.normalise(mels))
        for block in self.blocks:
            frames = block(frames)
        return self.hop_statistics(self.widen(frames))

    def logits(self, mels: Tensor) -> Tensor:
        """Log-mels [batch, mels, 3 + hop * hops] -> logits [batch, hops - warmup + 1, labels]."""
        merged = self.slide(*self.statistics(mels))
        flat = self.embedding(merged.reshape(-1, merged.shape[-1]))
        logits: Tensor = self.classify(flat)
        return logits.reshape(merged.shape[0], merged.shape[1], -1)

    @staticmethod
    def pad() -> int:
        """Zeros that go before audio of whole hops, so that its first hop is complete."""
        return (FIRST - STRIDE) * SHIFT + OVERLAP


def folded(network: XVector) -> XVector:
    """Return the same network in eval mode, its batch norms folded into the layers before them."""
    plain = XVector(network.config, norm=False).eval()
    state = {k: v for k, v in network.state_dict().items() if "norm" not in k}
    layers: dict[str, object] = {
        "first": network.first_norm,
        **{f"blocks.{i}.conv": block.norm for i, block in enumerate(network.blocks)},
        "wide": network.wide_norm,
        "embed": network.embed_norm,
    }
    for name, norm in layers.items():
        if not isinstance(norm, nn.BatchNorm1d) or norm.running_var is None:
            continue
        gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
        state[f"{name}.weight"] = weight * gain.reshape(-1, *[1] * (weight.ndim - 1))
        state[f"{name}.bias"] = (bias - norm.running_mean) * gain + norm.bias
    plain.load_state_dict(state)
    return plain
