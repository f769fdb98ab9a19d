"""Sinks that need nobody else: a command, and JSON lines."""

import json
import os
import resource
import sys
import threading
from contextlib import contextmanager

import msgspec
import pytest
from telling import FACTS, World, heard, living, until

from kws import programs, sinks
from kws.errors import ConfigError, SinkError
from kws.sinks import Fact, Heard, jsonl


def test_sinks_are_found_by_their_files():
    """Each has settings that refuse what they don't know."""
    assert {"command", "desktop", "jsonl", "mqtt", "webhook"} <= set(sinks.names())
    for name in sinks.names():
        with pytest.raises(msgspec.ValidationError, match="nonsense"):
            sinks.settings(name, {"nonsense": 1})


@pytest.mark.parametrize("name", ["command", "desktop", "webhook"])
def test_these_are_told_words_only(name):
    assert {Heard} == sinks.import_module(f"kws.sinks.{name}").Sink.wants


@pytest.mark.parametrize("name", ["jsonl", "mqtt"])
def test_these_are_told_everything(name):
    assert set(Fact.__subclasses__()) == sinks.import_module(f"kws.sinks.{name}").Sink.wants


# -- command --------------------------------------------------------------------------------


@pytest.fixture
def world():
    return World()


def shell(world, script, *arguments, **options):
    """A command that happens to be a shell, which is the shortest to write programs for."""
    return world.make("command", run=["sh", "-c", script, *map(str, arguments)], **options)


def told(path):
    lines = path.read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line.startswith("KWS_"))


def test_a_command_finds_the_word_in_its_environment(world, tmp_path, monkeypatch):
    """Fields that a fact does not have are absent, even where the daemon has such a variable."""
    monkeypatch.delenv("KWS_DATA", raising=False)
    monkeypatch.setenv("KWS_RECORDING", "of somebody else")
    monkeypatch.setenv("KWS_MINE", "kept")
    path = tmp_path / "env"
    sink = shell(world, 'env > "$0"', path)
    sink.start()
    sink.send(heard())

    expected = {
        "KWS_EVENT": "detection",
        "KWS_SCHEMA": "1",
        "KWS_KEYWORD": "jarvis",
        "KWS_ROLE": "wake",
        "KWS_PHRASE": "hey jarvis",
        "KWS_MODEL": "bundled",
        "KWS_SCORE": "0.93",
        "KWS_THRESHOLD": "0.5",
        "KWS_START_S": "1.5",
        "KWS_END_S": "2.25",
        "KWS_TIME_S": "2.5",
        "KWS_WALL_TIME": "1790000000.25",
        "KWS_MICROPHONE": "kitchen",
        "KWS_LEVEL_DB": "-31.5",
        "KWS_MINE": "kept",
    }
    assert expected == told(path)

    sink.send(heard(recording="kept/a.wav", microphone=None))
    assert told(path)["KWS_RECORDING"] == "kept/a.wav"
    assert "KWS_MICROPHONE" not in told(path)


def test_a_command_can_be_told_other_facts(world, tmp_path):
    path = tmp_path / "env"
    sink = shell(world, 'env > "$0"', path)
    seen = []
    for fact in FACTS[1:]:
        sink.send(fact)
        seen.append(told(path))

    assert "unplugged" == seen[0]["KWS_REASON"]
    assert "silence; for a minute" == seen[2]["KWS_REASONS"]
    assert ("playback", "true") == (seen[3]["KWS_EVENT"], seen[3]["KWS_ON"])


def test_no_shell_reads_the_arguments(world):
    text = "$HOME `id` ; * 'x"
    world.make("command", run=["printf", r"%s\n", text]).send(heard())

    assert [("info", f"printf: {text}")] == world.lines


def test_a_command_has_nothing_to_read(world):
    """Least of all what the daemon reads: audio may come from there."""
    reads, writes = os.pipe()
    os.write(writes, b"audio")
    os.close(writes)
    kept = os.dup(0)
    os.dup2(reads, 0)
    try:
        shell(world, "cat; echo end").send(heard())
    finally:
        os.dup2(kept, 0)
        os.close(kept)
        os.close(reads)

    assert [("info", "sh: end")] == world.lines


def test_only_the_last_lines_go_to_the_log_without_control_characters(world):
    shell(world, r"seq 10000; printf '\033[2Jcleared\n'; echo warned >&2").send(heard())

    lines = ["9997", "9998", "9999", "10000", "[2Jcleared"]
    expected = [("info", f"sh: {line}") for line in lines] + [("warning", "sh: warned")]
    assert expected == world.lines


def test_a_failing_command_is_an_error_with_its_last_words(world):
    with pytest.raises(SinkError, match=r"^sh: ended with 3: the last$"):
        shell(world, "echo the first >&2; echo the last >&2; exit 3").send(heard())
    assert [("warning", "sh: the first")] == world.lines

    with pytest.raises(SinkError, match=r"^sh: died of signal 9$"):
        shell(world, "kill -9 $$").send(heard())


def test_a_slow_command_is_killed_with_all_that_it_began(world, tmp_path):
    path = tmp_path / "pid"
    sink = shell(world, 'sleep 600 & echo $! > "$0"; wait', path, timeout_s=1)
    with pytest.raises(SinkError, match="sh: killed, it had not ended after 1 s"):
        sink.send(heard())

    until(lambda: not living(path))


def test_what_a_command_leaves_in_the_background_is_not_waited_for(world, tmp_path):
    """A command may start a player, which goes on while the next fact is told."""
    path = tmp_path / "pid"
    sink = shell(world, 'sleep 600 & echo $! > "$0"', path, timeout_s=600)
    sink.send(heard())
    assert living(path)
    sink.close()

    until(lambda: not living(path))


def test_what_a_command_leaves_in_the_background_ends_with_its_time(world, tmp_path):
    path = tmp_path / "pid"
    shell(world, 'sleep 600 & echo $! > "$0"', path, timeout_s=1).send(heard())

    until(lambda: not living(path))


def test_what_escapes_from_its_group_prints_no_longer_than_the_rest(world, tmp_path):
    path = tmp_path / "pid"
    shell(world, 'setsid sh -c "echo \\$\\$ > $0; exec yes" &', path, timeout_s=1).send(heard())

    until(lambda: path.exists() and path.read_text() and not living(path))


def test_few_commands_live_on_in_the_background(world, tmp_path):
    """The oldest makes way, however long it might live."""
    sink = shell(world, 'sleep 600 & echo $! > "$0/$KWS_KEYWORD"', tmp_path, timeout_s=600)
    words = [f"word{number}" for number in range(programs.MOST_LEFT + 2)]
    for word in words:
        sink.send(heard(word))
    until(lambda: not any(living(tmp_path / word) for word in words[:2]))

    assert all(living(tmp_path / word) for word in words[2:])
    sink.close()
    until(lambda: not any(living(tmp_path / word) for word in words))


def test_what_a_command_prints_fills_no_disk(world):
    """Nor does it make it fail: of what it prints the end is kept."""
    with full_disk(100_000):
        shell(world, "yes | head -c 2000000; echo done").send(heard())

    assert ("info", "sh: done") == world.lines[-1]


def test_a_command_that_prints_without_end_leaves_nothing(world):
    """Neither does what it began: nobody reads any more."""
    with full_disk(100_000), pytest.raises(SinkError, match="yes: killed, it had not ended"):
        world.make("command", run=["yes"], timeout_s=1).send(heard())


def test_closing_does_not_wait_for_a_slow_command(world, tmp_path):
    path, errors = tmp_path / "pid", []
    sink = shell(world, 'echo $$ > "$0"; sleep 600', path, timeout_s=600)

    def send():
        try:
            sink.send(heard())
        except SinkError as error:
            errors.append(str(error))

    sending = threading.Thread(target=send)
    sending.start()
    until(lambda: path.exists() and path.read_text())
    sink.close()
    sending.join()

    assert ["sh: killed, because kws ends"] == errors
    with pytest.raises(SinkError, match="sh: not run, because kws ends"):
        sink.send(heard())


def test_a_missing_program_is_said_at_once(world):
    with pytest.raises(ConfigError, match="'no-such-program': no such program"):
        world.make("command", run=["no-such-program"])
    with pytest.raises(msgspec.ValidationError, match="length >= 1"):
        world.make("command", run=[])


def test_what_can_not_be_run_is_a_sinks_error(world, tmp_path):
    """Words come from models, which others may have made."""
    with pytest.raises(SinkError, match="true: can't be run"):
        world.make("command", run=["true"]).send(heard("a\0b"))

    nonsense = tmp_path / "nonsense"
    nonsense.write_bytes(b"\x7fELF no program")
    nonsense.chmod(0o700)
    with pytest.raises(SinkError, match="nonsense: can't be run"):
        world.make("command", run=[str(nonsense)]).send(heard())


def configured(config):
    return World(config=str(config)).make("command", run=["true"])


@pytest.fixture
def config(tmp_path):
    """A config that only we can write, in a folder of its own."""
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o755)
    path = folder / "kws.toml"
    path.touch(mode=0o644)
    path.chmod(0o644)
    return path


def test_a_config_that_only_we_can_write_may_run_commands(config):
    configured(config)
    config.parent.chmod(0o1777)  # as /tmp: others can't exchange our files
    configured(config)


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o1666])
def test_commands_of_a_config_that_others_can_write_are_refused(config, mode):
    config.chmod(mode)
    with pytest.raises(ConfigError, match=f"others can write .*chmod go-w {config}$"):
        configured(config)


@pytest.mark.parametrize("mode", [0o775, 0o757])
def test_commands_of_a_config_that_others_can_exchange_are_refused(config, mode, tmp_path):
    """Its folder counts, one above it, and the folder of a link to it."""
    config.parent.chmod(mode)
    with pytest.raises(ConfigError, match=f"chmod go-w {config.parent}$"):
        configured(config)
    (config.parent / "inner").mkdir(mode=0o755)
    with pytest.raises(ConfigError, match=f"chmod go-w {config.parent}$"):
        configured(config.rename(config.parent / "inner" / "kws.toml"))

    safe = tmp_path / "safe.toml"
    safe.touch(mode=0o600)
    link = config.parent / "link.toml"
    link.symlink_to(safe)
    configured(safe)
    with pytest.raises(ConfigError, match=f"chmod go-w {config.parent}$"):
        configured(link)


def test_commands_of_somebody_elses_config_are_refused(config, monkeypatch):
    if os.geteuid() == 0:
        os.chown(config, 4242, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 4242)
    with pytest.raises(ConfigError, match=r"belongs to user \d+.*chown \d+ "):
        configured(config)


def test_a_config_that_is_gone_runs_nothing(tmp_path):
    with pytest.raises(ConfigError, match="can't be looked at"):
        configured(tmp_path / "gone.toml")


# -- JSON lines -----------------------------------------------------------------------------


def lines(path):
    return [json.loads(line)["keyword"] for line in path.read_text().splitlines()]


@contextmanager
def full_disk(size):
    """No file can grow beyond `size` bytes: what is too much is written in part."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_every_fact_is_a_line(world, tmp_path):
    path = tmp_path / "facts.jsonl"
    sink = world.make("jsonl", path=str(path))
    sink.start()
    for number, fact in enumerate(FACTS, 1):
        sink.send(fact)
        assert number == len(path.read_text().splitlines())  # at once
    sink.close()

    found = path.read_text().splitlines()
    kinds = [sinks.FACTS[json.loads(line)["type"]] for line in found]
    pairs = zip(found, kinds, strict=True)
    assert FACTS == [msgspec.json.decode(line, type=kind) for line, kind in pairs]


def test_lines_go_to_stdout_unless_told(world, capfd):
    sink = world.make("jsonl")
    sink.start()
    sink.send(heard("first"))
    sink.send(heard("second"))

    said = capfd.readouterr().out.splitlines()
    assert ["first", "second"] == [json.loads(line)["keyword"] for line in said]


@pytest.mark.parametrize("keep", [0, 1, 3])
def test_a_file_is_kept_short(world, tmp_path, keep):
    """Of many facts the last ones are there, in order, in so many files of that size."""
    path = tmp_path / "facts.jsonl"
    sink = world.make("jsonl", path=str(path), max_mb=0.001, keep=keep)
    words = [f"word{number:02}" for number in range(40)]
    for word in words:
        sink.send(heard(word))

    files = [*(tmp_path / f"facts.jsonl.{n}" for n in range(keep, 0, -1)), path]
    assert set(files) == set(tmp_path.iterdir())
    assert max(file.stat().st_size for file in files) <= 1_000
    found = [word for file in files for word in lines(file)]
    assert len(found) > 2 * keep
    assert words[-len(found) :] == found


def test_a_full_disk_leaves_no_half_line(world, tmp_path):
    path = tmp_path / "facts.jsonl"
    sink = world.make("jsonl", path=str(path))
    sink.send(heard("before"))
    size = path.stat().st_size
    with full_disk(size + 40), pytest.raises(SinkError, match="can't be written"):
        sink.send(heard("lost"))
    assert size == path.stat().st_size
    sink.send(heard("after"))

    assert ["before", "after"] == lines(path)


def test_a_reader_of_stdout_that_never_reads_holds_nobody_for_ever(world, monkeypatch):
    """Each fact waits for a while, and counts as failed; when it reads again, all goes on."""
    monkeypatch.setattr(jsonl, "UNREAD_S", 0.05)
    reader, writer = os.pipe()
    with open(writer, "w", encoding="utf-8") as out, open(reader, "rb") as read:
        monkeypatch.setattr(sys, "stdout", out)
        sink = world.make("jsonl")
        sink.start()
        sent = 0
        with pytest.raises(SinkError, match=r"nobody has read it for 0\.05 s"):  # noqa: PT012
            for sent in range(10_000):  # noqa: B007
                sink.send(heard())
        lines = [json.loads(read.readline()) for _ in range(sent)]
        sink.send(heard("stop"))
        assert json.loads(read.readline())["keyword"] == "stop"

    assert sent > 10
    assert {line["keyword"] for line in lines} == {"jarvis"}


def test_a_full_disk_behind_stdout_glues_no_lines(world, tmp_path, monkeypatch):
    path = tmp_path / "out"
    with path.open("w") as out:
        monkeypatch.setattr(sys, "stdout", out)
        sink = world.make("jsonl")
        sink.send(heard("before"))
        size = path.stat().st_size
        with full_disk(size + 40), pytest.raises(SinkError, match="stdout: can't be written"):
            sink.send(heard("lost"))
        sink.send(heard("after"))
        sink.send(heard("last"))

    whole = path.read_text().splitlines()
    assert 40 == len(whole.pop(1))
    assert ["before", "after", "last"] == [json.loads(line)["keyword"] for line in whole]


def test_a_line_that_we_were_killed_in_is_not_glued_to_the_next(world, tmp_path):
    path = tmp_path / "facts.jsonl"
    path.write_text('{"type": "detec')
    sink = world.make("jsonl", path=str(path))
    sink.start()
    sink.send(heard())

    assert heard() == msgspec.json.decode(path.read_text().splitlines()[-1], type=Heard)


def test_a_vanished_folder_is_told_and_tried_again(world, tmp_path):
    folder = tmp_path / "folder"
    path = folder / "facts.jsonl"
    sink = world.make("jsonl", path=str(path))
    with pytest.raises(SinkError, match=f"{path}: can't be written .No such file"):
        sink.start()
    folder.mkdir()
    sink.send(heard("first"))
    path.unlink()
    folder.rmdir()
    with pytest.raises(SinkError, match="the next fact tries again"):
        sink.send(heard("second"))
    folder.mkdir()
    sink.send(heard("third"))

    assert ["third"] == lines(path)


def test_a_file_that_others_rotate_is_begun_anew(world, tmp_path):
    path = tmp_path / "facts.jsonl"
    sink = world.make("jsonl", path=str(path))
    sink.send(heard("first"))
    path.rename(tmp_path / "old")
    sink.send(heard("second"))

    assert (["first"], ["second"]) == (lines(tmp_path / "old"), lines(path))
