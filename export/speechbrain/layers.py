"""Layers that SpeechBrain's TDNNs are made of, and its classifiers; with its state-dict names."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

Activation = Callable[[], nn.Module]


class Conv(nn.Module):
    """[batch, inputs, frames] -> [batch, outputs, frames]: reflected at both ends."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, dilation: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        self.pad = dilation * (kernel - 1) // 2
        self.conv = nn.Conv1d(inputs, outputs, kernel, dilation=dilation, groups=groups)

    def forward(self, frames: Tensor) -> Tensor:
        """Convolve."""
        if self.pad:
            frames = nn.functional.pad(frames, (self.pad, self.pad), mode="reflect")
        convolved: Tensor = self.conv(frames)
        return convolved


class Norm(nn.Module):
    """Batch norm of [batch, channels] or [batch, channels, frames]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(channels)

    def forward(self, values: Tensor) -> Tensor:
        """Normalise."""
        normalised: Tensor = self.norm(values)
        return normalised


class Linear(nn.Module):
    """[batch, inputs] -> [batch, outputs]."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.w = nn.Linear(inputs, outputs)

    def forward(self, values: Tensor) -> Tensor:
        """Multiply and add."""
        product: Tensor = self.w(values)
        return product


class Perceptron(nn.Sequential):
    """`speechbrain.lobes.models.Xvector.Classifier`: embedding [batch, d] -> logits.

    Without its log-softmax at the end, which leaves probabilities as they are.
    """

    def __init__(
        self, inputs: int, outputs: int, activation: Activation, blocks: int, neurons: int
    ) -> None:
        super().__init__()
        self.add_module("act", activation())
        self.add_module("norm", Norm(inputs))
        if blocks:
            self.add_module("DNN", nn.Sequential())
        for index in range(blocks):
            block = nn.Sequential()
            block.add_module("linear", Linear(inputs, neurons))
            block.add_module("act", activation())
            block.add_module("norm", Norm(neurons))
            self.get_submodule("DNN").add_module(f"block_{index}", block)
            inputs = neurons
        self.add_module("out", Linear(inputs, outputs))


class Cosines(nn.Module):
    """`speechbrain.lobes.models.ECAPA_TDNN.Classifier`: embedding [batch, d] -> logits.

    The original gives the cosines between the embedding and each label's direction. The logits
    are `scale` times these, as the original's loss has them (AdditiveAngularMargin).
    """

    def __init__(self, inputs: int, outputs: int, blocks: int, neurons: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.blocks = nn.ModuleList()
        for _ in range(blocks):
            self.blocks.extend([Norm(inputs), Linear(inputs, neurons)])
            inputs = neurons
        self.weight = nn.Parameter(torch.empty(outputs, inputs))

    def forward(self, embedding: Tensor) -> Tensor:
        """Return the scaled cosines."""
        for block in self.blocks:
            embedding = block(embedding)
        direction = nn.functional.normalize(embedding)
        cosines = nn.functional.linear(direction, nn.functional.normalize(self.weight))
        return self.scale * cosines
