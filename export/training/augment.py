"""Augmentation of whole batches: rooms, filters, signal-to-noise ratio, level, masks."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from export.frontends import logmel
from export.training.strips import LEVEL

ROOMS, FILTERED = 0.65, 0.5
"""The shares of strips that are heard in a room, and through a microphone of its own."""
GRID = 513
"""Frequencies at which a filter is drawn; in between it is interpolated."""
LOWEST, HIGHEST = 60.0, 7600.0
"""Hz: where the network's mels begin and end."""


def room_spectra(rooms: Tensor, samples: int) -> Tensor:
    """Return the spectra of impulse responses [count, taps], for strips of so many samples."""
    size = -(-(samples + rooms.shape[1]) // 8192) * 8192  # a size that FFTs are fast at
    spectra: Tensor = torch.fft.rfft(rooms, size)
    return spectra


def mix(
    words: Tensor,
    background: Tensor,
    rooms: Tensor,
    generator: torch.Generator,
    *,
    strength: float = 1.0,
) -> Tensor:
    """Return strips [batch, samples] in [-1, 1] as a microphone might hear them.

    words, background: [batch, samples], words at LEVEL; rooms: [count, bins], of `room_spectra`.
    strength: 0 to 1, scales the shares that are heard in rooms and through filters.
    """
    batch, samples = words.shape
    drawn: dict[str, Any] = {"generator": generator, "device": generator.device}

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(batch, **drawn) * (high - low) + low

    def chance(share: float) -> Tensor:
        return torch.rand(batch, **drawn) < share

    size = 2 * (rooms.shape[1] - 1)
    placed = chance(ROOMS * strength).nonzero()[:, 0]
    words, background = (_placed(a, placed, rooms, size, generator) for a in (words, background))
    heard = words + background
    filtered = chance(FILTERED * strength).nonzero()[:, 0]
    if len(filtered):
        spectrum = torch.fft.rfft(heard[filtered], size)
        spectrum = spectrum * _filters(len(filtered), rooms.shape[1], generator)
        heard = heard.index_copy(0, filtered, torch.fft.irfft(spectrum, size)[:, :samples])
    target = decibels(torch.where(chance(0.05), uniform(-10, 6), uniform(-42, -10)))
    mixed: Tensor = heard * (target / LEVEL)[:, None]
    hiss = torch.randn(mixed.shape, **drawn) * decibels(uniform(-95, -58))[:, None]
    return (mixed + hiss * chance(0.8)[:, None]).clamp(-1, 1)


def _placed(
    audio: Tensor, which: Tensor, rooms: Tensor, size: int, generator: torch.Generator
) -> Tensor:
    """Put some of a batch into rooms, each into one of its own."""
    if not len(which):
        return audio
    drawn: dict[str, Any] = {"generator": generator, "device": generator.device}
    spectrum = torch.fft.rfft(audio[which], size)
    spectrum = spectrum * rooms[torch.randint(len(rooms), (len(which),), **drawn)]
    return audio.index_copy(0, which, torch.fft.irfft(spectrum, size)[:, : audio.shape[1]])


def decibels(value: Tensor) -> Tensor:
    """Return amplitude ratios of levels in dB."""
    return torch.pow(10.0, value / 20)


def _filters(batch: int, bins: int, generator: torch.Generator) -> Tensor:
    """Return random microphone responses [batch, bins]: a smooth curve, a band's edges."""
    drawn: dict[str, Any] = {"generator": generator, "device": generator.device}
    curve = torch.randn(batch, 1, 9, **drawn) * 2.5
    smooth = nn.functional.interpolate(curve, GRID, mode="linear", align_corners=True)[:, 0]
    position = torch.linspace(0, 8000, GRID, device=curve.device)[None]

    def edge(share: float, low: float, high: float, without: float) -> Tensor:
        value = torch.rand(batch, 1, **drawn) * (high - low) + low
        keep = torch.rand(batch, 1, **drawn) >= share
        return torch.where(keep, torch.full_like(value, without), value)

    above = torch.relu(position / edge(0.3, 3000, 7500, 1e9) - 1) * 200
    below = torch.relu(edge(0.3, 80, 400, 1.0) / position.clamp_min(1) - 1).clamp_max(3) * 15
    gain = decibels(smooth - above.clamp_max(60) - below)[:, None]
    return nn.functional.interpolate(gain, bins, mode="linear", align_corners=True)[:, 0]


def mask(mels: Tensor, generator: torch.Generator) -> Tensor:
    """Hide up to 6 mels and up to 5 frames (Park et al., "SpecAugment", 2019)."""
    batch, count, frames = mels.shape
    drawn: dict[str, Any] = {"generator": generator, "device": generator.device}
    for size, axis, widest in ((count, 1, 6), (frames, 2, 5)):
        width = torch.randint(0, widest + 1, (batch, 1), **drawn)
        first = torch.randint(0, size - widest, (batch, 1), **drawn)
        place = torch.arange(size, device=mels.device)[None]
        hidden = (place >= first) & (place < first + width)
        mean = mels.mean((1, 2), keepdim=True)
        mels = torch.where(hidden.unsqueeze(3 - axis), mean, mels)
    return mels


def throat(mels: Tensor, generator: torch.Generator) -> Tensor:
    """Move log-mels [batch, mels, frames] up or down by up to 12 % in frequency, most of the time.

    As if somebody with a shorter or longer vocal tract had spoken (Jaitly, Hinton, "Vocal tract
    length perturbation", 2013): unlike playing faster, it leaves the tempo alone.
    """
    drawn: dict[str, Any] = {"generator": generator, "device": generator.device}
    batch, count, frames = mels.shape
    low, high = logmel.mel(LOWEST), logmel.mel(HIGHEST)
    step = (high - low) / (count + 1)
    centre = low + step * torch.arange(1, count + 1, device=mels.device)
    factor = 1 + (torch.rand(batch, 1, **drawn) * 2 - 1) * 0.12
    factor = torch.where(torch.rand(batch, 1, **drawn) < 0.7, factor, torch.ones_like(factor))
    hertz = 700 * (torch.exp(centre / 1127) - 1)[None] * factor
    place = (1127 * torch.log1p(hertz / 700) - low) / step - 1
    place = place.clamp(0, count - 1)
    below = place.floor().clamp_max(count - 2)
    share = (place - below)[:, :, None]
    at = below.long()[:, :, None].expand(batch, count, frames)
    return mels.gather(1, at) * (1 - share) + mels.gather(1, at + 1) * share
