"""The head of own words: what tells them apart on the shared encoder's features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper
from torch import Tensor, nn
from torch.nn import functional

from export import graph
from export.training.own.encoder import STEPS, WIDTH
from export.training.own.pack import Pack
from export.training.own.recipe import Recipe
from export.training.verifier.graph import ExportedHead
from export.training.verifier.network import Config, Head

LIMIT = 1e-6
"""Probabilities closer to 0 or 1 than this are not told apart."""


@dataclass(frozen=True)
class Examples:
    """values: what heads hear, float32 [n, steps, components]; labels: int64 [n]."""

    values: NDArray[np.float32]
    labels: NDArray[np.int64]


def learn(examples: Examples, words: int, recipe: Recipe, seed: int) -> Head:
    """Return a head that tells `words` words from each other and, its last label, all else.

    All windows of all else weigh as much as all windows of words: more of them would make a head
    that learnt from voices timid with people.
    """
    torch.manual_seed(seed)
    values, labels = torch.from_numpy(examples.values), torch.from_numpy(examples.labels)
    config = Config(
        words + 1,
        width=values.shape[2],
        head_width=recipe.width,
        dropout=recipe.dropout,
        steps=STEPS,
    )
    head = Head(config)
    size = min(recipe.batch, len(values))
    steps = recipe.epochs * (len(values) // size)
    optimizer = torch.optim.AdamW(head.parameters(), recipe.rate, weight_decay=recipe.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.rate, total_steps=steps + 1)
    other = float((labels == words).float().mean())
    weights = torch.full((words + 1,), 0.5 / max(1 - other, 0.01))
    weights[words] = 0.5 / max(other, 0.01)
    head.train()
    for _ in range(recipe.epochs):
        for places in torch.split(torch.randperm(len(values)), size):
            if len(places) < size:
                continue
            logits, _ = head(values[places])
            loss = functional.cross_entropy(
                logits, labels[places], weights, label_smoothing=recipe.smoothing
            )
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    return head.eval()


@torch.no_grad()
def scores(head: Head, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return each word's probability, float32 [n, words]."""
    found = [
        head(torch.from_numpy(values[at : at + 1024]))[0].softmax(1)[:, :-1].numpy()
        for at in range(0, len(values), 1024)
    ]
    empty = np.zeros((0, head.classify.out_features - 1), np.float32)
    return np.concatenate([empty, *found])


class ProjectedHead(nn.Module):
    """A head with the projection before it: features [batch, steps, width] -> scores, embedding."""

    def __init__(self, head: Head, pack: Pack) -> None:
        super().__init__()
        self.project = nn.Linear(WIDTH, pack.components)
        matrix = torch.from_numpy(pack.matrix.T.copy())
        bias = -(matrix @ torch.from_numpy(pack.mean))
        self.project.load_state_dict({"weight": matrix, "bias": bias})
        self.head = ExportedHead(head)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores [batch, labels] and embedding [batch, d]."""
        logits, embedding = self.head(self.project(features))
        return logits.softmax(1), embedding


def exported(head: Head, pack: Pack) -> onnx.ModelProto:
    """Return the head as a graph: features -> scores and embedding."""
    example = {"features": torch.randn(2, STEPS, WIDTH)}
    model = graph.trace(ProjectedHead(head, pack).eval(), example, ["scores", "embedding"])
    sizes = {"scores": head.classify.out_features, "embedding": head.classify.in_features}
    del model.graph.output[:], model.graph.value_info[:]
    model.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size])
        for name, size in sizes.items()
    )
    return model
