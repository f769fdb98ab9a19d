"""CLAP's front end: a clip repeated until it fills the time, in dB per mel."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from export.frontends.whisper import FLOOR, MelPower

Padding = Literal["repeatpad", "repeat", "pad"]
"""Whole repetitions and then zeros, repetitions to the end, or zeros alone."""


class ClapLogMel(nn.Module):
    """float32 [batch, any] in [-1, 1] -> [batch, 1, 1 + samples // hop, mels] in dB.

    As ClapFeatureExtractor makes it of clips up to `samples`; of longer ones the first `samples`
    are heard, where the original draws a place.
    """

    def __init__(
        self, samples: int, frame: int, hop: int, mel: NDArray[np.floating], padding: Padding
    ) -> None:
        super().__init__()
        self.samples, self.padding = samples, padding
        self.mel = MelPower(frame, hop, mel)

    def forward(self, audio: Tensor) -> Tensor:
        """Return the one channel of a network without fusion."""
        level: Tensor = 10 * self.mel(self.filled(audio)).clamp_min(FLOOR).log10()
        return level.transpose(1, 2)[:, None]

    def filled(self, audio: Tensor) -> Tensor:
        """Return [batch, samples]. The number of repetitions is a part of the graph."""
        heard = audio[:, : self.samples]
        if self.padding != "pad":
            times = self.samples // heard.shape[1]  # at least 1, after the cut
            heard = heard.repeat(1, times if self.padding == "repeatpad" else times + 1)
        return functional.pad(heard, (0, self.samples))[:, : self.samples]
