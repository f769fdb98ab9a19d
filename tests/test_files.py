"""Files that are written whole or not at all."""

import pytest

from kws.files import atomic_write


def test_what_is_written_takes_the_name_in_the_end(tmp_path):
    path = tmp_path / "it"
    path.write_text("old")
    with atomic_write(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"

    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_what_was_there_and_nothing_else(tmp_path):
    path = tmp_path / "it"
    path.write_text("old")

    def fill():
        with atomic_write(path) as partial:
            partial.write_text("half")
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="disk"):
        fill()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_two_processes_may_write_the_same(tmp_path):
    path = tmp_path / "it"
    with atomic_write(path, tag=".1") as one, atomic_write(path, tag=".2") as other:
        one.write_text("one")
        other.write_text("other")

    assert path.read_text() == "one"
    assert list(tmp_path.iterdir()) == [path]
