"""Who may read and write what kws keeps, and the secrets that it reads."""

import os
import socket
import stat
import sys
from pathlib import Path

import numpy as np
import pytest
from command import kws, model
from telling import PATIENCE_S, World, heard
from test_serve_listener import words_at

from kws.overrides import Overrides, write_overrides
from kws.recording.shelf import Shelf
from kws.serve import logs
from kws.serve.config import Record
from kws.serve.http.settings import Http
from kws.serve.http.web import check
from kws.serve.keeping import Keeper

__all__ = ["kws", "model"]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no permissions as these")
SECRET = "x" * 16


@pytest.fixture(autouse=True)
def shell():
    """The umask that a shell has when kws is started by hand."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def modes(folder):
    """Return the permissions of all below a folder, by name."""
    return {
        str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode)
        for path in folder.rglob("*")
    }


def keep(folder, *words, say=print, **options):
    """Keep words; return the paths that they were to have."""
    keeper = Keeper(Record(folder=str(folder), after_s=0, **options), say)
    paths = []
    for word in words:
        paths.append(Path(keeper.begin(None, word, "hall")))
        keeper.collect()
    keeper.close(PATIENCE_S)
    return paths


# -- what is written ---------------------------------------------------------------------------


def test_recordings_are_private(tmp_path):
    [path] = keep(tmp_path / "var" / "heard", *words_at([("yes", 1_800_000_000)]))

    folders = dict.fromkeys(["var", "var/heard", "var/heard/yes"], 0o700)
    assert modes(tmp_path) == {**folders, f"var/heard/yes/{path.name}": 0o600}


def test_facts_are_private_and_stay_as_they_were_set(tmp_path):
    """Also in the file that is begun when it is full."""
    path = tmp_path / "facts.jsonl"
    sink = World().make("jsonl", path=str(path), max_mb=0.001, keep=1)
    sink.send(heard())
    assert modes(tmp_path) == {"facts.jsonl": 0o600}
    path.chmod(0o640)
    for _ in range(5):
        sink.send(heard())

    assert modes(tmp_path) == {"facts.jsonl": 0o640, "facts.jsonl.1": 0o640}


def test_thresholds_are_private_and_stay_as_they_were_set(tmp_path):
    path = tmp_path / "kws.thresholds.json"
    write_overrides(path, Overrides({"yes": 0.5}))
    assert modes(tmp_path) == {path.name: 0o600}
    path.chmod(0o644)
    write_overrides(path, Overrides({"yes": 0.6}))

    assert modes(tmp_path) == {path.name: 0o644}


def test_own_recordings_are_private(tmp_path):
    with Shelf(tmp_path / "mine" / "marvin") as shelf:
        shelf.add(np.zeros(1_600, np.float32), 16_000)

    folders = {"mine": 0o700, "mine/marvin": 0o700}
    assert modes(tmp_path) == {**folders, "mine/marvin/001.flac": 0o600}


def test_a_file_that_a_kill_left_behind_is_no_way_in(tmp_path):
    """Nor is a link that somebody put there."""
    victim = tmp_path / "victim"
    victim.write_text("theirs")
    (tmp_path / "kws.json.partial").symlink_to(victim)
    write_overrides(tmp_path / "kws.json", Overrides({"yes": 0.5}))

    assert victim.read_text() == "theirs"
    assert modes(tmp_path) == {"victim": 0o644, "kws.json": 0o600}


# -- what is deleted ---------------------------------------------------------------------------


def test_no_link_is_followed_to_delete_or_to_write(tmp_path):
    """Neither a folder of a word nor a recording."""
    kept, elsewhere = tmp_path / "heard", tmp_path / "elsewhere"
    elsewhere.mkdir()
    kept.mkdir()
    theirs = elsewhere / "20000101-000000-000-hall-0.90.flac"
    theirs.write_bytes(b"theirs")
    (kept / "no").symlink_to(elsewhere)
    (kept / "yes").mkdir()
    (kept / "yes" / theirs.name).symlink_to(theirs)
    lines = []
    words = words_at([("yes", 1_800_000_000), ("no", 1_800_000_001), ("yes", 1_800_000_002)])
    paths = keep(kept, *words, say=lambda *line: lines.append(line), most=1)

    assert [path.name for path in elsewhere.iterdir()] == [theirs.name]
    assert (kept / "yes" / theirs.name).is_symlink()
    assert [path.exists() for path in paths] == [False, False, True]
    why = "is a link, which is not followed; nothing is kept there"
    assert lines == [("warning", f"recordings: {kept / 'no'}: {why}")]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can give files away")
def test_a_strangers_file_is_not_deleted(tmp_path):
    """However it is called."""
    [old] = keep(tmp_path, *words_at([("yes", 1_700_000_000)]))
    os.chown(old, 4242, -1)
    keep(tmp_path, *words_at([("yes", 1_800_000_000), ("yes", 1_800_000_001)]), most=1)

    assert old.exists()
    assert len(list(tmp_path.rglob("*.flac"))) == 2


# -- secrets -----------------------------------------------------------------------------------


@pytest.fixture
def secret(tmp_path):
    """A file with a secret that only we can read, in a folder that only we can write."""
    folder = tmp_path / "own"
    folder.mkdir(mode=0o755)
    path = folder / "secret"
    path.write_text(SECRET)
    path.chmod(0o600)
    return path


def warned(kind, secret, monkeypatch):
    """Return what is said of a secret that something reads."""
    world = World(config=str(secret))
    if kind == "token":
        monkeypatch.setattr(logs, "say", lambda *line: world.lines.append(line))
        assert check(Http(token_file=str(secret))) == SECRET
    elif kind == "password_file":
        world.make("mqtt", host="localhost", username="u", password_file=str(secret))
    elif kind == "password":
        world.make("mqtt", host="localhost", username="u", password=SECRET)
    elif kind == "headers":
        world.make("webhook", url="http://localhost", headers={"Authorization": SECRET})
    else:
        world.make("webhook", url=f"http://u:{SECRET}@localhost")
    return world.lines


KINDS = ["token", "password_file", "password", "headers", "login"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_secret_of_our_own_is_no_trouble(kind, secret, monkeypatch):
    assert not warned(kind, secret, monkeypatch)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("mode", "what"),
    [(0o640, "read"), (0o604, "read"), (0o620, "write"), (0o602, "write")],
)
def test_a_secret_that_others_can_read_or_write_is_told(kind, secret, monkeypatch, mode, what):
    secret.chmod(mode)
    [(level, text)] = warned(kind, secret, monkeypatch)

    assert level == "warning"
    assert f"{secret}: others can {what} " in text
    assert f"chmod go-{'rwx' if what == 'read' else 'w'} {secret}" in text
    assert SECRET not in text


def test_a_secret_that_others_can_exchange_is_told(secret, monkeypatch):
    secret.parent.chmod(0o757)
    [(_, text)] = warned("token", secret, monkeypatch)

    assert f"others can write {secret.parent}, and give their own" in text


def test_a_sink_without_a_secret_says_nothing_of_its_config(secret):
    secret.chmod(0o666)
    world = World(config=str(secret))
    world.make("webhook", url="http://localhost")
    world.make("mqtt", host=socket.gethostname() or "localhost")

    assert not world.lines


def test_serve_check_tells_of_an_open_secret(kws, model, secret, monkeypatch):
    lines = []
    monkeypatch.setattr(logs, "say", lambda *line: lines.append(line))
    secret.chmod(0o644)
    config = secret.with_name("kws.toml")
    config.write_text(f'[[model]]\npath = "{model}"\n[http]\ntoken_file = "{secret}"\n')
    result = kws("serve", "--check", "--config", config)

    assert "secret" not in result.err  # there may be no microphone, which it tells, too
    told = f"http: {secret}: others can read this secret; chmod go-rwx {secret}"
    assert ("warning", told) in lines
