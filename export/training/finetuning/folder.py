"""Folder: what a run leaves on disk, so that a kill costs minutes and the result is whole."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kws.errors import ConfigError, DataError
from kws.files import atomic_write

COPIES = 8
"""Sizes of the network that lie on disk at once, at most: two states with optimizer, best, last."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
SPELLED = ("No space left", "PytorchStreamWriter failed", "Disk quota", "File too large")
LAST = "config.json"
"""What makes a folder a checkpoint; it comes last."""


class Folder:
    """A run in `out`: `run/` while it lasts, then the checkpoint itself and `training.json`.

    settings: what decides on the result, by names for people.
    """

    def __init__(self, out: Path, settings: dict[str, Any]) -> None:
        self.out, self.settings = out, json.loads(json.dumps(settings))
        self.run, self.best = out / "run", out / "run" / "best"
        self.final = out / "run" / "final"
        self._begun, self._finished = self.run / "settings.json", out / "training.json"

    @property
    def finished(self) -> bool:
        """Whether a run has ended here."""
        return self._finished.is_file()

    def begin(self, network_bytes: int) -> None:
        """Claim the folder. Raises ConfigError: another run is here. DataError: no room for it."""
        if self.finished or self._begun.is_file():
            self._compare(self._finished if self.finished else self._begun)
            return
        if (self.out / LAST).exists():
            raise ConfigError(f"{self.out}: holds a checkpoint already; choose another folder")
        with full_disk(self.out):
            self.run.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(self.out).free
            if free < COPIES * network_bytes:
                raise DataError(
                    f"{self.out}: {free / 1e9:.1f} GB are free, training needs "
                    f"{COPIES * network_bytes / 1e9:.1f} GB; free some, or choose another disk"
                )
            write(self._begun, self.settings)

    def state(self) -> Path | None:
        """Return the newest state that is whole; what a kill left in pieces is removed."""
        found = sorted(self.run.glob("checkpoint-*"), key=lambda p: int(p.name.split("-")[1]))
        while found:
            if _is_whole(found[-1]):
                return found[-1]
            shutil.rmtree(found.pop(), ignore_errors=True)
        return None

    def finish(self) -> None:
        """Move what is in `final` to where `kws export` looks; forget how it came to be."""
        with full_disk(self.out):
            for path in sorted(self.final.iterdir(), key=lambda path: path.name == LAST):
                path.replace(self.out / path.name)
            write(self._finished, self.settings)
        shutil.rmtree(self.run, ignore_errors=True)

    def _compare(self, path: Path) -> None:
        """Raise ConfigError where other settings led to what is here."""
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
            changed = [key for key in self.settings if before.get(key) != self.settings[key]]
        except (OSError, ValueError, AttributeError):
            raise ConfigError(f"{path}: is damaged; choose another folder") from None
        if changed:
            key = changed[0]
            raise ConfigError(
                f"{self.out}: holds a run with another {key} ({before.get(key)}, now "
                f"{self.settings[key]}); give the same, or choose another folder"
            )


def _is_whole(state: Path) -> bool:
    """Tell whether a state was written to its end: this file comes last."""
    try:
        json.loads((state / "trainer_state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True


def write(path: Path, what: Any) -> None:
    """Write JSON, whole or not at all."""
    text = json.dumps(what, indent=1, ensure_ascii=False) + "\n"
    with atomic_write(path) as partial:
        partial.write_text(text, encoding="utf-8")


@contextmanager
def full_disk(out: Path) -> Iterator[None]:
    """Turn what a full disk provokes, in whichever library, into a DataError."""
    try:
        yield
    except DataError:
        raise
    except OSError as error:
        raise DataError(_advice(out, error.strerror or str(error))) from None
    except Exception as error:
        if getattr(error, "errno", None) in FULL or any(word in str(error) for word in SPELLED):
            raise DataError(_advice(out, "no space left on the disk")) from None
        raise


def _advice(out: Path, why: str) -> str:
    return (
        f"{out}: can't be written: {why}; make room and run the same command again, what was saved "
        "there is kept"
    )
