"""Whisper's front end, and the mel energies of centred frames that CLAP's shares with it."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

FLOOR = 1e-10
"""Mel energies below it count as this: -100 dB."""


class MelPower(nn.Module):
    """float32 [batch, samples] -> [batch, mels, 1 + samples // hop] mel energies.

    Frames are centred, half a frame is mirrored at both ends, the Hann window is periodic:
    torch.stft's defaults. mel: float [1 + frame // 2, mels].
    """

    dft: Tensor
    mel: Tensor

    def __init__(self, frame: int, hop: int, mel: NDArray[np.floating]) -> None:
        super().__init__()
        self.margin, self.hop = frame // 2, hop
        used = np.flatnonzero(mel.any(1))  # the DFT of a bin that no filter hears is not made
        # Whole turns are taken out in integers, so that the phase is exact.
        turn = np.outer(used, np.arange(frame)) % frame
        phase = turn * (2 * math.pi / frame)
        hann = 0.5 - 0.5 * np.cos(np.arange(frame) * (2 * math.pi / frame))
        dft = np.concatenate([np.cos(phase), np.sin(phase)]) * hann
        weights = np.concatenate([mel[used], mel[used]]).T
        self.register_buffer("dft", torch.from_numpy(dft[:, None]).float())
        self.register_buffer("mel", torch.from_numpy(weights).float())

    def forward(self, audio: Tensor) -> Tensor:
        """Squared cosine and sine parts, weighted and summed by one matrix."""
        mirrored = functional.pad(audio[:, None], (self.margin, self.margin), mode="reflect")
        return self.mel @ functional.conv1d(mirrored, self.dft, stride=self.hop).square()


class WhisperLogMel(nn.Module):
    """float32 [batch, any] in [-1, 1] -> [batch, mels, samples // hop], about -1 to 1.5.

    As WhisperFeatureExtractor makes it of each clip, padded with zeros or cut to `samples`: log10,
    at most 8 under the clip's maximum (Radford et al., arXiv 2212.04356, 2.2).
    """

    def __init__(self, samples: int, frame: int, hop: int, mel: NDArray[np.floating]) -> None:
        super().__init__()
        self.samples = samples
        self.mel = MelPower(frame, hop, mel)

    def forward(self, audio: Tensor) -> Tensor:
        """The last frame is dropped before the maximum is taken, as in the original."""
        heard = functional.pad(audio, (0, self.samples))[:, : self.samples]
        level = self.mel(heard)[:, :, :-1].clamp_min(FLOOR).log10()
        return (torch.maximum(level, level.amax((1, 2), keepdim=True) - 8) + 4) / 4
