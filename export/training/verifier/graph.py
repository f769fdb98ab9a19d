"""The verifier as a graph, and heads on its encoder: waveform or features in, scores out."""

from __future__ import annotations

import hashlib
import math
from collections.abc import MutableSequence
from typing import cast

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from export import graph
from export.training.verifier.network import FRAME, Config, Head, Layer, Verifier, front_end

AFTER = 1600
"""Samples of silence that follow a clip: people's words often end where their clip does."""


class Unfolded(nn.Module):
    """A convolution of three frames as one matrix: [batch, time, in] -> [batch, time, out].

    Matrices are what int8 arithmetic is fast at.
    """

    def __init__(self, conv: nn.Conv1d) -> None:
        super().__init__()
        out, into, taps = conv.weight.shape
        self.stride = conv.stride[0]
        self.linear = nn.Linear(taps * into, out)
        weight = conv.weight.transpose(1, 2).reshape(out, -1)
        self.linear.load_state_dict({"weight": weight, "bias": conv.bias})

    def forward(self, x: Tensor) -> Tensor:
        """Return each output from its frame and the two beside it."""
        padded = functional.pad(x, (0, 0, 1, 1))
        parts = [padded[:, :-2], padded[:, 1:-1], padded[:, 2:]]
        found: Tensor = self.linear(torch.cat(parts, 2)[:, :: self.stride])
        return found


class Attention(nn.Module):
    """A layer with its attention written out, as operators that every runtime has."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """Return what the layer does."""
        layer, (_, positions, width) = self.layer, x.shape
        size = width // layer.heads
        joined = layer.attention_in(layer.attention_norm(x))
        shape = (-1, positions, layer.heads, size)
        query, key, value = (part.reshape(shape) for part in joined.split(width, 2))
        weights = query.permute(0, 2, 1, 3) @ key.permute(0, 2, 3, 1) * (1 / math.sqrt(size))
        heard = weights.softmax(-1) @ value.permute(0, 2, 1, 3)
        x = x + layer.attention_out(heard.transpose(1, 2).reshape(-1, positions, width))
        fed: Tensor = layer.feed_out(functional.gelu(layer.feed_in(layer.feed_norm(x))))
        return x + fed


class Exported(nn.Module):
    """Waveform [batch, any] -> scores, embedding and the features that any head may hear.

    Of what is longer, the last window counts.

    What is shorter, a clip, lies near the window's end, as a word does in use: at most AFTER zeros
    follow it, the rest lies before.
    """

    def __init__(self, network: Verifier) -> None:
        super().__init__()
        encoder, self.config = network.encoder, network.config
        self.front = front_end(network.config)
        self.conv1, self.conv2 = Unfolded(encoder.conv1), Unfolded(encoder.conv2)
        self.positions, self.norm = encoder.positions, encoder.norm
        self.layers = nn.ModuleList(Attention(cast("Layer", each)) for each in encoder.layers)
        self.head = ExportedHead(network.head)

    def forward(self, audio: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return scores [batch, labels], embedding [batch, d], features [batch, steps, width]."""
        config = self.config
        length = torch.as_tensor(audio.shape[1])  # of any call: not a constant of the graph
        start = length + (config.window - length).clamp(0, AFTER)
        heard = functional.pad(audio, (config.window, AFTER))[:, start : start + config.window]
        x = functional.gelu(self.conv1(self.front(heard).transpose(1, 2)))
        x = functional.gelu(self.conv2(x)) + self.positions
        for layer in self.layers:
            x = layer(x)
        x = self.norm(x).reshape(-1, config.steps, config.positions // config.steps, config.width)
        features = x.mean(2)
        logits, embedding = self.head(features)
        return logits.softmax(1), embedding, features


class ExportedHead(nn.Module):
    """The head with its convolutions as matrices and its batch norms folded into them."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.norm, self.places, self.attention = head.norm, head.places, head.attention
        self.conv1 = Unfolded(_folded_conv(head.conv1, head.norm1))
        self.conv2 = Unfolded(_folded_conv(head.conv2, head.norm2))
        self.embed, self.classify = _folded_linear(head.embed, head.norm3), head.classify

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and embedding."""
        x = functional.gelu(self.conv1(self.norm(features)))
        x = functional.gelu(self.conv2(x)) + x + self.places
        weights = self.attention(x).softmax(1)
        pooled = torch.cat([(weights * x).sum(1), x.amax(1)], 1)
        embedding = functional.gelu(self.embed(pooled))
        return self.classify(embedding), embedding


def _folded_conv(conv: nn.Conv1d, norm: nn.BatchNorm1d) -> nn.Conv1d:
    folded = nn.utils.fusion.fuse_conv_bn_eval(conv.eval(), norm.eval())
    assert isinstance(folded, nn.Conv1d)  # noqa: S101 - a convolution stays one
    return folded


def _folded_linear(linear: nn.Linear, norm: nn.BatchNorm1d) -> nn.Linear:
    return nn.utils.fusion.fuse_linear_bn_eval(linear.eval(), norm.eval())


def float_graph(network: Verifier) -> onnx.ModelProto:
    """Return the verifier as a float32 graph."""
    config = network.config
    example = {"audio": 0.1 * torch.randn(2, config.window)}
    outputs = {
        "scores": [config.labels],
        "embedding": [config.head_width],
        "features": [config.steps, config.width],
    }
    model = graph.trace(Exported(network.eval()).eval(), example, list(outputs), dynamic=True)
    _declare(model.graph.output, outputs)
    del model.graph.value_info[:]
    _form_transform(model)
    return model


class ScoringHead(nn.Module):
    """Features [batch, steps, width] -> scores [batch, labels] and embedding [batch, d]."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.head = ExportedHead(head)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return softmax scores and embedding."""
        logits, embedding = self.head(features)
        return logits.softmax(1), embedding


def head_graph(head: Head, config: Config) -> onnx.ModelProto:
    """Return a head alone as a float32 graph: the encoder's features in, scores and embedding out.

    config: what the head was made with.
    """
    shape = [config.steps, config.width]
    outputs = {"scores": [config.labels], "embedding": [config.head_width]}
    example = {"features": torch.randn(2, *shape)}
    model = graph.trace(ScoringHead(head.eval()).eval(), example, list(outputs))
    _declare(model.graph.input, {"features": shape})
    _declare(model.graph.output, outputs)
    del model.graph.value_info[:]
    return model


def _declare(values: MutableSequence[onnx.ValueInfoProto], shapes: dict[str, list[int]]) -> None:
    """Replace a graph's inputs or outputs by float32 ones with a free batch and these axes."""
    del values[:]
    values.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])
        for name, shape in shapes.items()
    )


def encoder_id(network: Verifier) -> str:
    """Return what names an encoder's weights: 16 hexadecimal digits of their SHA-256."""
    found = hashlib.sha256()
    for tensor in network.encoder.state_dict().values():
        found.update(tensor.detach().cpu().numpy().tobytes())
    return found.hexdigest()[:16]


def _form_transform(model: onnx.ModelProto) -> None:
    """Replace the front end's Fourier matrix by the few nodes that compute it at load."""
    name = "front.mel.dft"
    stored = next(each for each in model.graph.initializer if each.name == name)
    wanted = numpy_helper.to_array(stored)
    used = np.flatnonzero(front_bins())
    constants = {
        f"{name}.n": np.arange(FRAME, dtype=np.int32)[None, None],
        f"{name}.k": used.astype(np.int32)[:, None, None],
        f"{name}.size": np.asarray(FRAME, np.int32),
        f"{name}.unit": np.asarray(2 * math.pi / FRAME, np.float32),
        f"{name}.half": np.asarray(0.5, np.float32),
    }
    nodes = [
        helper.make_node("Mul", [f"{name}.n", f"{name}.k"], [f"{name}.nk"]),
        # Whole turns are taken out in integers: float32 would lose the phase.
        helper.make_node("Mod", [f"{name}.nk", f"{name}.size"], [f"{name}.turn"]),
        helper.make_node("Cast", [f"{name}.turn"], [f"{name}.real"], to=TensorProto.FLOAT),
        helper.make_node("Mul", [f"{name}.real", f"{name}.unit"], [f"{name}.phase"]),
        helper.make_node("Cos", [f"{name}.phase"], [f"{name}.cos"]),
        helper.make_node("Sin", [f"{name}.phase"], [f"{name}.sin"]),
        helper.make_node("Concat", [f"{name}.cos", f"{name}.sin"], [f"{name}.waves"], axis=0),
        helper.make_node("Cast", [f"{name}.n"], [f"{name}.place"], to=TensorProto.FLOAT),
        helper.make_node("Mul", [f"{name}.place", f"{name}.unit"], [f"{name}.angle"]),
        helper.make_node("Cos", [f"{name}.angle"], [f"{name}.swing"]),
        helper.make_node("Mul", [f"{name}.swing", f"{name}.half"], [f"{name}.bell"]),
        helper.make_node("Sub", [f"{name}.half", f"{name}.bell"], [f"{name}.hann"]),
        helper.make_node("Mul", [f"{name}.waves", f"{name}.hann"], [f"{name}.value"]),
    ]
    if wanted.shape != (2 * len(used), 1, FRAME):
        raise ValueError(f"the front end's matrix has the shape {wanted.shape}")
    graph.replace_initializer(model, name, nodes, constants)


def front_bins() -> NDArray[np.bool_]:
    """Return which bins of the transform any mel filter hears, bool [201]."""
    from export.training.verifier.network import mel_filters

    found: NDArray[np.bool_] = mel_filters().ne(0).any(1).numpy()
    return found
