"""Shelf: the folder of one word's recordings, numbered on from those that are there."""

from __future__ import annotations

import io
import os
import unicodedata
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import numpy as np
import soundfile

from kws.errors import ConfigError, DataError
from kws.files import create_private, make_private_folder
from kws.flow import Samples

FORBIDDEN = '/\\:*?"<>|,='
"""What a folder's name can't hold somewhere, and what separates words in options."""
LONGEST = 100
"""Bytes of a name: file systems take 255."""
ENDINGS = frozenset({".wav", ".flac", ".ogg", ".opus", ".mp3"})


def word(text: str) -> str:
    """Return the word as its folder is named.

    Raises ConfigError: no folder, or no keyword, can be called so.
    """
    name = unicodedata.normalize("NFC", text.strip())
    wrong = [sign for sign in name if sign in FORBIDDEN or not sign.isprintable()]
    if not name:
        raise ConfigError("the word is empty; give one, as in: kws record marvin")
    if wrong:
        raise ConfigError(f"{text!r} can't be a folder's name: it has {wrong[0]!r}; leave it out")
    if name[0] in "._":
        raise ConfigError(f"{text!r}: folders that begin with {name[0]!r} are no words; rename it")
    if name[-1] == "." or len(name.encode()) > LONGEST:
        why = "it ends in '.'" if name[-1] == "." else f"it has more than {LONGEST} bytes"
        raise ConfigError(f"{text!r} can't be a folder's name: {why}; say it otherwise")
    return name


class Shelf:
    """A folder that recordings of one word go into; a context manager.

    One that is made here is its owner's alone, and goes again if it stays empty. `there`: how many
    recordings it holds.
    Raises ConfigError, when entered: it can't be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._made: list[Path] = []
        self.there = 0

    def __enter__(self) -> Shelf:  # noqa: PYI034 - Self came with Python 3.11
        try:
            self._made = make_private_folder(self.folder)
            self._try_out()
            self.there = len(self._recordings())
        except OSError as error:
            self._leave()
            raise ConfigError(
                f"{self.folder}: can't be written ({error.strerror}); give another -o DIR"
            ) from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave()

    def add(self, audio: Samples, rate: int) -> Path:
        """Write a recording, float32 [n], under the next number; return its path.

        It is there whole or not at all, and nothing is written over. Raises DataError: it can't
        be written.
        """
        encoded = io.BytesIO()
        whole = np.clip(np.rint(audio.astype(np.float64) * 32_768), -32_768, 32_767)
        soundfile.write(encoded, whole.astype(np.int16), rate, "PCM_16", format="FLAC")
        number = self._highest() + 1
        partial = self._partial
        try:
            create_private(partial, encoded.getvalue())
            while (path := self.folder / f"{number:03}.flac").exists() or not _moved(partial, path):
                number += 1
        except OSError as error:
            raise DataError(
                f"{self.folder / f'{number:03}.flac'}: can't be written ({error.strerror}); "
                f"the recordings before it are kept: make room, and go on with the same command"
            ) from None
        finally:
            partial.unlink(missing_ok=True)
        self.there += 1
        return path

    @property
    def _partial(self) -> Path:
        return self.folder / f".{os.getpid()}.partial"

    def _try_out(self) -> None:
        """Raise OSError where no recording could be written: better now than after the first."""
        try:
            create_private(self._partial, b"kws")
        finally:
            self._partial.unlink(missing_ok=True)

    def _recordings(self) -> list[Path]:
        return [
            path
            for path in self.folder.iterdir()
            if path.suffix.lower() in ENDINGS and not path.name.startswith(".")
        ]

    def _highest(self) -> int:
        numbers = [path.stem for path in self._recordings() if path.stem.isascii()]
        return max((int(stem) for stem in numbers if stem.isdecimal()), default=0)

    def _leave(self) -> None:
        with suppress(OSError):  # recordings are in it
            for folder in self._made:  # innermost first
                folder.rmdir()


def _moved(partial: Path, path: Path) -> bool:
    """Give a file its name, unless another has it by now: return whether it was given."""
    try:
        os.link(partial, path)
    except FileExistsError:
        return False
    except OSError:  # a file system without links, as on memory cards
        partial.rename(path)
    return True
