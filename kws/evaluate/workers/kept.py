"""Kept: finished results in a folder, so that a run that was interrupted goes on where it was."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar, get_origin, get_type_hints

import msgspec
import numpy as np

from kws.errors import ConfigError
from kws.files import atomic_write

R = TypeVar("R")


class Kept(Generic[R]):
    """Results of one function by their keys, a file each; whole or not there at all.

    work: whose results they are. It says in its annotations what it returns: an array, or a
    dataclass or struct of arrays, numbers and texts.

    Raises ConfigError: the folder can't be made or written to.
    """

    def __init__(self, folder: Path, work: Callable[..., R]) -> None:
        function = work
        while isinstance(function, partial):
            function = function.func
        self._folder, self._name = folder, function.__name__
        self._encode = msgspec.msgpack.Encoder(enc_hook=_bytes).encode
        returned = get_type_hints(function)["return"]
        self._decode = msgspec.msgpack.Decoder(returned, dec_hook=_array).decode
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._useless(error) from None

    def _useless(self, error: OSError) -> ConfigError:
        return ConfigError(
            f"{self._folder}: results can't be kept here ({error.strerror or error})"
        )

    def _path(self, key: str) -> Path:
        return self._folder / f"{self._name}-{key}.part"

    def has(self, key: str) -> bool:
        """Whether there is a result that can be read."""
        if not self._path(key).is_file():
            return False
        try:
            self.get(key)
        except (ConfigError, ValueError):  # of another version, or the disk's fault: made again
            return False
        return True

    def get(self, key: str) -> R:
        """Return a result. Raises ConfigError: it can't be read; ValueError: it is none."""
        try:
            result: R = self._decode(self._path(key).read_bytes())
        except OSError as error:
            raise self._useless(error) from None
        return result

    def put(self, key: str, result: R) -> None:
        """Keep a result. Raises ConfigError: it can't be written."""
        path = self._path(key)
        try:
            with atomic_write(path, tag=f".{os.getpid()}") as partial:
                partial.write_bytes(self._encode(result))
        except OSError as error:
            raise self._useless(error) from None


def _bytes(value: Any) -> bytes:
    if not isinstance(value, np.ndarray):
        raise NotImplementedError(f"a {type(value).__name__} can't be kept")
    file = io.BytesIO()
    np.save(file, value, allow_pickle=False)
    return file.getvalue()


def _array(wanted: Any, value: Any) -> Any:
    if (get_origin(wanted) or wanted) is not np.ndarray:
        raise NotImplementedError(f"a {wanted} can't be kept")
    return np.load(io.BytesIO(value), allow_pickle=False)
