"""Log-mel front end that goes into the graph: waveform in, log-mel energies out."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

FRAME, SHIFT, FFT = 400, 160, 512
PIECE = 80
"""Frames and shifts are multiples of it, so that audio is framed by whole pieces."""
OVERLAP = FRAME - SHIFT
"""Samples that the first frame of a hop shares with the audio before it."""
FLOOR = 1e-6
"""Added to each mel energy, so that digital silence has a finite logarithm."""


def mel(hertz: float) -> float:
    """HTK's mel scale (Young et al., The HTK Book, 5.4): 1127 ln(1 + f/700)."""
    return 1127.0 * math.log1p(hertz / 700.0)


def dft_basis() -> Tensor:
    """Return [400, 514]: Hann-windowed cosines, then sines, of a 512-point DFT."""
    n = torch.arange(FRAME, dtype=torch.float64)
    k = torch.arange(FFT // 2 + 1, dtype=torch.float64)
    phase = torch.remainder(n[:, None] * k[None, :], FFT) * (2 * math.pi / FFT)
    hann = 0.5 - 0.5 * torch.cos(n * (2 * math.pi / FRAME))
    return (torch.cat([phase.cos(), phase.sin()], 1) * hann[:, None]).float()


def mel_matrix(mels: int, low: float, high: float, rate: int) -> Tensor:
    """Return [257, mels]: triangles linear in mel, equally spaced from `low` to `high` Hz."""
    bins = torch.arange(FFT // 2 + 1, dtype=torch.float64) * (rate / FFT)
    position = 1127.0 * torch.log1p(bins / 700.0)
    step = (mel(high) - mel(low)) / (mels + 1)
    centre = mel(low) + step * torch.arange(1, mels + 1, dtype=torch.float64)
    return torch.relu(1 - (position[:, None] - centre[None, :]).abs() / step).float()


class LogMel(nn.Module):
    """float32 [batch, 240 + 160 k] in [-1, 1] -> [batch, mels, k] natural-log mel energies."""

    dft: Tensor
    mel: Tensor

    def __init__(
        self, mels: int = 40, low: float = 60, high: float = 7600, rate: int = 16_000
    ) -> None:
        super().__init__()
        self.register_buffer("dft", dft_basis(), persistent=False)
        # Twice, one below the other: its product adds up squared cosines and sines.
        twice = mel_matrix(mels, low, high, rate).repeat(2, 1)
        self.register_buffer("mel", twice, persistent=False)

    def forward(self, audio: Tensor) -> Tensor:
        """The form that is exported: few nodes, each of which costs a hop about a microsecond."""
        samples = int(audio.shape[1])  # a constant of the graph: only the batch is dynamic
        count = (samples - OVERLAP) // SHIFT
        starts = SHIFT // PIECE * torch.arange(count)
        pieces = audio.reshape(-1, samples // PIECE, PIECE)
        frames = pieces[:, starts[:, None] + torch.arange(FRAME // PIECE)].reshape(-1, count, FRAME)
        energy = (frames @ self.dft).square() @ self.mel
        return torch.log(energy + FLOOR).transpose(1, 2)

    def as_initializers(self) -> None:
        """Let an export name the two matrices, so that the graph can form them instead."""
        self.register_buffer("dft", self.dft)
        self.register_buffer("mel", self.mel)

    def fast(self, audio: Tensor) -> Tensor:
        """The same by FFT, for training: equal to 1e-4, several times faster."""
        hann = torch.hann_window(FRAME, periodic=True, device=audio.device)
        spectrum = torch.fft.rfft(audio.unfold(1, FRAME, SHIFT) * hann, FFT)
        energy = spectrum.real.square() + spectrum.imag.square()
        return torch.log(energy @ self.mel[: FFT // 2 + 1] + FLOOR).transpose(1, 2)
