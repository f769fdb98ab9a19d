"""Resampler: any rate, the chosen channel -> mono float32 at one rate."""

from __future__ import annotations

import math
import warnings
from functools import lru_cache
from typing import Literal, TypeAlias

import numpy as np
import soxr

from kws.errors import AudioError, ConfigError, KwsWarning
from kws.flow import Block, Samples
from kws.mixing import Mixing, mix

Channel: TypeAlias = int | Literal["mean"] | None
"""Which channel to hear: None, the mean of up to two, else the first; a number from 1; the mean."""

QUALITY = "HQ"
FAR_OVER = 100.0
"""Mean square (20 dB over full scale) that no recording in [-1, 1] comes near."""
_NOTHING = np.zeros(0, np.float32)


class NotFiniteError(AudioError):
    """Samples that are NaN, infinite, or too large to be squared."""


class Resampler:
    """Blocks [n] or [n, channels] at any rate in; mono blocks at `rate_out` out.

    Equal rates pass through without delay. Where audio was lost, or the rate changes, the old
    stream's tail comes out first; the new stream begins ahead of the tail's end, so that every
    later stage sees a jump too.
    """

    def __init__(self, rate_out: int, *, channel: Channel = None) -> None:
        if isinstance(channel, int) and channel < 1:
            raise ConfigError(f"channel {channel} does not exist; the first channel is 1")
        self._rate_out, self._channel = rate_out, channel
        self._warned: set[str] = set()
        self.reset()

    def reset(self) -> None:
        """Forget everything heard so far."""
        self._rate = 0
        self._expected: int | None = None
        self._out = -1  # end of the output so far; nothing yet
        self._shift = 0
        self._stream: soxr.ResampleStream | None = None
        self._mixing = Mixing()
        self.power = 0.0
        """Mean square of the last block, before resampling."""

    def jump(self) -> None:
        """Treat the next block as one after lost audio, wherever it begins."""
        self._expected, self._stream = None, None

    def flush(self) -> list[Block]:
        """Return the tail of a source that has ended; the next block begins a new stream."""
        tail = self._tail()
        self.jump()
        return tail

    @property
    def latency(self) -> int:
        """How far the output may lie behind the input, in samples of the output rate."""
        return self.latency_at(self._rate) if self._rate else 0

    def latency_at(self, rate: int) -> int:
        """Return the same for input at `rate` Hz."""
        return _lag(rate, self._rate_out)

    def process(self, block: Block) -> list[Block]:
        """Return what became ready.

        Raises NotFiniteError, AudioError: no usable shape; such a block leaves no trace.
        """
        begins = block.start != self._expected or block.rate != self._rate
        with np.errstate(all="ignore"):  # what overflows is found right here
            mono, mixing = self._mono(block, Mixing() if begins else self._mixing)
            power = float(mono.dot(mono)) / max(1, len(mono))
        if not math.isfinite(power):
            at = block.start / block.rate
            raise NotFiniteError(f"the audio at {at:.2f} s has NaN or infinite samples")
        self._check(power, mixing)
        self.power, self._mixing = power, mixing
        out = self._begin(block) if begins else []
        self._expected = block.end
        if self._stream is not None:
            # As [n, 1], for what soxr does to [n] in Python costs as much as to resample it.
            samples: Samples = self._stream.resample_chunk(mono[:, np.newaxis])[:, 0]
            return out + self._emit(samples, block)
        self._out = block.end + self._shift
        if mono is not block.samples or self._shift:
            block = Block(mono, block.start + self._shift, block.rate, block.wall_time)
        out.append(block)
        return out

    def _begin(self, block: Block) -> list[Block]:
        """Start a stream at a block; return the old one's tail."""
        tail = self._tail()
        exact = round(block.start * self._rate_out / block.rate)
        start = max(exact, self._out + 1) if self._out >= 0 else exact
        self._rate, self._stream, self._shift = block.rate, None, 0
        if block.rate == self._rate_out:
            self._shift = start - block.start
        else:
            self._out = start
            self._stream = soxr.ResampleStream(
                block.rate, self._rate_out, 1, dtype="float32", quality=QUALITY
            )
        return tail

    def _tail(self) -> list[Block]:
        if self._stream is None:
            return []
        return self._emit(self._stream.resample_chunk(_NOTHING, last=True), None)

    def _emit(self, samples: Samples, block: Block | None) -> list[Block]:
        if not len(samples):
            return []
        wall = None
        if block is not None and block.wall_time is not None:
            wall = block.wall_time + self._out / self._rate_out - block.start / block.rate
        out = Block(samples, self._out, self._rate_out, wall)
        self._out = out.end
        return [out]

    def _mono(self, block: Block, mixing: Mixing) -> tuple[Samples, Mixing]:
        samples = block.samples
        if samples.ndim == 1:
            if self._channel not in (None, 1, "mean"):
                raise AudioError(f"there is no channel {self._channel}: the audio is mono")
            return samples, mixing
        if samples.ndim != 2 or not samples.shape[1]:
            raise AudioError(f"audio of shape {samples.shape}; give [n] or [n, channels]")
        count = samples.shape[1]
        if isinstance(self._channel, int):
            if self._channel > count:
                raise AudioError(f"there is no channel {self._channel}: the audio has {count}")
            return np.ascontiguousarray(samples[:, self._channel - 1]), mixing
        if count == 1 or (count > 2 and self._channel is None):
            return np.ascontiguousarray(samples[:, 0]), mixing
        return mix(samples, block.rate, mixing)

    def _check(self, power: float, mixing: Mixing) -> None:
        """Warn, once each, of audio that is there and can't be understood."""
        if power > FAR_OVER:
            self._warn(
                "the samples lie far outside [-1, 1]: no word will be heard; give int16 as int16, "
                "or divide float samples by 32768"
            )
        if mixing.only is not None:
            self._warn(
                "the channels cancel each other out (opposite phase): "
                f"only channel {mixing.only + 1} is heard; --channel takes another"
            )

    def _warn(self, text: str) -> None:
        if text not in self._warned:
            self._warned.add(text)
            warnings.warn(text, KwsWarning, stacklevel=2)


@lru_cache
def _lag(rate_in: int, rate_out: int) -> int:
    """Return the longest that soxr's output is behind, in output samples.

    Its filters are fed by the burst, and their delay is not told in advance: listen to it.
    """
    if rate_in == rate_out:
        return 0
    stream = soxr.ResampleStream(rate_in, rate_out, 1, dtype="float32", quality=QUALITY)
    step, ratio = 16, rate_out / rate_in
    silence = np.zeros(step, np.float32)
    behind, worst = 0.0, 0.0
    for _ in range(rate_in // 4 // step):
        behind += step * ratio - len(stream.resample_chunk(silence))
        worst = max(worst, behind)
    return math.ceil(worst + step * ratio)
