"""Family: SpeechBrain's ECAPA-TDNN (Desplanques, Thienpondt, Demuynck, arXiv 2005.07143)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from export.checkpoint import Checkpoint
from export.families import Asked, Original
from export.speechbrain.directory import Directory, embedding_model
from export.speechbrain.layers import Activation, Conv, Norm
from export.speechbrain.safeyaml import Call

SOURCES = "SpeechBrain ECAPA-TDNN directories (TalTechNLP/voxlingua107-epaca-tdnn, ...)"
TARGET = "speechbrain.lobes.models.ECAPA_TDNN.ECAPA_TDNN"
ECAPA: Mapping[str, Mapping[str, Any]] = {
    TARGET: {
        "input_size": ..., "device": "cpu", "lin_neurons": 192,
        "activation": Call("name", "torch.nn.ReLU", ""),
        "channels": [512, 512, 512, 512, 1536], "kernel_sizes": [5, 3, 3, 3, 1],
        "dilations": [1, 2, 3, 4, 1], "attention_channels": 128, "res2net_scale": 8,
        "se_channels": 128, "global_context": True, "groups": [1, 1, 1, 1, 1], "dropout": 0.0,
    },
}  # fmt: skip
EPSILON = 1e-12
"""Least variance of the pooling."""


class Block(nn.Sequential):
    """[batch, inputs, frames] -> [batch, outputs, frames]: convolution, activation, batch norm."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 1, dilation: int = 1, *,
        activation: Activation = nn.ReLU, groups: int = 1,
    ) -> None:  # fmt: skip
        super().__init__()
        self.add_module("conv", Conv(inputs, outputs, kernel, dilation, groups))
        self.add_module("activation", activation())
        self.add_module("norm", Norm(outputs))


class Res2Net(nn.Module):
    """Each part of the channels but the first passes a block, with the part before it added."""

    def __init__(self, channels: int, scale: int, kernel: int, dilation: int) -> None:
        super().__init__()
        if channels % scale:
            raise ValueError(f"res2net_scale {scale} does not divide {channels} channels")
        width = channels // scale
        # Always ReLU: the original doesn't pass its activation on.
        self.blocks = nn.ModuleList(Block(width, width, kernel, dilation) for _ in range(scale - 1))
        self.scale = scale

    def forward(self, frames: Tensor) -> Tensor:
        """Pass the parts on, from one to the next."""
        first, *parts = frames.chunk(self.scale, 1)
        passed = [first]
        for index, (part, block) in enumerate(zip(parts, self.blocks, strict=True)):
            passed.append(block(part + passed[-1] if index else part))
        return torch.cat(passed, 1)


class SqueezeExcitation(nn.Module):
    """Weighs the channels by what their means tell (Hu et al., arXiv 1709.01507)."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.conv1 = Conv(channels, squeezed, 1)
        self.conv2 = Conv(squeezed, channels, 1)

    def forward(self, frames: Tensor) -> Tensor:
        """Weigh."""
        squeezed = torch.relu(self.conv1(frames.mean(2, keepdim=True)))
        weighed: Tensor = torch.sigmoid(self.conv2(squeezed)) * frames
        return weighed


class SERes2Net(nn.Module):
    """Block, Res2Net, block, squeeze and excitation, and a way past them all."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, dilation: int, groups: int, *,
        activation: Activation, scale: int, squeezed: int,
    ) -> None:  # fmt: skip
        super().__init__()
        self.tdnn1 = Block(inputs, outputs, activation=activation, groups=groups)
        self.res2net_block = Res2Net(outputs, scale, kernel, dilation)
        self.tdnn2 = Block(outputs, outputs, activation=activation, groups=groups)
        self.se_block = SqueezeExcitation(outputs, squeezed)
        self.shortcut = Conv(inputs, outputs, 1) if inputs != outputs else None

    def forward(self, frames: Tensor) -> Tensor:
        """Map [batch, inputs, frames] to [batch, outputs, frames]."""
        past = frames if self.shortcut is None else self.shortcut(frames)
        passed: Tensor = self.se_block(self.tdnn2(self.res2net_block(self.tdnn1(frames))))
        return passed + past


class AttentivePooling(nn.Module):
    """[batch, channels, frames] -> weighted means and deviations [batch, 2 * channels, 1].

    With `context` the weights also hear the utterance's plain means and deviations.
    """

    def __init__(self, channels: int, attention: int, context: bool) -> None:
        super().__init__()
        self.context = context
        self.tdnn = Block(3 * channels if context else channels, attention)
        self.conv = Conv(attention, channels, 1)

    def forward(self, frames: Tensor) -> Tensor:
        """Pool over all frames."""
        heard = frames
        if self.context:
            mean = frames.mean(2, keepdim=True)
            deviation = _root((frames - mean).square().mean(2, keepdim=True))
            heard = torch.cat([frames, mean.expand_as(frames), deviation.expand_as(frames)], 1)
        weights = self.conv(torch.tanh(self.tdnn(heard))).softmax(2)
        mean = (weights * frames).sum(2, keepdim=True)
        deviation = _root((weights * (frames - mean).square()).sum(2, keepdim=True))
        return torch.cat([mean, deviation], 1)


def _root(variance: Tensor) -> Tensor:
    return variance.clamp(min=EPSILON).sqrt()


class Ecapa(nn.Module):
    """Features [batch, mels, frames] -> embedding [batch, neurons].

    layers: channels, kernel, dilation and groups of each block and of the aggregation.
    """

    def __init__(
        self, mels: int, neurons: int, layers: list[tuple[int, int, int, int]], *,
        activation: Activation, scale: int, squeezed: int, attention: int, context: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        (first, kernel, dilation, groups), *inner, last = layers
        self.blocks = nn.ModuleList(
            [Block(mels, first, kernel, dilation, activation=activation, groups=groups)]
        )
        for (inputs, *_), (outputs, *sizes) in zip(layers, inner, strict=False):
            self.blocks.append(
                SERes2Net(
                    inputs, outputs, *sizes,
                    activation=activation, scale=scale, squeezed=squeezed,
                )
            )  # fmt: skip
        wide, kernel, dilation, groups = last
        gathered = layers[-2][0] * len(inner)
        self.mfa = Block(gathered, wide, kernel, dilation, activation=activation, groups=groups)
        self.asp = AttentivePooling(wide, attention, context)
        self.asp_bn = Norm(2 * wide)
        self.fc = Conv(2 * wide, neurons, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Return the embedding."""
        frames, heard = features, []
        for block in self.blocks:
            frames = block(frames)
            heard.append(frames)
        pooled = self.asp(self.mfa(torch.cat(heard[1:], 1)))
        embedding: Tensor = self.fc(self.asp_bn(pooled))
        return embedding.squeeze(2)

    def frames(self) -> int:
        """Return how many frames it needs: one more than it reflects."""
        return 1 + max(layer.pad for layer in self.modules() if isinstance(layer, Conv))


def matches(checkpoint: Checkpoint) -> bool:
    """Whether hyperparams.yaml names an ECAPA-TDNN."""
    return embedding_model(checkpoint) == TARGET


def read(checkpoint: Checkpoint, asked: Asked) -> Original:
    """Read the directory. Raises ExportError."""
    directory = Directory(checkpoint)
    _, told = directory.settings.part("embedding_model", ECAPA)
    activation = directory.activation(told["activation"])
    scale = directory.few(told, "res2net_scale", 64)

    def make() -> Ecapa:
        sizes = (told[name] for name in ("channels", "kernel_sizes", "dilations", "groups"))
        return Ecapa(
            told["input_size"], told["lin_neurons"], list(zip(*sizes, strict=True)),
            activation=activation, scale=scale, squeezed=told["se_channels"],
            attention=told["attention_channels"], context=told["global_context"],
        )  # fmt: skip

    network = directory.filled("embedding_model", make)
    width = told["lin_neurons"]
    return directory.original("speechbrain-ecapa", network, width, network.frames(), [])
