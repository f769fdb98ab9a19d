"""Log-mel front end that goes into the graph: waveform in, log-mel energies out."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

FRAME, SHIFT = 400, 160
COARSE, FINE = 16, 25
"""A frame's transform is made of shorter ones of so many points: COARSE * FINE = FRAME."""
HALF = COARSE // 2 + 1
"""As many of a real transform's COARSE bins say all."""
PIECE = 80
"""Frames and shifts are multiples of it, so that audio is framed by whole pieces."""
OVERLAP = FRAME - SHIFT
"""Samples that the first frame of a hop shares with the audio before it."""
FLOOR = 1e-6
"""Added to each mel energy, so that digital silence has a finite logarithm."""
NOWHERE = -1e6
"""Mel position, far from all, of a bin that is a second time there."""


def mel(hertz: float) -> float:
    """HTK's mel scale (Young et al., The HTK Book, 5.4): 1127 ln(1 + f/700)."""
    return 1127.0 * math.log1p(hertz / 700.0)


def coarse_basis() -> Tensor:
    """Return [18, 16]: for each of nine bins a row of cosines and one of negative sines."""
    n = torch.arange(COARSE, dtype=torch.float64)
    phase = torch.arange(HALF, dtype=torch.float64)[:, None] * n * (2 * math.pi / COARSE)
    return torch.stack([phase.cos(), -phase.sin()], 1).reshape(2 * HALF, COARSE).float()


def fine_basis() -> Tensor:
    """Return [9, 50, 50]: per coarse bin, real then imaginary parts in and out."""
    n = torch.arange(FINE)[None, :, None]
    turn = torch.remainder(n * bins()[:, None], FRAME)  # in integers: float32 would lose the phase
    phase = turn.double() * (2 * math.pi / FRAME)
    cos, sin = phase.cos(), phase.sin()
    return torch.cat([torch.cat([cos, -sin], 2), torch.cat([sin, cos], 2)], 1).float()


def bins() -> Tensor:
    """Return [9, 25]: which of the 400 bins a coarse and a fine one make."""
    return torch.arange(HALF)[:, None] + COARSE * torch.arange(FINE)


def bin_positions(rate: int) -> Tensor:
    """Return [450] float64: where each output of the transform lies in mel, each bin once."""
    number = bins()
    twice = (number % COARSE % (COARSE // 2) == 0) & (number > FRAME // 2)
    position = positions(torch.minimum(number, FRAME - number), rate / FRAME)
    position = torch.where(twice, NOWHERE, position)
    return position.repeat(1, 2).reshape(-1)  # real and imaginary parts


def positions(number: Tensor, spacing: float) -> Tensor:
    """Return where bins, so many Hz apart, lie in mel, as float64."""
    return 1127.0 * torch.log1p(number.double() * spacing / 700.0)


def triangles(position: Tensor, mels: int, low: float, high: float) -> Tensor:
    """Return [positions, mels]: triangles linear in mel, equally spaced from `low` to `high` Hz."""
    step = (mel(high) - mel(low)) / (mels + 1)
    centre = mel(low) + step * torch.arange(1, mels + 1, dtype=torch.float64)
    return torch.relu(1 - (position[:, None] - centre[None, :]).abs() / step).float()


class LogMel(nn.Module):
    """float32 [batch, 240 + 160 k] in [-1, 1] -> [batch, mels, k] natural-log mel energies.

    A Hann window of 25 ms every 10 ms. The transform of 400 points is one of 16 and one of 25,
    the twiddle factors in the latter (Cooley, Tukey, "An algorithm for the machine calculation of
    complex Fourier series", 1965): a seventh of the constants that one matrix would have.
    """

    hann: Tensor
    coarse: Tensor
    fine: Tensor
    mel: Tensor
    once: Tensor

    def __init__(
        self, mels: int = 40, low: float = 60, high: float = 7600, rate: int = 16_000
    ) -> None:
        super().__init__()
        once = positions(torch.arange(FRAME // 2 + 1), rate / FRAME)
        for name, value in {
            "hann": torch.hann_window(FRAME),
            "coarse": coarse_basis(),
            "fine": fine_basis(),
            "mel": triangles(bin_positions(rate), mels, low, high),
            "once": triangles(once, mels, low, high),
        }.items():
            self.register_buffer(name, value, persistent=False)

    def forward(self, audio: Tensor) -> Tensor:
        """Return the log energies, mels before frames."""
        return self.energies(audio).transpose(1, 2)

    def energies(self, audio: Tensor) -> Tensor:
        """Return them as [batch, k, mels]: the form that is exported, of few and small nodes."""
        samples = int(audio.shape[1])  # a constant of the graph: only the batch is dynamic
        count = (samples - OVERLAP) // SHIFT
        starts = SHIFT // PIECE * torch.arange(count)
        pieces = audio.reshape(-1, samples // PIECE, PIECE)
        frames = pieces[:, starts[:, None] + torch.arange(FRAME // PIECE)].reshape(-1, count, FRAME)
        heard = (frames * self.hann).reshape(-1, count, COARSE, FINE)
        coarse = (self.coarse @ heard).reshape(-1, count, HALF, 2 * FINE)
        fine = (coarse.transpose(1, 2) @ self.fine).transpose(1, 2)
        power = fine.square().reshape(-1, count, HALF * 2 * FINE)
        return torch.log(power @ self.mel + FLOOR)

    def as_initializers(self) -> None:
        """Let an export name the constants, so that the graph can form them instead."""
        for name in ("hann", "coarse", "fine", "mel"):
            self.register_buffer(name, getattr(self, name))

    def fast(self, audio: Tensor) -> Tensor:
        """The same by FFT, for training: equal to 1e-4, several times faster."""
        spectrum = torch.fft.rfft(audio.unfold(1, FRAME, SHIFT) * self.hann)
        energy = spectrum.real.square() + spectrum.imag.square()
        return torch.log(energy @ self.once + FLOOR).transpose(1, 2)
