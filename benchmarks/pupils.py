"""Networks that are trained small, to export real weights: an AST, and SpeechBrain's x-vector.

Both hear the logarithms of mel energies, computed once; time, level and noise are varied in these.
"""

from __future__ import annotations

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.checkpoints import COMMANDS, MAKERS, labels
from export.checkpoints import ast
from export.checkpoints.speechbrain_xvector import XVector
from export.frontends import kaldi, speechbrain
from export.frontends.logmel import FRAME, SHIFT
from export.speechbrain.layers import Perceptron

DECIBEL = math.log(10) / 10
"""Of energy, as a natural logarithm."""


class Pupil(ABC):
    """A network that learns, with the front end it has when it is exported.

    epochs, peak: of its training; the learning rate's highest. masks: hidden bands and stretches.
    """

    epochs: int
    peak: float
    masks: int
    network: nn.Module

    @abstractmethod
    def energies(self, audio: Tensor) -> Tensor:
        """Return the natural logarithms [batch, mels, frames] of audio [batch, samples]."""

    @abstractmethod
    def frames(self, samples: int) -> int:
        """Return how many frames so many samples make."""

    @abstractmethod
    def logits(self, energies: Tensor) -> Tensor:
        """Return [batch, labels] of logarithms [batch, mels, frames]."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the checkpoint as its own framework does."""


class Ast(Pupil):
    """`ASTForAudioClassification` with 4 layers of 192, on a second and its padding.

    Its patches span half of 64 mels and overlap in time, unlike the published ones of 128 mels:
    from scratch, on so few words, those learnt too slowly.
    """

    epochs, peak, masks = 16, 1e-3, 2

    def __init__(self) -> None:
        import transformers

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the lowest mels hold no bin
            # The statistics are those of MIT's AST of Speech Commands.
            library: Any = transformers
            self.extractor: Any = library.ASTFeatureExtractor(
                max_length=128, num_mel_bins=64, mean=-6.845978, std=5.5654526
            )
        config = library.ASTConfig(
            hidden_size=192, num_hidden_layers=4, num_attention_heads=3, intermediate_size=768,
            max_length=128, num_mel_bins=64, patch_size=32, frequency_stride=32, time_stride=4,
            **labels(COMMANDS),
        )  # fmt: skip
        network = transformers.ASTForAudioClassification
        # On CPUs the fused attention's gradient takes as long as all the rest.
        self.network = network._from_config(config, attn_implementation="eager")  # noqa: SLF001
        places = self.network.get_parameter(ast.PLACES)
        nn.init.normal_(places, std=config.initializer_range)
        self.front = ast.Front(self.extractor)

    def energies(self, audio: Tensor) -> Tensor:
        """Return the logarithms."""
        mels: Tensor = self.front.fbank(audio).transpose(1, 2)
        return mels

    def frames(self, samples: int) -> int:
        """Return how many whole frames there are."""
        return 1 + (samples - FRAME) // SHIFT

    def logits(self, energies: Tensor) -> Tensor:
        """Pad and normalise as the front end does, and listen."""
        mels = energies.clamp(min=math.log(kaldi.FLOOR)).transpose(1, 2)
        padded = nn.functional.pad(mels, (0, 0, 0, self.front.frames - mels.shape[1]))
        heard: Tensor = self.network((padded - self.front.mean) / self.front.scale).logits
        return heard

    def save(self, folder: Path) -> None:
        """Write what transformers reads."""
        self.network.save_pretrained(folder)  # type: ignore[operator]
        self.extractor.save_pretrained(folder)


class Tdnn(Pupil):
    """SpeechBrain's x-vector at its full width, with its classifier."""

    epochs, peak, masks = 5, 1.5e-3, 1

    def __init__(self) -> None:
        layers = [(512, 5, 1), (512, 3, 2), (512, 3, 3), (512, 1, 1), (1500, 1, 1)]
        self.network = nn.Sequential(
            XVector(24, nn.LeakyReLU, layers, 512),
            Perceptron(512, len(COMMANDS), nn.LeakyReLU, 1, 512),
        )
        self.front = speechbrain.Fbank(mels=24)

    def energies(self, audio: Tensor) -> Tensor:
        """Return the logarithms of what the front end then normalises."""
        around = self.front.fft // 2
        padded = nn.functional.pad(audio, (around, around))[:, None]
        waves = nn.functional.conv1d(padded, self.front.basis, stride=self.front.hop)
        return (self.front.mel @ waves.square()).clamp(min=speechbrain.FLOOR).log()

    def frames(self, samples: int) -> int:
        """Return how many frames are centred on the audio."""
        return 1 + samples // self.front.hop

    def logits(self, energies: Tensor) -> Tensor:
        """Normalise as the front end does, and listen."""
        decibels = energies.clamp(min=math.log(speechbrain.FLOOR)) / DECIBEL
        loudest = decibels.amax((1, 2), keepdim=True)
        clipped = torch.maximum(decibels, loudest - speechbrain.RANGE)
        heard: Tensor = self.network(clipped - clipped.mean(2, keepdim=True))
        return heard

    def save(self, folder: Path) -> None:
        """Write what SpeechBrain reads."""
        MAKERS["x-vector (SpeechBrain)"](folder)
        names = ("embedding_model", "classifier")
        for part, name in zip(self.network.children(), names, strict=True):
            torch.save(part.state_dict(), folder / f"{name}.ckpt")


PUPILS: dict[str, Callable[[], Pupil]] = {"x-vector (SpeechBrain)": Tdnn, "AST, 2 M": Ast}
