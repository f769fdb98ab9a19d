"""Windows: recordings as the network hears them, cut and padded to one length."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from export.labels import window_s as told_by
from export.training.finetuning.audio import Clip
from kws.flow import Samples

KEPT_BYTES = 512 << 20
"""Of decoded recordings; what lies beyond is decoded at every epoch."""
TOLD_EVERY_S = 15.0
LEAST_S = 0.5
SHARE = 95
"""Percent of the recordings that fit into the window, unless a few are much longer than most."""
GAIN_DB = 6.0
FLOOR_DB = (-90.0, -50.0)
"""In training a window's level varies by the one, and noise of the other (dBFS) lies under it:
else digital zeros, with which short recordings are padded, would tell what was said."""


class Recordings:
    """Clips at `rate` Hz; decoded once, and kept as far as memory allows."""

    def __init__(self, clips: Sequence[Clip], rate: int) -> None:
        self.clips, self.rate = clips, rate
        self._kept: dict[int, Samples] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, number: int) -> Samples:
        """Return one: float32 [n]. Raises DataError, with its name."""
        if (found := self._kept.get(number)) is not None:
            return found
        audio = self.clips[number].audio.read(self.rate)
        if self._bytes + audio.nbytes <= KEPT_BYTES:
            self._kept[number] = audio
            self._bytes += audio.nbytes
        return audio

    def survey(self, say: Callable[[str], None]) -> list[int]:
        """Read all once, so that a bad one is told now; return their lengths in samples."""
        lengths, told = [], time.monotonic()
        for number in range(len(self)):
            lengths.append(len(self[number]))
            if time.monotonic() - told > TOLD_EVERY_S:
                told = time.monotonic()
                say(f"read {number + 1} of {len(self)} recordings")
        return lengths


def choose(lengths: Sequence[int], labels: Sequence[str], rate: int, asked: float | None) -> int:
    """Return the window in samples: as asked, as such labels are long, or as recordings are."""
    if seconds := asked or told_by(labels):
        return round(seconds * rate)
    found = min(np.percentile(lengths, SHARE), 2 * np.median(lengths)) / rate
    return round(max(LEAST_S, float(np.ceil(10 * found)) / 10) * rate)


class Windows(torch.utils.data.Dataset[dict[str, Any]]):
    """Recordings as windows of one length, with the number of their label.

    Evaluating hears a recording from its start. Training cuts anywhere, pads on both sides, and
    varies the level; by seed, epoch and number, so that a run that goes on does the same.
    """

    def __init__(
        self, recordings: Recordings, order: Sequence[str], window: int, seed: int | None = None
    ) -> None:
        self.recordings, self.window, self.seed, self.epoch = recordings, window, seed, 0
        numbers = {label: number for number, label in enumerate(order)}
        self.targets = [numbers[clip.label] for clip in recordings.clips]

    def __len__(self) -> int:
        return len(self.recordings)

    def __getitem__(self, number: int) -> dict[str, Any]:
        """Return `audio`, float32 [window], and `label`."""
        audio = self.recordings[number]
        if self.seed is None:
            heard = np.pad(audio[: self.window], (0, max(0, self.window - len(audio))))
        else:
            heard = self._varied(audio, np.random.default_rng((self.seed, self.epoch, number)))
        return {"audio": heard, "label": self.targets[number]}

    def _varied(self, audio: Samples, rng: np.random.Generator) -> Samples:
        before = int(rng.integers(0, abs(self.window - len(audio)) + 1))
        if len(audio) >= self.window:
            heard = audio[before : before + self.window]
        else:
            heard = np.pad(audio, (before, self.window - len(audio) - before))
        gain, floor = (
            10 ** (rng.uniform(-GAIN_DB, GAIN_DB) / 20),
            10 ** (rng.uniform(*FLOOR_DB) / 20),
        )
        noise = rng.standard_normal(self.window, np.float32)
        varied: Samples = (heard * np.float32(gain) + noise * np.float32(floor)).clip(-1, 1)
        return varied


class Features:
    """What makes a batch of windows: the checkpoint's own feature extractor."""

    def __init__(self, extractor: Any) -> None:
        self.extractor = extractor

    def __call__(self, windows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Return the tensors that the network takes, and `labels` [batch]."""
        rate = self.extractor.sampling_rate
        audio = [window["audio"] for window in windows]
        found = dict(self.extractor(audio, sampling_rate=rate, return_tensors="pt"))
        return {**found, "labels": torch.tensor([window["label"] for window in windows])}
