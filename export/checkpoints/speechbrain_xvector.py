"""Family: SpeechBrain's x-vector (Snyder et al., "X-vectors", ICASSP 2018)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from export.checkpoint import Checkpoint
from export.families import Asked, Original
from export.speechbrain.directory import Directory, embedding_model
from export.speechbrain.layers import Activation, Conv, Linear, Norm
from export.speechbrain.safeyaml import Call

SOURCES = "SpeechBrain x-vector directories (hyperparams.yaml, embedding_model.ckpt, ...)"
TARGET = "speechbrain.lobes.models.Xvector.Xvector"
XVECTOR: Mapping[str, Mapping[str, Any]] = {
    TARGET: {
        "device": "cpu", "activation": Call("name", "torch.nn.LeakyReLU", ""), "tdnn_blocks": 5,
        "tdnn_channels": [512, 512, 512, 512, 1500], "tdnn_kernel_sizes": [5, 3, 3, 1, 1],
        "tdnn_dilations": [1, 2, 3, 1, 1], "lin_neurons": 512, "in_channels": 40,
    },
}  # fmt: skip
NOISE, EPSILON = 5e-5, 1e-5
"""What SpeechBrain adds to means and to deviations; the first is random, 1e-5 to 9e-5, in eval
mode too: its own scores differ from call to call. Here it is the mean of these."""
TOLD = (
    "SpeechBrain adds random noise to the pooled means at every call; this file adds its mean, "
    "so that the same audio always gives the same scores"
)


class Pooling(nn.Module):
    """[batch, channels, frames] -> means and unbiased deviations [batch, 2 * channels]."""

    def forward(self, frames: Tensor) -> Tensor:
        """Pool over all frames."""
        return torch.cat([frames.mean(2) + NOISE, frames.std(2) + EPSILON], 1)


class XVector(nn.Module):
    """Features [batch, mels, frames] -> embedding [batch, neurons]."""

    def __init__(
        self, mels: int, activation: Activation, layers: list[tuple[int, int, int]], neurons: int
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList()
        for channels, kernel, dilation in layers:
            self.blocks.extend([Conv(mels, channels, kernel, dilation), activation()])
            self.blocks.append(Norm(channels))
            mels = channels
        self.blocks.extend([Pooling(), Linear(2 * mels, neurons)])

    def forward(self, values: Tensor) -> Tensor:
        """Pass the blocks, one after the other."""
        for block in self.blocks:
            values = block(values)
        return values

    def frames(self) -> int:
        """Return how many frames it needs: one more than it reflects, two for a deviation."""
        return max(2, *(1 + block.pad for block in self.blocks if isinstance(block, Conv)))


def matches(checkpoint: Checkpoint) -> bool:
    """Whether hyperparams.yaml names an x-vector."""
    return embedding_model(checkpoint) == TARGET


def read(checkpoint: Checkpoint, asked: Asked) -> Original:
    """Read the directory. Raises ExportError."""
    directory = Directory(checkpoint)
    _, told = directory.settings.part("embedding_model", XVECTOR)
    count = directory.few(told, "tdnn_blocks", 64)
    sizes = (told[f"tdnn_{name}"] for name in ("channels", "kernel_sizes", "dilations"))
    layers = list(zip(*sizes, strict=False))[:count]
    activation = directory.activation(told["activation"])
    make = partial(XVector, told["in_channels"], activation, layers, told["lin_neurons"])
    network = directory.filled("embedding_model", make)
    width = told["lin_neurons"]
    return directory.original("speechbrain-xvector", network, width, network.frames(), [TOLD])
