"""The voice detector of WebRTC: Gaussian mixtures over six bands, 2 µs a frame."""

from __future__ import annotations

import numpy as np
import webrtcvad

from kws.errors import ConfigError
from kws.flow import Samples

RATES = (8_000, 16_000, 32_000, 48_000)
_FULL_SCALE = np.float32(32_768)
_HIGHEST = np.float32(32_767 / 32_768)


class Detector:
    """Frames of 20 ms. mode: 0 (lets most through) to 3 (least)."""

    tells_voice = True

    def __init__(self, rate: int, mode: int = 2) -> None:
        if rate not in RATES:
            raise ConfigError(f"gate webrtc hears {RATES} Hz, the model {rate} Hz; use gate none")
        if mode not in (0, 1, 2, 3):
            raise ConfigError(f"gate webrtc has modes 0 to 3, not {mode}")
        self.frame = rate // 50
        self._rate, self._mode = rate, mode
        self._scaled = np.zeros(self.frame, np.float32)
        self._pcm = np.zeros(self.frame, np.int16)
        self._bytes = self._pcm.data.cast("B")
        self.reset()

    def reset(self) -> None:
        """Forget the noise that it has adapted to."""
        self._vad = webrtcvad.Vad(self._mode)

    def voiced(self, frame: Samples, /) -> bool:
        """Return whether there is voice in the next frame, float32 [frame]."""
        # Only a frame with a sum of squares of 1 or more can hold a sample of full scale or more.
        if frame.dot(frame) >= 1:
            frame = np.clip(frame, -1, _HIGHEST)
        np.multiply(frame, _FULL_SCALE, out=self._scaled)
        self._pcm[:] = self._scaled
        return bool(self._vad.is_speech(self._bytes, self._rate, self.frame))
