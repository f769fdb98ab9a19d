"""What flows through the chain: blocks in, scores between, events out; and what a stage is."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from kws.errors import AudioError

if TYPE_CHECKING:
    from kws.capture import Capture

Samples: TypeAlias = NDArray[np.float32]

RATES = range(1_000, 384_001)
"""Hz of audio that can be heard, wherever it comes from. Whatever a header claims beyond that
would cost time or memory without end."""
MOST_CHANNELS = 1_024

Item = TypeVar("Item", contravariant=True)
Out = TypeVar("Out")


class Stage(Protocol[Item, Out]):
    """One step of the chain. `reset()` makes it as good as new."""

    @property
    def latency(self) -> int:
        """How far, in samples of its output rate, the output may lie behind the input."""

    def process(self, item: Item, /) -> list[Out]:
        """Take one item; return what became ready, in order."""

    def reset(self) -> None:
        """Forget everything heard so far."""


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Consecutive audio: what a source delivers.

    samples: float32 in [-1, 1], [n] mono, or [n, channels] before the resampler.
    start: absolute index of the first sample, at `rate`. A start ahead of the last block's
        end is a jump: audio in between was lost or withheld.
    rate: Hz.
    wall_time: seconds since the epoch of the first sample, None where there is no clock.
    """

    samples: Samples
    start: int
    rate: int
    wall_time: float | None = None

    @property
    def end(self) -> int:
        """Absolute index one past the last sample."""
        return self.start + len(self.samples)


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """One hop's probabilities.

    values: float32 [labels], each in [0, 1], straight from the model (not smoothed).
    start, end: absolute samples of the hop that was pushed in; scores belong to `end` minus
        the model's `latency`.
    rate: Hz. model: which of the spotter's models, counted from 0.
    smoothed: float32 [labels], what is compared with the thresholds: the smoothed scores, those
        of verified keywords joined with the verifier's. None: nothing was smoothed yet.
    """

    values: Samples
    start: int
    end: int
    rate: int
    model: int = 0
    smoothed: Samples | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Detection:
    """A keyword was heard.

    score: the score that was compared with `threshold`, both 0..1: smoothed, and where a
        verifier judges the keyword, joined with its score.
    start_s, end_s: where in the audio the word lies; time_s: the audio clock when it was
        known. All in seconds from the stream's start; start, end, time: the same in samples
        at `rate`.
    level_db: the word's RMS level in dBFS.
    audio: float32 [n], the word with its pre-roll, up to `end`.
    audio_start: absolute sample of `audio[0]`, at `rate`.
    wall_time: seconds since the epoch at `time_s`; None for files.
    phrase: how the keyword is spoken. model: the name of the model that knows it.
    """

    keyword: str
    score: float
    threshold: float
    start: int
    end: int
    time: int
    rate: int
    level_db: float
    audio: Samples
    audio_start: int
    role: str = "keyword"
    wall_time: float | None = None
    phrase: str = ""
    model: str = ""

    @property
    def start_s(self) -> float:
        """Where the word begins, in seconds of audio."""
        return self.start / self.rate

    @property
    def end_s(self) -> float:
        """Where the word ends, in seconds of audio."""
        return self.end / self.rate

    @property
    def time_s(self) -> float:
        """When the word was known, in seconds of audio."""
        return self.time / self.rate


@dataclass(frozen=True, slots=True)
class AudioLost:
    """Audio between two blocks never arrived, or was dropped by the source to catch up."""

    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class GateChanged:
    """The gate opened or closed."""

    open: bool
    time_s: float


@dataclass(frozen=True, slots=True)
class KeywordStuck:
    """A score stayed high for so long that its role was armed again without this keyword."""

    keyword: str
    time_s: float


@dataclass(frozen=True, slots=True)
class VerifierFailed:
    """A verifier's call failed, and why; told once. Meanwhile the first stage decides alone."""

    reason: str
    time_s: float


@dataclass(frozen=True, slots=True)
class DigitalSilence:
    """The device began (or ceased) to deliver nothing but zeros: muted, or broken."""

    silent: bool
    time_s: float


@dataclass(frozen=True, slots=True)
class Captured:
    """A capture is done: nothing is added to it any more. time_s: where its audio ends."""

    capture: Capture
    time_s: float


@dataclass(frozen=True, slots=True)
class VerifierStats:
    """What a verifier has done in one stream.

    candidates: stretches of audio in which it was asked; refused: those that gave no event;
    verified: events that it agreed to. calls: that were made; failures: of these, that failed;
    skipped: that the limit of calls kept from being made.
    """

    candidates: int = 0
    verified: int = 0
    refused: int = 0
    calls: int = 0
    skipped: int = 0
    failures: int = 0

    def __add__(self, other: VerifierStats) -> VerifierStats:
        return VerifierStats(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def __sub__(self, other: VerifierStats) -> VerifierStats:
        return VerifierStats(*(a - b for a, b in zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True, slots=True)
class Stats:
    """What a spotter has done since it was made or reset. Seconds of audio.

    verifier: None where there is none.
    """

    audio_s: float
    open_s: float
    lost_s: float
    detections: int
    inferences: int
    verifier: VerifierStats | None = None


Event: TypeAlias = (
    Scores
    | Detection
    | AudioLost
    | GateChanged
    | KeywordStuck
    | VerifierFailed
    | DigitalSilence
    | Captured
)


def check_format(rate: int, channels: int = 1, *, where: str = "") -> None:
    """Raise AudioError where audio of this rate in Hz, or so many channels, can't be heard.

    where: what it is told of, the name of a file.
    """
    begin = f"{where}: " if where else ""
    if rate not in RATES:
        raise AudioError(
            f"{begin}{rate} Hz can't be heard; give audio of {RATES[0]} to {RATES[-1]} Hz"
        )
    if not 1 <= channels <= MOST_CHANNELS:
        raise AudioError(
            f"{begin}{channels} channels can't be heard; give audio of 1 to {MOST_CHANNELS}"
        )
