"""TensorFlow: the four figures of its streaming test, as that tool counts them.

tensorflow/examples/speech_commands has `test_streaming_accuracy.py`, `recognize_commands.py` and
`accuracy_utils.py`. What they do is kept to the letter, so that figures can be compared:

- A command fires only if it is not the one that fired last: the same word twice is heard once,
  until another label (silence is one) has passed the threshold in between. At the start the last
  one is silence.
- Only a command that follows another than silence is suppressed for a while.
- Time is where a window of a second begins, in whole milliseconds; a word may be as long before
  or after it as the tolerance.
- An event belongs to the earliest word within the tolerance, whatever was said and whether or not
  it is taken: an event for a word that is taken is wrong, and it counts as matched too, so that
  more than 100 % can be. Words at the same millisecond are taken together.
- All figures are shares of the words.

Its C++ twin has other defaults and counts matched words once; this is the Python.
Our own figures, one event to one word, are `match.match`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kws.errors import ConfigError, DataError
from kws.evaluate.corpus.clipset import canonical
from kws.evaluate.protocols import SILENCE, UNKNOWN
from kws.evaluate.tracks import Track
from kws.evaluate.truthfile import Truth, read_truth

Command = tuple[str, int]
"""A label, and when it was said or fired: milliseconds."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The tool's options, with its defaults. Milliseconds, but threshold (0..1) and count."""

    clip_ms: int = 1000
    stride_ms: int = 30
    average_ms: int = 500
    threshold: float = 0.7
    suppression_ms: int = 500
    minimum_count: int = 4
    tolerance_ms: int = 1500


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts: words that were said; events that matched a word, were right, wrong, or neither."""

    words: int
    matched: int
    correct: int
    wrong: int
    false_positives: int

    def __str__(self) -> str:
        """The tool's line."""
        if not self.words:
            return f"No ground truth yet, {self.false_positives}false positives"
        matched, correct, wrong, false = (
            f"{count / self.words * 100:.1f}%"
            for count in (self.matched, self.correct, self.wrong, self.false_positives)
        )
        return f"{matched} matched, {correct} correct, {wrong} wrong, {false} false positive"


def figures(
    track: Track,
    labels: Sequence[str],
    said: Sequence[Command],
    settings: Settings = Settings(),
) -> Figures:
    """Return the four figures of a recording.

    labels: of the track's columns. said: see `read_words`. Raises ConfigError: clip or stride is
    shorter than a sample.
    """
    return count(fired(track, labels, settings), said, settings.tolerance_ms)


def read_words(path: Path, labels: Sequence[str]) -> list[Command]:
    """Return what was said, in order: from a truth file of ours (.json), or from the tool's text.

    The text has lines of a word, a comma, milliseconds; other lines are passed over, times are
    rounded to whole ones. Our truth's times are where words start; a word that `labels` lacks is
    `_unknown_` where they have that.
    Raises DataError: unreadable, or a time that is no number.
    """
    if path.suffix.lower() == ".json":
        return from_truth(read_truth(path), labels)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: can't be read ({error})") from None
    said = []
    for number, line in enumerate(lines, 1):
        parts = line.strip().split(",")
        if len(parts) == 2:
            try:
                said.append((parts[0], round(float(parts[1]))))
            except (ValueError, OverflowError):
                raise DataError(
                    f"{path}, line {number}: {parts[1].strip()!r} is no time in milliseconds"
                ) from None
    return sorted(said, key=lambda command: command[1])


def from_truth(truth: Truth, labels: Sequence[str]) -> list[Command]:
    """Return a truth's words as the tool would list them; see `read_words`."""
    named = {canonical(label) for label in labels}
    said = [
        (UNKNOWN if word.label not in named and UNKNOWN in named else word.label, word.start_s)
        for word in truth.words
    ]
    return [(label, round(start_s * 1000)) for label, start_s in said]


def fired(
    track: Track,
    labels: Sequence[str],
    settings: Settings = Settings(),
) -> list[Command]:
    """Return the commands that fire as a window moves along, and where it began then."""
    names = [canonical(label) for label in labels]
    begins, hops = _windows(track, settings)
    last, last_ms, oldest = SILENCE, 0, 0
    found = []
    for newest, now in enumerate(begins):
        while begins[oldest] < now - settings.average_ms:
            oldest += 1
        many = newest - oldest + 1
        if many < settings.minimum_count or now - begins[oldest] < settings.average_ms / 4:
            continue
        scores = track.values[hops[oldest : newest + 1]].astype(np.float64)
        average = np.sum(scores / many, axis=0)
        top = int(np.argmax(average))
        suppressed = last != SILENCE and now - last_ms <= settings.suppression_ms
        if average[top] > settings.threshold and names[top] != last and not suppressed:
            last, last_ms = names[top], now
            if last != SILENCE:
                found.append((last, now))
    return found


def count(events: Sequence[Command], said: Sequence[Command], tolerance_ms: int) -> Figures:
    """Count events, in order of time, against words."""
    said = sorted(said, key=lambda word: word[1])
    taken: list[int] = []
    correct = wrong = false_positives = 0
    for label, time in events:
        near = next((word for word in said if abs(word[1] - time) <= tolerance_ms), None)
        if near is None:
            false_positives += 1
            continue
        if near[0] == label and near[1] not in taken:
            correct += 1
        else:
            wrong += 1
        taken.append(near[1])
    return Figures(len(said), len(taken), correct, wrong, false_positives)


def _windows(track: Track, settings: Settings) -> tuple[list[int], NDArray[np.int64]]:
    """Return where each window begins, in ms, and the hop whose scores are known at its end.

    That is the last that has ended by then, the first one where none has.
    """
    clip = int(settings.clip_ms * track.rate / 1000)
    stride = int(settings.stride_ms * track.rate / 1000)
    if clip < 1 or stride < 1:
        raise ConfigError("clip and stride must last a sample at least")
    starts = np.arange(0, track.samples - clip, stride, dtype=np.int64)
    begins = [int(start * 1000 / track.rate) for start in starts.tolist()]
    return begins, np.maximum((starts + clip) // track.hop - 1, 0)
