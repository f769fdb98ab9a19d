"""Checkpoint: a folder or a file that somebody trained; read as data, nothing in it is run."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from kws.errors import ExportError

WEIGHTS = ("*.safetensors", "*.bin", "*.ckpt", "*.pt")
"""Files that hold weights, the safest first."""


@dataclass(frozen=True)
class Checkpoint:
    """A source on this disk.

    path: a folder, or one file. name: what the card will call it: its Hub id, or its file name.
    """

    path: Path
    name: str

    @cached_property
    def config(self) -> dict[str, Any]:
        """What config.json says; empty where there is none."""
        return self.json("config.json") or {}

    @cached_property
    def preprocessor(self) -> dict[str, Any]:
        """What preprocessor_config.json says. Raises ExportError: there is none.

        Processors that transformers 5 saved keep it in processor_config.json.
        """
        found = self.json("preprocessor_config.json")
        if found is None:
            found = (self.json("processor_config.json") or {}).get("feature_extractor")
        if found is None:  # transformers 5 saves a processor whole, in another file
            found = (self.json("processor_config.json") or {}).get("feature_extractor")
        if not isinstance(found, dict):
            raise ExportError(
                f"{self.path}: has no preprocessor_config.json, audio can't be prepared; "
                "copy it from the checkpoint that this one was fine-tuned from"
            )
        return found

    @property
    def architecture(self) -> str:
        """The class that config.json names; empty where it names none."""
        named = self.config.get("architectures")
        return str(named[0]) if isinstance(named, list) and named else ""

    def posing_as(self, architecture: str) -> Checkpoint:
        """Return the same checkpoint as if config.json named this class."""
        twin = Checkpoint(self.path, self.name)
        twin.__dict__["config"] = {**self.config, "architectures": [architecture]}
        return twin

    def has(self, *names: str) -> bool:
        """Whether the folder holds all these files."""
        return all((self.path / name).is_file() for name in names)

    def json(self, name: str) -> dict[str, Any] | None:
        """Read a JSON object; None where there is no such file. Raises ExportError."""
        path = self.path / name
        if not path.is_file():
            return None
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ExportError(f"{path}: can't be read: {error.strerror}") from None
        except (ValueError, RecursionError) as error:
            raise ExportError(f"{path}: is no JSON: {error}; download it again") from None
        if not isinstance(found, dict):
            raise ExportError(f"{path}: holds no JSON object")
        return found

    def sha256(self) -> str:
        """Return the hash of the weights: of one file's bytes, or of the list of files' hashes.

        The list is as `sha256sum *` prints it, in the order of the names.
        """
        files = [self.path] if self.path.is_file() else sorted(self._weights())
        hashes = {file.name: _hash(file) for file in files}
        if len(hashes) == 1:
            return next(iter(hashes.values()))
        listed = "".join(f"{value}  {name}\n" for name, value in hashes.items())
        return hashlib.sha256(listed.encode()).hexdigest()

    def weight_bytes(self) -> int:
        """Return how many bytes the weights take on disk."""
        files = [self.path] if self.path.is_file() else self._weights()
        return sum(file.stat().st_size for file in files)

    def _weights(self) -> list[Path]:
        if safe := list(self.path.glob(WEIGHTS[0])):
            return safe
        return [file for pattern in WEIGHTS[1:] for file in self.path.glob(pattern)]


def _hash(file: Path) -> str:
    with file.open("rb") as stream:
        found = hashlib.sha256()
        while block := stream.read(1 << 20):
            found.update(block)
    return found.hexdigest()
