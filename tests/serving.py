"""What the tests of the daemon's parts share: time, and microphones by hand."""

import numpy as np
from models import RATE

from kws.flow import Block, DigitalSilence

PATIENCE_S = 30
"""How long a busy machine may take for what is done at once."""


class Clock:
    """Time by hand, in place of the module `time` too."""

    def __init__(self, now=1_000.0):
        self.now = now

    def __call__(self):
        return self.now

    monotonic = __call__

    def time(self):
        return self.now


def says():
    """Return a list, and what writes lines into it."""
    lines = []
    return lines, lambda level, text: lines.append((level, text))


class Fake:
    """One life of a microphone by hand.

    script: audio, seconds in which nothing comes, what the device notices, an error. It ends
    when told to, else with its script.
    """

    live = True

    def __init__(self, clock, script, rate=RATE, ended=lambda: None):
        self.rate, self.closed = rate, False
        self._clock, self._script, self._ended = clock, script, ended
        self._noticed = []

    def __iter__(self):
        at = 0
        for step in self._script:
            if self.closed:
                return
            if isinstance(step, Exception):
                raise step
            if isinstance(step, DigitalSilence):
                self._noticed.append(step)
            elif isinstance(step, np.ndarray):
                self._clock.now += len(step) / self.rate
                yield Block(step, at, self.rate, wall_time=5.0)
                at += len(step)
            else:
                self._clock.now += step
        self._ended()

    def poll_events(self):
        noticed, self._noticed = self._noticed, []
        return noticed

    def close(self):
        self.closed = True
