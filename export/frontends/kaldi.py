"""Kaldi's log-mel filter bank, as AST and wav2vec2-bert hear it, that goes into the graph."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from export.frontends.logmel import FRAME, PIECE, SHIFT, positions, triangles

FFT = 512

LOW = 20
"""Hz at which the lowest triangle begins; the highest ends at half the rate."""
PREEMPHASIS = 0.97
FLOOR = 1.1920928955078125e-07
"""The least energy: float32's epsilon."""
BINS = slice(1, FFT // 2)
"""The bins of the DFT that a triangle can reach: neither 0 Hz nor half the rate."""


def hann() -> Tensor:
    """Return [400]: the symmetric Hann window."""
    turn = torch.arange(FRAME, dtype=torch.float64) * (2 * math.pi / (FRAME - 1))
    return 0.5 - 0.5 * torch.cos(turn)


def povey() -> Tensor:
    """Return [400]: Kaldi's own window, a Hann window to the power of 0.85."""
    return hann() ** 0.85


def samples(frames: int) -> int:
    """Return the least audio that makes so many frames."""
    return FRAME + SHIFT * (frames - 1)


def basis(window: Tensor, scale: float) -> Tensor:
    """Return [400, 2 * 255]: all that is linear from a frame to its spectrum, cosines then sines.

    In the original's order: scale, the frame's mean removed, pre-emphasis (the first sample is
    its own predecessor), window, 512-point DFT.
    """
    n = torch.arange(FRAME, dtype=torch.float64)
    k = torch.arange(FFT // 2 + 1, dtype=torch.float64)[BINS]
    phase = torch.remainder(n[:, None] * k[None, :], FFT) * (2 * math.pi / FFT)
    waves = torch.cat([phase.cos(), phase.sin()], 1) * window[:, None] * scale
    following = torch.cat([waves[1:], torch.zeros_like(waves[:1])])
    emphasised = waves - PREEMPHASIS * following
    emphasised[0] -= PREEMPHASIS * waves[0]
    return (emphasised - emphasised.mean(0)).float()


class Fbank(nn.Module):
    """float32 [batch, samples] in [-1, 1] -> [batch, frames, mels] natural-log mel energies.

    Frames of 400 samples every 160, only where they are full: samples must be 400 at least.
    window: [400]. scale: what the audio is multiplied by. rate: Hz, for the triangles.
    """

    dft: Tensor
    mel: Tensor

    def __init__(self, window: Tensor, mels: int, rate: int, scale: float = 1.0) -> None:
        super().__init__()
        position = positions(torch.arange(FFT // 2 + 1), rate / FFT)[BINS]
        matrix = triangles(position, mels, LOW, rate // 2)
        self.register_buffer("dft", basis(window, scale), persistent=False)
        self.register_buffer("mel", torch.cat([matrix, matrix]), persistent=False)

    def forward(self, audio: Tensor) -> Tensor:
        """Frame by a reshape and five slices; their bounds hold for every length."""
        batch, length = audio.shape
        pieces = audio[:, : length // PIECE * PIECE].reshape(batch, -1, PIECE)
        last = FRAME // PIECE - 1
        step = SHIFT // PIECE
        frames = torch.cat([pieces[:, i : (i - last) or None : step] for i in range(last + 1)], 2)
        # The basis removes the mean too, but in float32 an offset much louder than the signal
        # would leave more than the floor: e^6 times it, at a tenth of full scale times 2^15.
        centred = frames - frames.mean(2, keepdim=True)
        energy = (centred @ self.dft).square() @ self.mel
        return energy.clamp(min=FLOOR).log()
