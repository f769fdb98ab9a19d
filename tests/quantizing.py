"""Small networks of the two kinds that become int8, with weights that make them decide."""

import numpy as np
import onnx
import torch
from torch import nn

from export import assemble
from export.families import Original

RATE, WINDOW = 16_000, 4_000
LABELS = ["yes", "no", "other"]


class Front(nn.Module):
    """[batch, samples] -> [batch, 24, frames]: a convolution and a matrix, as front ends have."""

    def __init__(self):
        super().__init__()
        self.frames = nn.Conv1d(1, 32, 400, stride=160, bias=False)
        self.mel = nn.Parameter(torch.rand(32, 24))

    def forward(self, audio):
        power = self.frames(audio[:, None]).square().transpose(1, 2)
        return torch.log(power @ self.mel + 1e-3).transpose(1, 2)


class Transformer(nn.Module):
    """A patch convolution, a block of matrices with a product of two activations, a Gemm head."""

    def __init__(self):
        super().__init__()
        self.patch = nn.Conv1d(24, 48, 3)
        self.query, self.key, self.value = (nn.Linear(48, 48) for _ in range(3))
        self.wide, self.narrow = nn.Linear(48, 192), nn.Linear(192, 48)
        self.tied = nn.Linear(48, 48)
        self.head = nn.Linear(48, len(LABELS))

    def forward(self, features):
        x = self.patch(features).transpose(1, 2)
        weight = (self.query(x) @ self.key(x).transpose(1, 2) / 7).softmax(-1)
        x = x + weight @ self.value(x)
        x = x + self.narrow(torch.relu(self.wide(x)))
        pooled = x.mean(1)
        return (self.head(self.tied(torch.tanh(self.tied(pooled)))),)


class Tdnn(nn.Module):
    """Convolutions, attentive pooling with one of its own, two Gemms."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv1d(24, 64, 5), nn.Conv1d(64, 64, 3, dilation=2)
        self.pool = nn.Sequential(nn.Conv1d(64, 64, 1))
        self.narrow, self.head = nn.Linear(64, 32), nn.Linear(32, len(LABELS))

    def forward(self, features):
        x = torch.relu(self.second(torch.relu(self.first(features))))
        pooled = (x * self.pool(x).softmax(2)).sum(2)
        return (self.head(torch.relu(self.narrow(pooled))),)


def original(network):
    """A checkpoint of this network."""
    torch.manual_seed(4)
    front, network = Front().eval(), network().eval()
    network.head.weight.data *= 8
    return Original("test", LABELS, RATE, WINDOW, lambda audio: audio, front, network)


def clips(count=12):
    """Noise of several colours and levels: float32 [WINDOW] each."""
    random = np.random.default_rng(3)
    kinds = [np.cumsum, np.diff, np.sign]
    made = [kinds[i % 3](random.standard_normal(WINDOW + 1))[:WINDOW] for i in range(count)]
    return [(0.3 * each / np.abs(each).max()).astype(np.float32) for each in made]


def saved(network, folder):
    """The float32 graph in a file, as an export has it before it quantizes."""
    model = assemble.assemble(original(network), "torch", folder)
    model.ir_version = 8
    path = folder / "float32.onnx"
    onnx.save(model, path)
    return path
