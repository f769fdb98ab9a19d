"""Where a word lies in a clean clip: the truth that events are held against."""

from __future__ import annotations

import numpy as np

from kws.flow import Samples
from kws.levels import frames_db

FRAME_S = 0.01
BELOW_LOUDEST_DB = 15.0
ABOVE_FLOOR_DB = 6.0


def word_bounds(clip: Samples, rate: int) -> tuple[int, int] | None:
    """Return first and past-the-last sample of the word in `clip` (float32 [n], `rate` in Hz).

    They are the first and the last 10 ms frame within 15 dB of the clip's loudest and 6 dB
    over its quietest tenth. None where no such floor exists: nothing stands 6 dB out, or the
    bounds would be the clip's own because it is loud throughout.
    """
    frame = round(FRAME_S * rate)
    count = len(clip) // frame
    if count < 2:
        return None
    level = frames_db(clip, frame)
    floor = np.sort(level)[: max(1, count // 10)].mean() + ABOVE_FLOOR_DB
    active = np.flatnonzero((level >= level.max() - BELOW_LOUDEST_DB) & (level >= floor))
    if level.max() < floor or not len(active) or len(active) == count:
        return None
    return int(active[0]) * frame, (int(active[-1]) + 1) * frame
