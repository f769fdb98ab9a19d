"""The voice detector of WebRTC: Gaussian mixtures over six bands, 2 µs a frame."""

from __future__ import annotations

import numpy as np
import webrtcvad

from kws.errors import ConfigError
from kws.flow import Samples

RATES = (8_000, 16_000, 32_000, 48_000)
TAPS = 16
"""Samples on either side, at the lower rate, from which one is made of another rate's: 1 or 2 ms,
which is no delay."""
_FULL_SCALE = np.float32(32_768)
_HIGHEST = np.float32(32_767 / 32_768)


class Detector:
    """Frames of 20 ms. mode: 0 (lets most through) to 3 (least)."""

    tells_voice = True

    def __init__(self, rate: int, mode: int = 2) -> None:
        if not hears(rate):
            raise ConfigError(f"gate webrtc can't hear {rate} Hz, as the model does; use gate none")
        if mode not in (0, 1, 2, 3):
            raise ConfigError(f"gate webrtc has modes 0 to 3, not {mode}")
        self.frame = rate // 50
        self._mode, self._rate = mode, rate
        self._conversion: _Conversion | None = None
        if rate not in RATES:
            self._rate = RATES[1] if rate > RATES[1] else RATES[0]
            self._conversion = _Conversion(rate, self._rate)
        size = self._rate // 50
        self._scaled, self._pcm = np.zeros(size, np.float32), np.zeros(size, np.int16)
        self._bytes = self._pcm.data.cast("B")
        self.reset()

    def reset(self) -> None:
        """Forget the noise that it has adapted to."""
        self._vad = webrtcvad.Vad(self._mode)
        if self._conversion is not None:
            self._conversion.reset()

    def voiced(self, frame: Samples, /) -> bool:
        """Return whether there is voice in the next frame, float32 [frame]."""
        if self._conversion is not None:
            frame = self._conversion.process(frame)
        # Only a frame with a sum of squares of 1 or more can hold a sample of full scale or more.
        if frame.dot(frame) >= 1:
            frame = np.clip(frame, -1, _HIGHEST)
        np.multiply(frame, _FULL_SCALE, out=self._scaled)
        self._pcm[:] = self._scaled
        return bool(self._vad.is_speech(self._bytes, self._rate, len(self._pcm)))


def hears(rate: int) -> bool:
    """Whether it can tell voice at such a rate, in Hz: 20 ms are a whole number of samples."""
    return rate % 50 == 0 and rate >= RATES[0]


class _Conversion:
    """Frames of 20 ms at one rate become frames at a lower one; each sample is a windowed sinc's.

    soxr's own delay varies from frame to frame, by more than a frame.
    """

    def __init__(self, rate: int, lower: int) -> None:
        ratio, self._size = rate / lower, rate // 50
        taps = round(TAPS * ratio)
        at = taps + np.arange(lower // 50)[:, None] * ratio
        distance = np.arange(self._size + 2 * taps)[None] - at
        kernel = np.sinc(distance / ratio) * np.cos(np.pi * distance / (2 * taps + 2)) ** 2
        kernel[np.abs(distance) > taps] = 0
        self._kernel = (kernel / kernel.sum(1, keepdims=True)).astype(np.float32)
        self._heard = np.zeros(self._kernel.shape[1], np.float32)

    def reset(self) -> None:
        """Forget everything heard so far."""
        self._heard[:] = 0

    def process(self, frame: Samples) -> Samples:
        """Return the next frame at the lower rate."""
        self._heard[: -self._size] = self._heard[self._size :]
        self._heard[-self._size :] = frame
        converted: Samples = self._kernel @ self._heard
        return converted
