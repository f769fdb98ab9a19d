"""Keeping: the audio around each firing, as recordings that `kws eval` reads; bounded."""

from __future__ import annotations

import io
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kws.capture import Capture
from kws.errors import AudioError
from kws.files import make_private_folder, write_private
from kws.flow import Detection, Samples
from kws.home import expanded
from kws.serve.config import Record
from kws.serve.outlets import Outlet
from kws.spotter import Spotter

SUFFIX = ".flac"
OURS = re.compile(r"\d{8}-\d{6}-\d{3}-.*-\d\.\d\d\.flac")
"""The names that are given here: nothing else is ever deleted."""
ALONE = threading.Lock()
"""Held by whoever writes or deletes: microphones share a folder, and so do a keeper and the one
that takes its place; none may take a word's folder away where another is about to write."""
STEP_NS = 2_000_000_000
"""Between two files' times, where the clock stands before the older one's; FAT counts so."""
UNNAMEABLE = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|]+')
"""What some file system takes in no name; all else stays, for folders are called as labels are."""


@dataclass(frozen=True)
class Kept:
    """A recording to be written: float32 [n] in [-1, 1]."""

    path: Path
    audio: Samples
    rate: int


class Keeper:
    """Writes `folder/<keyword>/<time>-<microphone>-<score>.flac`, a word with what went before.

    The oldest go when there are more, or more bytes, than the settings say: those written first,
    also where the clock was set back, for no file's time is before that of an older one. A full
    disk is told and costs the recording alone.
    """

    def __init__(self, settings: Record, say: Callable[[str, str], None]) -> None:
        self._settings, self._folder = settings, expanded(settings.folder)
        self._begun: list[tuple[Path, Detection, Capture | None]] = []
        self._outlet: Outlet[Kept] = Outlet("recordings", self._write, say, size=16)

    def begin(self, spotter: Spotter, word: Detection, microphone: str) -> str:
        """Begin to keep a word, and return the path that it will have."""
        now = time.time() if word.wall_time is None else word.wall_time
        moment = time.strftime("%Y%m%d-%H%M%S", time.localtime(now)) + f"-{int(now % 1 * 1000):03}"
        name = f"{moment}-{_plain(microphone)}-{word.score:.2f}{SUFFIX}"
        path = self._folder / _plain(word.keyword) / name
        after = None
        if self._settings.after_s:
            try:
                after = spotter.capture(word, seconds=self._settings.after_s)
            except AudioError:  # it lies too far back already
                after = None
        self._begun.append((path, word, after))
        return str(path)

    def collect(self) -> None:
        """Hand on what is complete. Raises what the thread that writes died of."""
        if self._outlet.failure is not None:
            raise self._outlet.failure
        self._hand_on()

    def _hand_on(self) -> None:
        for begun in [each for each in self._begun if each[2] is None or each[2].done]:
            path, word, after = begun
            audio = word.audio if after is None else np.concatenate([word.audio, after.audio])
            self._begun.remove(begun)
            self._outlet.put(Kept(path, audio, word.rate))

    def close(self, timeout: float) -> None:
        """Write what is begun, as far as it was heard."""
        for _, _, after in self._begun:
            if after is not None:
                after.close()
        self._hand_on()
        self._outlet.finish()
        self._outlet.join(timeout)

    def _write(self, kept: Kept) -> None:
        import soundfile

        content = io.BytesIO()  # libsndfile itself does not always notice that a disk is full
        soundfile.write(content, kept.audio, kept.rate, format="FLAC", subtype="PCM_16")
        with ALONE:
            latest = max((when for when, _ in self._there()), default=0)
            _store(kept.path, content.getvalue())
            if kept.path.stat().st_mtime_ns <= latest:
                os.utime(kept.path, ns=(latest + STEP_NS, latest + STEP_NS))
            self._tidy()

    def _there(self) -> list[tuple[int, Path]]:
        """Return our recordings with when they were written, in ns."""
        return [(_written(path), path) for path in _ours(self._folder)]

    def _tidy(self) -> None:
        """Delete the oldest recordings until the rest fits."""
        found = [
            path for _, path in sorted(self._there(), key=lambda each: (each[0], each[1].name))
        ]
        sizes = [_size(path) for path in found]
        total, limit = sum(sizes), self._settings.most_mb * 1e6
        excess = len(found) - self._settings.most
        for number, (path, size) in enumerate(zip(found, sizes, strict=True)):
            if number >= excess and total <= limit:
                return
            path.unlink(missing_ok=True)
            with suppress(OSError):
                path.parent.rmdir()  # a folder of clips without clips is an error for who reads it
            total -= size


def _store(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all. Raises OSError: it can't be, or would lie elsewhere."""
    if path.parent.is_symlink():
        raise OSError(f"{path.parent}: is a link, which is not followed; nothing is kept there")
    try:
        make_private_folder(path.parent)
        write_private(path, content)
    except OSError as error:
        raise OSError(f"{path}: can't be written ({error.strerror})") from None


def _ours(folder: Path) -> Iterator[Path]:
    """Yield the recordings that were written here: neither links nor another user's files."""
    for word in os.scandir(folder) if folder.is_dir() else ():
        for file in os.scandir(word) if word.is_dir(follow_symlinks=False) else ():
            named = OURS.fullmatch(file.name) and file.is_file(follow_symlinks=False)
            if named and (os.name != "posix" or file.stat().st_uid == os.geteuid()):
                yield Path(file.path)


def _written(path: Path) -> int:
    """Return when a file was written, in ns; 0: somebody has deleted it."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _size(path: Path) -> int:
    """Return a file's bytes; 0: somebody has deleted it."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _plain(name: str) -> str:
    return UNNAMEABLE.sub("_", name).strip(". ") or "_"
