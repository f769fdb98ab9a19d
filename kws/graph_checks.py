"""Checks that a graph has the inputs and outputs that its card promises."""

from __future__ import annotations

from kws.card import Card
from kws.encoder import Encoder
from kws.errors import CardError
from kws.onnx_graph import OnnxGraph


def check_graph(graph: OnnxGraph, card: Card) -> None:
    """Compare the graph with its card; raise CardError where they differ."""
    inputs = {node.name: node.shape for node in graph.inputs}
    outputs = {node.name: node.shape for node in graph.outputs}
    states = {name for name in inputs if name.startswith("state.")}
    head = "features" in inputs
    takes, axes = ("features", 3) if head else ("audio", 2)
    hop = inputs.get("audio", [None])[-1]
    scored = "scores" if card.labels else "embedding"
    labels = outputs.get("scores", [None])[-1]
    stream = card.kind == "stream"
    types = {node.type for node in graph.inputs if node.name == takes}
    types |= {node.type for node in graph.outputs if node.name == scored}
    unknown = sorted(set(inputs) - states - {takes})
    wrong = {
        "the graph has no input `audio` [batch, samples]": len(inputs.get(takes, [])) != axes,
        f"the graph has no output `{scored}` of two axes": len(outputs.get(scored, [])) != 2,
        f"unknown inputs {unknown}": bool(unknown),
        f"`{takes}` and `{scored}` must be float32": types != {"tensor(float)"},
        "a stream model needs `state.*` inputs": stream and not states,
        "a window model has no `state.*` inputs": not stream and bool(states),
        "some `state.*` has no output `state.*.next`": any(
            f"{name}.next" not in outputs for name in states
        ),
        f"the graph hears {hop} samples a hop, the card says {card.hop}": stream
        and isinstance(hop, int)
        and hop != card.hop,
        f"the graph hears {hop} samples at once, the card says {card.window}": not stream
        and isinstance(hop, int)
        and hop != card.window,
        f"the graph gives {labels} scores, the card names {len(card.labels)} labels": isinstance(
            labels, int
        )
        and labels != len(card.labels),
    }
    _raise_first(graph, wrong)


def check_head(graph: OnnxGraph, card: Card, encoder: Encoder) -> None:
    """Compare a head with the encoder that it hears through; raise CardError where they differ."""
    axes = next(node.shape[1:] for node in graph.inputs if node.name == "features")
    rate, window = encoder.card.sample_rate, encoder.window
    wrong = {
        "only a window model can be a head on the shared encoder": card.kind != "window",
        f"the encoder hears at {rate} Hz": card.sample_rate != rate,
        f"the encoder hears {window} samples at once, the card says {card.window}": (
            card.window != window
        ),
        f"the encoder gives features of {encoder.shape}, the graph takes {tuple(axes)}": any(
            isinstance(size, int) and size != given
            for size, given in zip(axes, encoder.shape, strict=True)
        ),
    }
    _raise_first(graph, wrong)


def _raise_first(graph: OnnxGraph, wrong: dict[str, bool]) -> None:
    for message, found in wrong.items():
        if found:
            raise CardError(f"{graph.path}: graph and card contradict each other: {message}")
