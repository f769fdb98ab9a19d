"""The network of the bundled model: an x-vector TDNN whose pooling slides over the last second.

After Snyder et al., "X-vectors: Robust DNN embeddings for speaker recognition" (2018), with
residual blocks and everything causal: an output depends on a finite past alone.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import cast

import torch
from torch import Tensor, nn

from export.frontends.logmel import OVERLAP, SHIFT, LogMel

FIRST, STRIDE = 5, 2
"""Kernel and stride of the first layer: 10 ms frames become 20 ms frames."""


@dataclass(frozen=True)
class Config:
    """Sizes. `hop` in 10 ms frames, `pool` in hops; a block has a kernel and a dilation.

    Dilations in 20 ms frames. The pool is cut into `segments`, each with a mean of its own, so
    that the order of sounds survives pooling; beside these, the highest value of all of it says
    what was heard at all. Raises ValueError: sizes that don't fit.
    """

    labels: int
    mels: int = 40
    channels: int = 128
    kernels: list[int] = field(default_factory=lambda: [5, 3, 3])
    dilations: list[int] = field(default_factory=lambda: [1, 4, 4])
    pooled: int = 192
    embedding: int = 96
    hop: int = 8
    pool: int = 12
    segments: int = 2

    def __post_init__(self) -> None:
        if len(self.kernels) != len(self.dilations):
            raise ValueError("each block has a kernel and a dilation")
        if self.context % self.size:
            raise ValueError("the blocks' context must be a whole number of hops")
        if self.pool % self.segments:
            raise ValueError("the pool must be cut into segments of whole hops")

    @property
    def hop_samples(self) -> int:
        """Samples between two outputs."""
        return self.hop * SHIFT

    @property
    def size(self) -> int:
        """20 ms frames in a hop."""
        return self.hop // STRIDE

    @property
    def context(self) -> int:
        """20 ms frames of past that the blocks look back."""
        return sum((k - 1) * d for k, d in zip(self.kernels, self.dilations, strict=True))

    @property
    def statistics(self) -> int:
        """Values that the pool is summed up in."""
        return (self.segments + 1) * self.pooled

    @property
    def warmup(self) -> int:
        """Hops that go by before the first output that depends on audio alone."""
        return self.context // self.size + self.pool

    @property
    def window(self) -> int:
        """Receptive field in samples."""
        frames = self.warmup * self.hop + FIRST - STRIDE
        return frames * SHIFT + OVERLAP

    def as_card(self) -> dict[str, int | float | str | list[int]]:
        """Return what the card keeps, to rebuild the network."""
        return asdict(self)


class Layer(nn.Module):
    """An affine map of `kernel` frames, `dilation` apart, then batch norm and ReLU."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 1, dilation: int = 1, *, norm: bool = True
    ) -> None:
        super().__init__()
        self.linear = nn.Linear(kernel * inputs, outputs)
        self.norm = nn.BatchNorm1d(outputs) if norm else nn.Identity()
        self.inputs, self.kernel, self.dilation = inputs, kernel, dilation
        self.context = (kernel - 1) * dilation

    def forward(self, x: Tensor, stride: int = 1) -> Tensor:
        """Map [batch, inputs, context + frames] to [batch, outputs, frames]."""
        weight = self.linear.weight.reshape(-1, self.kernel, self.inputs).transpose(1, 2)
        weight = weight.contiguous()  # else what is made is not, and all that follows is slow
        made = nn.functional.conv1d(x, weight, self.linear.bias, stride, dilation=self.dilation)
        return torch.relu(self.norm(made))

    def rows(self, x: Tensor, count: int, stride: int = 1) -> Tensor:
        """Map [batch, context + frames, inputs] to [batch * frames, outputs], the norm folded.

        The form that streams: for a hop's few frames a product of matrices is faster.
        """
        if self.kernel > 1:
            taps = self.dilation * torch.arange(self.kernel)
            x = x[:, stride * torch.arange(count)[:, None] + taps]
        return torch.relu(self.linear(x.reshape(-1, self.kernel * self.inputs)))


class XVector(nn.Module):
    """Log-mels in, logits per hop out. With `norm` False the norms are folded into the layers."""

    def __init__(self, config: Config, norm: bool = True) -> None:
        super().__init__()
        self.config = config
        self.features = LogMel(config.mels)
        if norm:
            self.scale = nn.Parameter(torch.full((config.mels, 1), 0.25), requires_grad=False)
            self.shift = nn.Parameter(torch.full((config.mels, 1), 1.0), requires_grad=False)
        self.first = Layer(config.mels, config.channels, FIRST, norm=norm)
        self.blocks = nn.ModuleList(
            Layer(config.channels, config.channels, kernel, dilation, norm=norm)
            for kernel, dilation in zip(config.kernels, config.dilations, strict=True)
        )
        self.wide = Layer(config.channels, config.pooled, norm=norm)
        self.embed = nn.Linear(config.statistics, config.embedding)
        self.embed_norm = nn.BatchNorm1d(config.embedding) if norm else nn.Identity()
        self.classify = nn.Linear(config.embedding, config.labels)

    def normalise(self, mels: Tensor) -> Tensor:
        """Apply the fixed affine map that training measured, per mel."""
        return mels * self.scale + self.shift if hasattr(self, "scale") else mels

    @property
    def residual(self) -> list[Layer]:
        """The blocks, whose input is added to what they make of it."""
        return cast("list[Layer]", list(self.blocks))

    def hop_means(self, mels: Tensor) -> Tensor:
        """Log-mels [batch, mels, 3 + hop * hops] -> every hop's mean: [batch, pooled, hops]."""
        frames = self.first(self.normalise(mels), STRIDE)
        for block in self.residual:
            frames = frames[:, :, block.context :] + block(frames)
        wide = self.wide(frames)
        hops = wide.reshape(wide.shape[0], self.config.pooled, -1, self.config.size)
        # training runs the layers before in bfloat16
        mean: Tensor = hops.mean(3, dtype=torch.float32)
        return mean

    def merge(self, means: Tensor) -> Tensor:
        """Sum a pool of hops up: [batch, pooled, pool] -> [batch, statistics]."""
        part = self.config.pool // self.config.segments
        parts = nn.functional.avg_pool1d(means, part)
        highest = nn.functional.max_pool1d(means, self.config.pool)
        return torch.cat([parts, highest], 2).flatten(1)

    def slide(self, means: Tensor) -> Tensor:
        """Merge at every hop: [batch, pooled, hops] -> [batch, hops - pool + 1, statistics].

        What `merge` gives on each stretch of `pool` hops, by running sums around the batch's
        mean: accurate enough here, where nothing runs for weeks, and without a copy a hop.
        """
        config, centre = self.config, means.detach().mean((0, 2), keepdim=True)
        part, count = config.pool // config.segments, means.shape[2] - config.pool + 1
        sums = nn.functional.pad((means - centre).cumsum(2), (1, 0))
        parts = (sums[:, :, part:] - sums[:, :, :-part]) / part + centre
        found = [parts[:, :, at : at + count] for at in range(0, config.pool, part)]
        found.append(nn.functional.max_pool1d(means, config.pool, 1))
        return torch.stack(found, 2).flatten(1, 2).transpose(1, 2)

    def embedding(self, statistics: Tensor) -> Tensor:
        """Map [rows, statistics] to [rows, embedding]."""
        return torch.relu(self.embed_norm(self.embed(statistics)))

    def logits(self, mels: Tensor) -> Tensor:
        """Log-mels [batch, mels, 3 + hop * hops] -> logits [batch, hops - warmup + 1, labels]."""
        merged = self.slide(self.hop_means(mels))
        flat = self.embedding(merged.reshape(-1, merged.shape[-1]))
        logits: Tensor = self.classify(flat)
        return logits.reshape(merged.shape[0], merged.shape[1], -1)

    @staticmethod
    def pad() -> int:
        """Zeros that go before audio of whole hops, so that its first hop is complete."""
        return (FIRST - STRIDE) * SHIFT + OVERLAP


def folded(network: XVector) -> XVector:
    """Return the same network in eval mode, what normalises folded into the layers beside it."""
    plain = XVector(network.config, norm=False).eval()
    known = network.state_dict()
    state = {name: known[name] for name in plain.state_dict()}
    layers: dict[str, object] = {
        "first.linear": network.first.norm,
        **{f"blocks.{i}.linear": block.norm for i, block in enumerate(network.residual)},
        "wide.linear": network.wide.norm,
        "embed": network.embed_norm,
    }
    if "scale" in known:
        weight = state["first.linear.weight"]
        state["first.linear.bias"] = state["first.linear.bias"] + weight @ _each(known["shift"])
        state["first.linear.weight"] = weight * _each(known["scale"])
    for name, norm in layers.items():
        if not isinstance(norm, nn.BatchNorm1d) or norm.running_var is None:
            continue
        gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        state[f"{name}.weight"] = state[f"{name}.weight"] * gain[:, None]
        state[f"{name}.bias"] = (state[f"{name}.bias"] - norm.running_mean) * gain + norm.bias
    plain.load_state_dict(state)
    return plain


def _each(mels: Tensor) -> Tensor:
    """Repeat a value per mel [mels, 1] for each frame that the first layer sees."""
    return mels[:, 0].repeat(FIRST)
