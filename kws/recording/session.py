"""Session: a word is asked for at a microphone until there are enough good recordings of it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np

from kws.errors import DataError
from kws.evaluate.tuning.prompted import PAUSE_S, SETTLE_S, next_block, wait_for_word
from kws.evaluate.tuning.spoken import FULL_SCALE
from kws.flow import Block, Samples
from kws.recording.shelf import Shelf
from kws.recording.take import FAULTS, MARGIN_S, Said, Take, is_quiet, judge, words
from kws.recording.told import Told
from kws.resample import Channel, Resampler
from kws.terminal.levels import level_db

if TYPE_CHECKING:
    from kws.sources import Source

AFTER_S = 0.7
"""So much quiet ends a word."""
LEAD_S = MARGIN_S
"""Heard from before the prompt: some are quick."""
LOOK_S = 0.12
"""How often what was heard so far is looked at."""
TRIES = 10
"""So many tries in a row may be no good; then nobody is there, or something is broken."""


class Session:
    """A conversation at a microphone. channel: what of it is kept; one or two are averaged.

    made, refused: takes that were good, and that were not.
    """

    def __init__(self, source: Source, channel: Channel, shelf: Shelf, told: Told) -> None:
        self._source, self._blocks = source, iter(source)
        self._channel = channel
        self._mono = Resampler(source.rate, channel=channel)
        self._shelf, self._told = shelf, told
        self._end: int | None = None
        self._recent: list[Take] = []
        self.made = self.refused = 0

    def record(self, count: int) -> None:
        """Ask until there are `count` good recordings.

        Raises DataError: too many tries in a row were no good, or nothing can be written.
        DeviceError: the microphone was lost. What was written before stays.
        """
        self._wait(SETTLE_S)
        in_a_row = 0
        while self.made < count:
            self._wait(random.uniform(*PAUSE_S))
            self._told.ask(self.made + 1, count)
            found = judge(self._hear())
            if isinstance(found, Said):
                path = self._shelf.add(found.audio, found.rate)
                self.made, in_a_row = self.made + 1, 0
                self._told.kept(path, found, self.made, count)
                continue
            self.refused, in_a_row = self.refused + 1, in_a_row + 1
            self._told.again(found)
            if in_a_row == TRIES:
                raise DataError(
                    f"{TRIES} tries in a row were no good (the last: {FAULTS[found]}); "
                    "`kws doctor` looks at the microphone; what was made is kept"
                )

    def _hear(self) -> Take:
        """Hear until a word has ended, or nobody says one."""
        rate = self._source.rate
        self._recent = self._lead()

        def ended(passed: float) -> bool | None:
            audio = _joined(self._recent).audio
            found = words(audio, rate)
            if not found or is_quiet(audio, rate):
                return None  # what is too quiet may be a breath: the word may still come
            return len(audio) >= found[-1][1] + AFTER_S * rate

        wait_for_word(lambda: len(self._next().audio) / rate, ended, every_s=LOOK_S)
        return _joined(self._recent)

    def _lead(self) -> list[Take]:
        """Return what was heard last, LEAD_S of it."""
        before = _joined(self._recent)
        return [Take(before.audio[-round(LEAD_S * before.rate) :], before.rate)]

    def _wait(self, seconds: float) -> None:
        self._recent, wanted = [], seconds * self._source.rate
        while wanted > 0:
            wanted -= len(self._next().audio)

    def _next(self) -> Take:
        """Hear a block: mono, at the microphone's own rate."""
        block = next_block(self._blocks)
        self._source.poll_events()
        lost = self._end not in (None, block.start)
        self._end = block.end
        audio = np.concatenate([each.samples for each in self._mono.process(block)])
        piece = Take(audio, block.rate, self._clipped(block), lost)
        self._recent.append(piece)
        self._told.level(level_db(audio[:, None])[0])
        return piece

    def _clipped(self, block: Block) -> int:
        samples: Samples = block.samples
        if isinstance(self._channel, int) and samples.ndim > 1:
            samples = samples[:, self._channel - 1]
        return int((np.abs(samples) >= FULL_SCALE).sum())


def _joined(pieces: list[Take]) -> Take:
    return Take(
        np.concatenate([piece.audio for piece in pieces]),
        pieces[0].rate,
        sum(piece.clipped for piece in pieces),
        any(piece.lost for piece in pieces),
    )
