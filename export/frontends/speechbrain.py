"""SpeechBrain's Fbank with its sentence normalisation, as a module that goes into the graph."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from export.speechbrain.hyperparams import Hyperparams
from kws.errors import ExportError

# The arguments of SpeechBrain's classes with their defaults (1.1.2), in order.
FBANK: Mapping[str, Mapping[str, Any]] = {
    "speechbrain.lobes.features.Fbank": {
        "deltas": False, "context": False, "requires_grad": False, "sample_rate": 16_000,
        "f_min": 0, "f_max": None, "n_fft": 400, "n_mels": 40, "filter_shape": "triangular",
        "param_change_factor": 1.0, "param_rand_factor": 0.0, "left_frames": 5,
        "right_frames": 5, "win_length": 25, "hop_length": 10,
    },
}  # fmt: skip
NORMALIZATION: Mapping[str, Mapping[str, Any]] = {
    "speechbrain.processing.features.InputNormalization": {
        "mean_norm": True, "std_norm": True, "norm_type": "global", "avg_factor": None,
        "length_dim": 1, "update_until_epoch": 2, "avoid_padding_norm": False,
        "epsilon": 1e-10, "device": "cpu", "requires_grad": False,
    },
}  # fmt: skip
ONLY: Mapping[str, Any] = {
    "deltas": False, "context": False, "requires_grad": False, "filter_shape": "triangular",
    "mean_norm": True, "norm_type": "sentence", "avg_factor": None, "length_dim": 1,
}  # fmt: skip
"""Arguments that can have one value only: with another the features would be different ones."""
DEVIATION = (
    "mean_var_norm divides by the deviation over the frames as SpeechBrain 1.1 does; "
    "before 1.1 it divided by one that is larger by 1/(2 frames)"
)
FLOOR = 1e-10
"""Least energy of a band, before its logarithm."""
RANGE = 80.0
"""Decibels below the utterance's loudest band, at which all bands end."""


def mel(hertz: float) -> float:
    """The mel scale of O'Shaughnessy, "Speech Communication" (1987): 2595 log10(1 + f/700)."""
    return 2595 * math.log10(1 + hertz / 700)


def mel_matrix(mels: int, low: float, high: float, fft: int, rate: int) -> Tensor:
    """Return SpeechBrain's triangles [mels, fft // 2 + 1], which are not the usual ones.

    Both sides of a triangle are as wide as the gap on its left, so that they overlap unevenly.
    In float32 throughout, as in `speechbrain.processing.features.Filterbank`.
    """
    edges = 700 * (10 ** (torch.linspace(mel(low), mel(high), mels + 2) / 2595) - 1)
    centre, gap = edges[1:-1, None], (edges[1:] - edges[:-1])[:-1, None]
    slope = (torch.linspace(0, rate // 2, fft // 2 + 1) - centre) / gap
    return torch.relu(torch.minimum(slope + 1, 1 - slope))


def dft_basis(window: Tensor) -> Tensor:
    """Return `window` [n] times the cosines, then the sines, of its DFT: [2 * (n // 2 + 1), n]."""
    size = len(window)
    n = torch.arange(size, dtype=torch.float64)
    k = torch.arange(size // 2 + 1, dtype=torch.float64)
    phase = torch.remainder(k[:, None] * n, size) * (2 * math.pi / size)
    return (torch.cat([phase.cos(), phase.sin()]) * window.double()).float()


class Fbank(nn.Module):
    """float32 [batch, samples] in [-1, 1] -> [batch, mels, 1 + samples // hop], normalised.

    Frames of `fft` samples, the first one centred on the first sample, zeros beyond both ends; a
    periodic Hamming window of `window` samples; power; mels; decibels; less each band's mean over
    the utterance, and, with `deviation`, divided by its population standard deviation.
    """

    window: Tensor
    basis: Tensor
    mel: Tensor

    def __init__(
        self, *, mels: int = 40, low: float = 0, high: float = 8000, rate: int = 16_000,
        fft: int = 400, window: int = 400, hop: int = 160, deviation: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.fft, self.hop, self.deviation = fft, hop, deviation
        before = (fft - window) // 2  # as torch.stft centres a window that is shorter
        padded = torch.zeros(fft)
        padded[before : before + window] = torch.hamming_window(window)
        triangles = mel_matrix(mels, low, high, fft, rate)
        self.register_buffer("window", padded, persistent=False)
        self.register_buffer("basis", dft_basis(padded)[:, None], persistent=False)
        # Twice, since the energy of a bin is its cosine's and its sine's.
        self.register_buffer("mel", torch.cat([triangles, triangles], 1), persistent=False)

    def forward(self, audio: Tensor) -> Tensor:
        """The form that is exported: framing and DFT as one convolution."""
        padded = nn.functional.pad(audio, (self.fft // 2, self.fft // 2))
        waves = nn.functional.conv1d(padded[:, None], self.basis, stride=self.hop)
        return self._normalised(self.mel @ waves.square())

    def original(self, audio: Tensor) -> Tensor:
        """The same by torch.stft, as SpeechBrain computes it: the exported form must equal it."""
        spectrum = torch.stft(
            audio, self.fft, self.hop, window=self.window, pad_mode="constant", return_complex=True
        )
        energy = torch.view_as_real(spectrum).square().sum(-1)
        return self._normalised(self.mel[:, : self.fft // 2 + 1] @ energy)

    def _normalised(self, energy: Tensor) -> Tensor:
        decibels = 10 * torch.log10(energy.clamp(min=FLOOR))
        loudest = decibels.amax((1, 2), keepdim=True)
        clipped = torch.maximum(decibels, loudest - RANGE)
        centred = clipped - clipped.mean(2, keepdim=True)
        if not self.deviation:
            return centred
        return centred / centred.square().mean(2, keepdim=True).sqrt().clamp(min=FLOOR)


def read(settings: Hyperparams) -> tuple[Fbank, int, list[str]]:
    """Return the front end that hyperparams.yaml describes, its rate, and what to tell of it.

    Raises ExportError: it describes features that this one can't give.
    """
    _, asked = settings.part("compute_features", FBANK)
    _, norm = settings.part("mean_var_norm", NORMALIZATION)
    for name, value in ONLY.items():
        for part, arguments in (("compute_features", asked), ("mean_var_norm", norm)):
            if name in arguments and arguments[name] != value:
                raise ExportError(
                    f"{settings.path}: {part}: {name} {arguments[name]} is not supported, "
                    f"only {value}"
                )
    if not isinstance(norm["std_norm"], bool):
        raise ExportError(f"{settings.path}: mean_var_norm: std_norm must be true or false")
    for name, low, high in (
        ("sample_rate", 1_000, 400_000), ("n_fft", 16, 16_384), ("n_mels", 1, 1_024),
        ("win_length", 1, 1_000), ("hop_length", 1, 1_000),
    ):  # fmt: skip
        if type(asked[name]) not in (int, float) or not low <= asked[name] <= high:
            raise ExportError(
                f"{settings.path}: compute_features: {name} {asked[name]} is not a number of "
                f"{low} to {high}"
            )
    rate, fft = int(asked["sample_rate"]), int(asked["n_fft"])
    high = rate // 2 if asked["f_max"] is None else asked["f_max"]
    window, hop = (round(rate / 1000 * asked[f"{name}_length"]) for name in ("win", "hop"))
    if window > fft or not isinstance(asked["f_min"], int | float) or not asked["f_min"] < high:
        raise ExportError(
            f"{settings.path}: compute_features: win_length is longer than n_fft, or f_min is not "
            "below f_max"
        )
    front = Fbank(
        mels=int(asked["n_mels"]), low=asked["f_min"], high=high, rate=rate, fft=fft,
        window=window, hop=hop, deviation=norm["std_norm"],
    )  # fmt: skip
    return front, rate, [DEVIATION] if norm["std_norm"] else []
