"""Where a detected word lies: its end by the last voice in the hop that peaked."""

from __future__ import annotations

import numpy as np

from kws.flow import Samples
from kws.gate import Gate
from kws.levels import power_db

WITHIN = 10 ** (-15 / 10)
"""Without a gate that tells voice: frames within 15 dB of the loudest count as voice."""
FRAME_S = 0.01


class Locator:
    """Places words in what a gate has heard.

    window: the audio, in samples, that a keyword's score depends on; length: how long people
    take to say it, in samples; both by keyword.
    """

    def __init__(
        self, gate: Gate, rate: int, window: dict[str, int], length: dict[str, int]
    ) -> None:
        self._gate, self._frame = gate, round(FRAME_S * rate)
        self._window, self._length = window, length

    def __call__(self, keyword: str, peak: int, after: int) -> tuple[int, int]:
        """Return the keyword's start and end.

        peak: end of the hop whose score peaked. after: where the last word ended; this one
        neither begins nor ends before.
        """
        gate = self._gate
        oldest = max(after, gate.since)
        runs = self._voiced(max(peak - self._window[keyword], oldest), peak)
        end = runs[-1][1] if runs else peak
        if end <= oldest:
            end = gate.heard
        start = max(end - self._length[keyword], oldest)
        onsets = [begin for begin, _ in self._voiced(start, end) if begin > start]
        return (onsets[0] if onsets else start), end

    def level_db(self, start: int, end: int) -> float:
        """Return the RMS level of [start, end) in dBFS, -120 at least."""
        samples = self._gate.ring.view(max(start, self._gate.since), end)
        return power_db(float(samples.dot(samples)) / max(1, len(samples)))

    def _voiced(self, start: int, end: int) -> list[tuple[int, int]]:
        if end <= start:
            return []
        if self._gate.detector.tells_voice:
            return self._gate.voiced(start, end)
        return _loud(self._gate.ring.view(start, end), start, self._frame)


def _loud(samples: Samples, start: int, size: int) -> list[tuple[int, int]]:
    """Return the runs of frames within 15 dB of the loudest."""
    count = len(samples) // size
    if not count:
        return []
    power = np.square(samples[: count * size]).reshape(count, size).mean(axis=1)
    loud = np.concatenate([[False], power >= max(power.max() * WITHIN, 1e-12), [False]])
    edges = start + size * np.flatnonzero(loud[1:] != loud[:-1])
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]
