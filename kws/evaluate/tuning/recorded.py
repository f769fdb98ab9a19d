"""Recorded: words from label folders, a room from recordings, as the live chain hears them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from difflib import get_close_matches
from pathlib import Path

from kws.errors import AudioError, DataError
from kws.evaluate.corpus import speech_commands
from kws.evaluate.hearing import audio_files
from kws.evaluate.match import Word
from kws.evaluate.tuning.ear import Ear, Stretch, Utterance
from kws.evaluate.tuning.tune import LEAST
from kws.sources.file import AudioFile
from kws.terminal.progress import progress

STRETCH_S = 60.0
"""A room is kept in stretches of this length."""

Tell = Callable[[str], None]


def words_in(folder: Path, names: Sequence[str], *, named: bool) -> list[speech_commands.Clip]:
    """Return the recordings of these keywords, each in the folder of its name.

    named: the keywords were asked for, so that all must be there.
    Raises DataError: no such folder, no keyword in it, too few recordings of one.
    """
    there = speech_commands.labels(folder)
    missing = [name for name in names if name not in there]
    if missing and (named or len(missing) == len(names)):
        near = get_close_matches(missing[0], there, n=3, cutoff=0.5)
        hint = f"did you mean {', '.join(near)}?" if near else f"it has {', '.join(there)}"
        raise DataError(f"{folder}: no folder of {', '.join(missing)}; {hint}")
    clips = [clip for clip in speech_commands.clips(folder) if clip.label in names]
    _enough(folder, clips)
    return clips


def _enough(folder: Path, clips: Sequence[speech_commands.Clip]) -> None:
    for name, count in Counter(clip.label for clip in clips).items():
        if count < LEAST:
            raise DataError(
                f"{folder / name}: {count} recordings of it; its threshold takes {LEAST} at least"
            )


def hear_words(
    ear: Ear, folder: Path, clips: Sequence[speech_commands.Clip], tell: Tell
) -> list[Utterance]:
    """Return what is scored in recordings of one word each; tell of those that can't be read.

    Raises DataError: too few of one keyword could be read.
    """
    said, fine = [], []
    with progress("words", len(clips)) as advance:
        for clip in clips:
            try:
                seconds = sum(_hear(ear, clip.path))
            except AudioError as error:
                tell(str(error))
            else:
                said.append(Utterance(Word(clip.label, 0.0, seconds), ear.take()))
                fine.append(clip)
            advance()
    lost = {clip.label for clip in clips} - {clip.label for clip in fine}
    if lost:
        raise DataError(f"{folder}: no recording of {', '.join(sorted(lost))} could be read")
    _enough(folder, fine)
    return said


def hear_room(ear: Ear, paths: Sequence[Path], tell: Tell) -> list[Stretch]:
    """Return what is scored in recordings without keywords; tell of those that can't be read.

    Raises AudioError: nothing there. DataError: none could be read.
    """
    files = audio_files(paths)
    found: list[Stretch] = []
    reason = ""
    with progress("room", len(files)) as advance:
        for path in files:
            try:
                found += _stretches(ear, path)
            except AudioError as error:
                reason = str(error)
                tell(reason)
            advance()
    if not found:
        raise DataError(f"no recording of the room could be heard (the last: {reason})")
    return found


def _stretches(ear: Ear, path: Path) -> list[Stretch]:
    """Return a recording's stretches; a broken recording leaves none."""
    found, seconds = [], 0.0
    for more in _hear(ear, path):
        seconds += more
        if seconds >= STRETCH_S:
            found.append(ear.take(where=str(path), seconds=seconds))
            seconds = 0.0
    found.append(ear.take(where=str(path), seconds=seconds))
    return found


def _hear(ear: Ear, path: Path) -> Iterator[float]:
    """Hear a recording to its end; yield the length of each block, in seconds."""
    ear.reset()
    with closing(AudioFile(path)) as source:
        for block in source:
            ear.process(block)
            yield len(block.samples) / block.rate
    ear.finish()
