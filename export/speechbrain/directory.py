"""Directories that SpeechBrain's EncoderClassifier loads: settings, labels and weights, as data."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from export.checkpoint import Checkpoint
from export.families import Original
from export.frontends import speechbrain as frontend
from export.labels import window_s
from export.speechbrain import statedict
from export.speechbrain.hyperparams import Hyperparams
from export.speechbrain.layers import Activation, Cosines, Perceptron
from export.speechbrain.safeyaml import Call
from export.speechbrain.statedict import Network
from kws.errors import ExportError
from kws.flow import Samples

SETTINGS = "hyperparams.yaml"
FALLBACK_S = 3.0
SCALE = 30.0
"""By which SpeechBrain's recipes multiply cosines in training, where a checkpoint doesn't say:
AdditiveAngularMargin, scale 30 (recipes/VoxCeleb/SpeakerRec, recipes/CommonLanguage/lang_id)."""
PERCEPTRON = "speechbrain.lobes.models.Xvector.Classifier"
COSINES = "speechbrain.lobes.models.ECAPA_TDNN.Classifier"
ACTIVATIONS = {"torch.nn.LeakyReLU": nn.LeakyReLU, "torch.nn.ReLU": nn.ReLU}
CLASSIFIERS: Mapping[str, Mapping[str, Any]] = {
    PERCEPTRON: {
        "input_shape": ..., "activation": Call("name", "torch.nn.LeakyReLU", ""),
        "lin_blocks": 1, "lin_neurons": 512, "out_neurons": 1211,
    },
    COSINES: {
        "input_size": ..., "device": "cpu", "lin_blocks": 0, "lin_neurons": 192,
        "out_neurons": 1211,
    },
}  # fmt: skip
"""The arguments of SpeechBrain's classifiers with their defaults (1.1.2), in order."""


def embedding_model(checkpoint: Checkpoint) -> str:
    """Return the target of a directory's embedding model; empty where it is no such directory.

    Raises ExportError: hyperparams.yaml is malformed, or names what no model needs.
    """
    if not checkpoint.has(SETTINGS):
        return ""
    found = Hyperparams(checkpoint.path / SETTINGS).value("modules", "embedding_model")
    return found.target if isinstance(found, Call) else ""


class Classified(nn.Module):
    """Features [batch, mels, frames] -> logits [batch, labels], embedding [batch, d]."""

    def __init__(self, embedding: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.embedding, self.classifier = embedding, classifier

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return both."""
        embedding = self.embedding(features)
        return self.classifier(embedding), embedding


class Directory:
    """A SpeechBrain directory. Whatever is missing, malformed or unknown is an ExportError."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._folder = checkpoint.path
        self.settings = Hyperparams(checkpoint.path / SETTINGS)

    def original(
        self, family: str, embedding: nn.Module, width: int, frames: int, notes: list[str]
    ) -> Original:
        """Return the checkpoint whose embedding model is `embedding`, which gives `width` values.

        frames: what it needs at least.
        """
        front, rate, told = frontend.read(self.settings)
        labels = self._labels()
        classifier, explained = self._classifier(width, len(labels))
        network = Classified(embedding, classifier).eval()
        seconds, reason = self._seconds(labels)
        return Original(
            family=family,
            labels=labels,
            rate=rate,
            window=round(seconds * rate),
            reference=partial(probabilities, front, network),
            front=front,
            network=network,
            outputs=("logits", "embedding"),
            scheme="static",
            min_samples=max(1, (frames - 1) * front.hop),
            notes=[*told, *notes, *explained, *reason],
        )

    def filled(self, name: str, make: Callable[[], Network]) -> Network:
        """Make a network and give it the weights of `name`."""
        return statedict.fill(make, self._file(name), self.settings.path)

    def activation(self, call: Any) -> Activation:
        """Return what makes the layer that e.g. `!name:torch.nn.LeakyReLU` names."""
        target = call.target if isinstance(call, Call) else call
        if target not in ACTIVATIONS:
            known = ", ".join(ACTIVATIONS)
            raise ExportError(
                f"{self.settings.path}: activation {target} is not known; known: {known}"
            )
        options = call.arguments if isinstance(call.arguments, dict) else {}
        return partial(ACTIVATIONS[target], **{str(key): options[key] for key in options})

    def few(self, arguments: Mapping[str, Any], name: str, most: int) -> int:
        """Return a number of layers or parts, which a hostile file could make endless."""
        value = arguments[name]
        if type(value) is not int or not 0 <= value <= most:
            raise ExportError(f"{self.settings.path}: {name} {value} is no number of 0 to {most}")
        return value

    def _classifier(self, width: int, labels: int) -> tuple[nn.Module, list[str]]:
        target, asked = self.settings.part("classifier", CLASSIFIERS)
        if asked["out_neurons"] != labels:
            raise ExportError(
                f"{self._file('label_encoder')}: names {labels} labels, the classifier of "
                f"{SETTINGS} has {asked['out_neurons']}"
            )
        sizes = self.few(asked, "lin_blocks", 16), asked["lin_neurons"]
        if target == PERCEPTRON:
            activation = self.activation(asked["activation"])
            make = partial(Perceptron, width, labels, activation, *sizes)
            return self.filled("classifier", make), []
        scale, told = self._scale()
        return self.filled("classifier", partial(Cosines, width, labels, *sizes, scale)), [told]

    def _scale(self) -> tuple[float, str]:
        found = self.settings.value("compute_cost", "loss_fn", "scale")
        known = type(found) in (int, float) and found > 0
        scale, origin = (float(found), SETTINGS) if known else (SCALE, "SpeechBrain's recipes")
        return scale, (
            f"the original gives cosines; a probability is the softmax of {scale:g} times these, "
            f"which is what training made likely (the scale is that of {origin})"
        )

    def _seconds(self, labels: list[str]) -> tuple[float, list[str]]:
        """Return how long the training clips were, and a note where that is a guess."""
        told = self.settings.value("sentence_len")
        if type(told) in (int, float) and 0 < told <= 60:
            return float(told), []
        if (seconds := window_s(labels)) is not None:
            return seconds, []
        guess = f"{FALLBACK_S:g} s is assumed; --window-s sets another"
        return FALLBACK_S, [
            f"the checkpoint does not say how long its training clips were: {guess}"
        ]

    def _file(self, name: str) -> Path:
        """Return the file here that holds what SpeechBrain would fetch for `name`.

        Published settings name files at the Hub; their last part is the name of the local one.
        """
        told = self.settings.value("pretrainer", "paths", name)
        plain = told.replace("\\", "/").rsplit("/", 1)[-1] if isinstance(told, str) else ""
        return self._folder / (plain if plain not in ("", ".", "..") else f"{name}.ckpt")

    def _labels(self) -> list[str]:
        """Read the labels in the order of their indices, as CategoricalEncoder.save writes them."""
        path = self._file("label_encoder")
        if not path.is_file():
            path = self._folder / "label_encoder.txt"
        found: dict[int, str] = {}
        try:
            for line in path.read_text(encoding="utf-8").splitlines():
                if line.startswith("====="):
                    break
                # From the right: a label may hold an arrow itself.
                literal, index = line.rsplit(" => ", 1)
                found[int(index)] = str(ast.literal_eval(literal))
        except OSError as error:
            raise ExportError(f"{path}: can't be read: {error.strerror}") from None
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            raise ExportError(f"{path}: holds a line that is no 'label' => index") from None
        if sorted(found) != list(range(len(found))) or not found:
            raise ExportError(f"{path}: the labels' indices are not 0 to {len(found) - 1}")
        return [found[index] for index in range(len(found))]


def probabilities(front: frontend.Fbank, network: nn.Module, audio: Samples) -> Samples:
    """Return the original's probabilities of one recording [samples], by its own way to features.

    SpeechBrain itself is not needed: tests hold these against what it gave.
    """
    with torch.no_grad():
        logits, _ = network(front.original(torch.from_numpy(audio)[None]))
        found: Samples = logits[0].softmax(0).numpy()
    return found
