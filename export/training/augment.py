"""Augmentation of whole batches: rooms, filters, signal-to-noise ratio, level, masks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

GRID = 513
"""Frequencies at which a filter is drawn; in between it is interpolated."""


def room_spectra(rooms: Tensor, samples: int) -> Tensor:
    """Return the spectra of impulse responses [count, taps], for strips of so many samples."""
    size = -(-(samples + rooms.shape[1]) // 8192) * 8192  # a size that FFTs are fast at
    spectra: Tensor = torch.fft.rfft(rooms, size)
    return spectra


def mix(
    words: Tensor, background: Tensor, level: Tensor, rooms: Tensor, generator: torch.Generator
) -> Tensor:
    """Return strips [batch, samples] in [-1, 1] as a microphone might hear them.

    words, background: [batch, samples] int16-scaled; level: [batch] RMS of the words;
    rooms: [count, bins], from `room_spectra`.
    """
    batch, samples = words.shape

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(batch, generator=generator) * (high - low) + low

    def chance(share: float) -> Tensor:
        return torch.rand(batch, generator=generator) < share

    size = 2 * (rooms.shape[1] - 1)
    placed = chance(0.25).nonzero()[:, 0]
    if len(placed):
        room = rooms[torch.randint(len(rooms), (len(placed),), generator=generator)]
        spectrum = torch.fft.rfft(words[placed], size) * room
        words = words.index_copy(0, placed, torch.fft.irfft(spectrum, size)[:, :samples])
    power = background.square().mean(1).sqrt().clamp_min(1e-3)
    loud = torch.where(level > 0, level, torch.full_like(level, 1000.0))
    gain = loud / power * decibels(-uniform(4, 40)) * chance(0.75)
    heard = words + background * gain[:, None]
    filtered = chance(0.5).nonzero()[:, 0]
    if len(filtered):
        spectrum = torch.fft.rfft(heard[filtered], size)
        spectrum = spectrum * _filters(len(filtered), rooms.shape[1], generator)
        heard = heard.index_copy(0, filtered, torch.fft.irfft(spectrum, size)[:, :samples])
    target = decibels(torch.where(chance(0.05), uniform(-10, 6), uniform(-42, -10)))
    mixed: Tensor = heard * (target / loud)[:, None]
    hiss = torch.randn(mixed.shape, generator=generator) * decibels(uniform(-95, -58))[:, None]
    return (mixed + hiss * chance(0.8)[:, None]).clamp(-1, 1)


def decibels(value: Tensor) -> Tensor:
    """Return amplitude ratios of levels in dB."""
    return torch.pow(10.0, value / 20)


def _filters(batch: int, bins: int, generator: torch.Generator) -> Tensor:
    """Return random microphone responses [batch, bins]: a smooth curve, a band's edges."""
    curve = torch.randn(batch, 1, 9, generator=generator) * 2.5
    smooth = nn.functional.interpolate(curve, GRID, mode="linear", align_corners=True)[:, 0]
    position = torch.linspace(0, 8000, GRID)[None]

    def edge(share: float, low: float, high: float, without: float) -> Tensor:
        value = torch.rand(batch, 1, generator=generator) * (high - low) + low
        keep = torch.rand(batch, 1, generator=generator) >= share
        return torch.where(keep, torch.full_like(value, without), value)

    above = torch.relu(position / edge(0.3, 3000, 7500, 1e9) - 1) * 200
    below = torch.relu(edge(0.3, 80, 400, 1.0) / position.clamp_min(1) - 1).clamp_max(3) * 15
    gain = decibels(smooth - above.clamp_max(60) - below)[:, None]
    return nn.functional.interpolate(gain, bins, mode="linear", align_corners=True)[:, 0]


def mask(mels: Tensor, generator: torch.Generator) -> Tensor:
    """Hide up to 6 mels and up to 5 frames (Park et al., "SpecAugment", 2019)."""
    batch, count, frames = mels.shape
    for size, axis, widest in ((count, 1, 6), (frames, 2, 5)):
        width = torch.randint(0, widest + 1, (batch, 1), generator=generator)
        first = torch.randint(0, size - widest, (batch, 1), generator=generator)
        place = torch.arange(size)[None]
        hidden = (place >= first) & (place < first + width)
        mean = mels.mean((1, 2), keepdim=True)
        mels = torch.where(hidden.unsqueeze(3 - axis), mean, mels)
    return mels
