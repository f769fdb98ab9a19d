"""The service: what systemd is told, the unit by a real systemd, and what users are told."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import pytest
from command import kws
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from kws.errors import ConfigError
from kws.serve import systemd, unit
from kws.serve.notify import Notify

__all__ = ["kws"]

ROOT = Path(__file__).parent.parent
PATIENCE_S = 60
"""How long a busy machine may take for what is done at once."""

PYTHON = sys.executable
FLAGS = ["-P"] if sys.version_info >= (3, 11) else []

linux = pytest.mark.skipif(sys.platform != "linux", reason="systemd is Linux's")


# What systemd is told


@pytest.fixture(params=["path", pytest.param("abstract", marks=linux)])
def heard(request):
    """A socket as systemd's, its address in the environment; call it for what came."""
    with (
        tempfile.TemporaryDirectory() as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as inbox,
    ):
        name = f"{folder}/notify"
        inbox.bind(name if request.param == "path" else f"\0{name}")
        inbox.setblocking(False)

        def news():
            messages = []
            with suppress(BlockingIOError):
                while True:
                    messages.append(inbox.recv(10_000).decode())
            return messages

        news.env = {"NOTIFY_SOCKET": name if request.param == "path" else f"@{name}"}
        yield news


def test_systemd_is_told(heard):
    """Each message as sd_notify(3) has it."""
    notify = Notify(heard.env)
    notify.ready("hears yes")
    notify.status("away:\nlooking\tfor it")
    notify.watchdog()
    before = time.monotonic_ns() // 1000
    notify.reloading()
    notify.stopping()
    ready, status, watchdog, reloading, stopping = heard()

    assert ready == "READY=1\nSTATUS=hears yes"
    assert status == "STATUS=away: looking for it"
    assert (watchdog, stopping) == ("WATCHDOG=1", "STOPPING=1")
    state, clock = reloading.split("\nMONOTONIC_USEC=")
    assert (state, notify.lost) == ("RELOADING=1", 0)
    assert before <= int(clock) <= time.monotonic_ns() // 1000


@pytest.mark.parametrize("text", ["x" * 5000, "ü" * 5000, "\udcff", "", "a\nWATCHDOG=1\n"])
def test_a_status_is_one_short_line_whatever_it_holds(heard, text):
    """Systemd would drop a long datagram, and obey a second line."""
    Notify(heard.env).status(text)
    [message] = heard()

    assert message.startswith("STATUS=")
    assert len(message.encode()) < 4096
    assert "\n" not in message


@pytest.mark.parametrize(
    "env",
    [
        {},
        {"NOTIFY_SOCKET": ""},
        {"NOTIFY_SOCKET": "vsock:2:1234"},
        {"NOTIFY_SOCKET": "relative"},
    ],
)
def test_without_a_socket_nothing_happens(env):
    """In a terminal, in a container, under something that is not systemd."""
    tell_everything(notify := Notify(env))

    assert notify.lost == 0


def test_where_there_are_no_such_sockets_nothing_happens(heard, monkeypatch):
    """On Windows."""
    monkeypatch.delattr(socket, "AF_UNIX")
    tell_everything(notify := Notify(heard.env))

    assert (heard(), notify.lost) == ([], 0)


@pytest.mark.parametrize("name", ["/nowhere/notify", "/" + 200 * "x", "@nobody", "@"])
def test_a_socket_that_is_gone_is_no_error(name):
    """The messages are counted."""
    tell_everything(notify := Notify({"NOTIFY_SOCKET": name}))

    assert notify.lost == 5


def test_a_full_socket_neither_blocks_nor_raises(heard, monkeypatch):
    """The messages are counted; afterwards it goes on."""
    monkeypatch.setattr("kws.serve.notify.SEND_S", 0.01)
    notify = Notify(heard.env)
    while not notify.lost:
        notify.watchdog()
    assert set(heard()) == {"WATCHDOG=1"}
    notify.watchdog()

    assert (heard(), notify.lost) == (["WATCHDOG=1"], 1)


def tell_everything(notify):
    notify.ready("")
    notify.status("")
    notify.reloading()
    notify.watchdog()
    notify.stopping()


@pytest.mark.parametrize(
    ("env", "period_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_PID": str(os.getpid())}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": ""}, None),
    ],
)
def test_the_watchdog_is_fed_twice_as_often_as_needed(env, period_s):
    """But only this process's own."""
    assert Notify(env).period_s == period_s


# The unit, as systemd reads it


ODD = ["a b", "$HOME ${HOME} $$x", "%h 100% %%", "é 語", "a;b # c", "x=y", "{mark}", "@:-+!"]
"""Folders that somebody has."""


def missing(request, *programs):
    """Leave a test out where a program is missing; where all must run, let it fail."""
    absent = [name for name in programs if shutil.which(name) is None]
    if absent:
        reason = f"{request.node.nodeid} needs {', '.join(absent)}: apt install systemd procps"
        if os.environ.get("CI"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)


@pytest.fixture
def analyze(request, tmp_path):
    """Ask systemd-analyze about a unit."""
    missing(request, "systemd-analyze", "kill")

    def run(text, *arguments):
        (tmp_path / "kws.service").write_text(text, encoding="utf-8")
        env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
        command = ["systemd-analyze", "--user", *arguments, str(tmp_path / "kws.service")]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False)

    return run


@pytest.mark.parametrize("name", ["plain", *ODD])
def test_systemd_finds_no_fault_in_the_unit(analyze, tmp_path, name):
    """It finds the interpreter, in whatever folder."""
    folder = tmp_path / name
    folder.mkdir()
    (folder / "python").symlink_to(sys.executable)
    done = analyze(unit.text(str(folder / "python"), str(folder / "kws.toml")), "verify")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_systemd_sees_each_protection(analyze):
    """None is misspelt."""
    done = analyze(unit.text(sys.executable, None), "security", "--offline=yes", "--json=short")
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze tells nothing of a unit that is not loaded")
    protections = {each["name"] for each in json.loads(done.stdout) if each["set"]}

    assert protections >= {
        "NoNewPrivileges=", "LockPersonality=", "RestrictSUIDSGID=", "UMask=",
        "RestrictAddressFamilies=~AF_PACKET",
        "SystemCallFilter=~@clock", "SystemCallFilter=~@module", "SystemCallFilter=~@raw-io",
        "SystemCallFilter=~@reboot", "SystemCallFilter=~@swap",
    }  # fmt: skip


@pytest.mark.parametrize(
    "python", ["/o'brien/python", '/"/python', "/a\\b/python", "/\n", "python"]
)
def test_an_interpreter_that_systemd_refuses_is_refused_first(python):
    """Instead of a unit that never starts."""
    with pytest.raises(ConfigError, match="install kws in another folder"):
        unit.text(python, None)


# With a real systemd


BOOT = """
mkdir "$1/cgroup" && mount -t cgroup2 none "$1/cgroup" || exit 1
own=$1/cgroup/kws-test-$$
mkdir "$own" || exit 1
exec 3<&0
{ cat <&3; echo 1 >"$own/cgroup.kill"; } & # when the test ends, in whatever way
sh -c '
    echo $$ >"$0/cgroup.procs" || exit 1
    exec unshare --cgroup --mount sh -c "
        mount -t cgroup2 none /sys/fs/cgroup && mount -t tmpfs none /run || exit 1
        mkdir -p /run/systemd/system
        exec systemd --user"
' "$own" </dev/null 3<&-
for _ in 1 2 3 4 5 6 7 8 9; do
    find "$own" -depth -type d -exec rmdir {} + 2>/dev/null && break
    sleep 0.2
done
umount "$1/cgroup"
"""
"""A systemd for a user, which neither sees nor touches the machine's own: its control groups are
in a namespace of their own."""

DAEMON = """#!{python}
import json, signal, sys, time
from pathlib import Path
sys.path.insert(0, {root!r})
from kws.serve.notify import Notify

here = Path({here!r})
(here / "argv").write_text(json.dumps(sys.argv[1:]))
code = here / "code"

def reload(*_):
    notify.reloading()
    notify.ready("read again")

def stop(*_):
    notify.stopping()
    (here / "stopped").touch()
    sys.exit()

signal.signal(signal.SIGHUP, reload)
signal.signal(signal.SIGTERM, stop)
if (here / "broken").exists():
    sys.exit(2)
notify = Notify()
notify.ready("hears yes, no")
while not code.exists():
    if not (here / "deaf").exists():
        notify.watchdog()
    time.sleep(0.02)
last = int(code.read_text())
code.unlink()
sys.exit(last)
"""
"""In place of the interpreter: a daemon that only tells, and ends as it is told."""

HURRY = """
[Service]
WatchdogSec=1
RestartSec=100ms
"""


@pytest.fixture(scope="module")
def user_systemd(request):
    """A systemd of a user of its own, running; its home. Rights, unlike programs, can't be had."""
    missing(request, "systemd", "systemctl", "unshare", "kill")
    if os.geteuid() != 0:
        pytest.skip("only root can give a systemd namespaces and control groups of its own")
    with tempfile.TemporaryDirectory(prefix="kws-") as folder, tempfile.TemporaryFile() as log:
        home = Path(folder)
        env = {"PATH": os.environ["PATH"], "HOME": folder, "XDG_RUNTIME_DIR": folder}
        command = ["unshare", "--mount", "sh", "-c", BOOT, "sh", folder]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, env=env, stdin=pipe, stdout=log, stderr=log)
        try:
            wait(lambda: process.poll() is not None or ask(env, "show").returncode == 0)
            if process.poll() is not None:
                log.seek(0)
                pytest.skip(f"no systemd starts here: {log.read().decode()[-200:]}")
            yield home
        finally:
            ask(env, "exit")
            process.stdin.close()
            process.wait(PATIENCE_S)


def ask(env, *arguments):
    return subprocess.run(
        ["systemctl", "--user", *arguments], env=env, capture_output=True, check=False
    )


def wait(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert condition()


@pytest.fixture
def daemon(user_systemd, monkeypatch, tmp_path):
    """The folder of a daemon in the interpreter's place: it reads and writes files there."""
    monkeypatch.setenv("HOME", str(user_systemd))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(user_systemd))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    folder = tmp_path / "odd $HOME ${HOME} $$ %h é; {x}"
    folder.mkdir()
    program = folder / "python"
    program.write_text(DAEMON.format(python=PYTHON, root=str(ROOT), here=str(folder)))
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    settings_of_own = systemd.path().parent / "kws.service.d" / "hurry.conf"
    settings_of_own.parent.mkdir(parents=True, exist_ok=True)
    settings_of_own.write_text(HURRY)
    yield folder
    systemd.uninstall()


def end(daemon, code):
    """Let the daemon end with an exit code."""
    (daemon / "half").write_text(str(code))
    (daemon / "half").rename(daemon / "code")


def test_installed_it_runs_until_it_is_uninstalled(daemon, kws):
    """Now, and at every login; by this interpreter, with this config."""
    config = daemon / 'it\'s "odd" \\x41 $$ ${HOME} %n\n;.toml'
    told = systemd.install(config)

    assert told[0] == f"installed {systemd.path()}; it runs"
    assert "loginctl enable-linger" in told[-1]
    argv = json.loads((daemon / "argv").read_text())
    assert argv == [*FLAGS, "-m", "kws", "serve", "--config", str(config)]
    assert (systemd.path().parent / "default.target.wants" / "kws.service").is_symlink()
    status = kws("service", "status", "--json")
    news = json.loads(status.out)
    assert (status.code, news["state"], news["says"]) == (0, "active", "hears yes, no")
    assert news["unit"] == str(systemd.path())
    assert abs(time.time() - news["since"]) < PATIENCE_S

    removed = kws("service", "uninstall")

    assert (removed.code, removed.out) == (0, f"removed {systemd.path()}\n")
    assert (daemon / "stopped").exists()
    assert not list(systemd.path().parent.rglob("kws.service"))
    status = kws("service", "status")
    assert (status.code, status.err) == (1, "")
    assert status.out == "not installed; `kws service install` does that\n"
    assert kws("service", "uninstall").out == f"not installed: there is no {systemd.path()}\n"


def test_installed_again_it_runs_with_the_new_config(daemon, tmp_path):
    """The old one is stopped."""
    systemd.install(tmp_path / "old.toml")
    systemd.install(tmp_path / "new.toml")

    assert (daemon / "stopped").exists()
    assert json.loads((daemon / "argv").read_text())[-1] == str(tmp_path / "new.toml")
    assert systemd.status().state == "active"


def test_it_is_reloaded_without_an_end(daemon):
    """`systemctl reload` waits until the config was read."""
    systemd.install(None)
    began = systemd.status().since
    systemd._systemctl("reload", systemd.NAME)
    wait(lambda: systemd.status().says == "read again")

    assert systemd.status().state == "active"
    assert (systemd.status().since, systemd.status().restarts) == (began, 0)


def test_a_daemon_that_has_gone_deaf_is_started_anew(daemon):
    """It runs, but feeds the watchdog no more."""
    systemd.install(None)
    (daemon / "deaf").touch()
    wait(lambda: systemd.status().restarts)
    (daemon / "deaf").unlink()

    wait(lambda: systemd.status().state == "active")


def test_a_daemon_that_loses_its_microphone_is_started_anew(daemon, kws):
    """However often, and `status` tells."""
    systemd.install(None)
    for times in range(1, 8):  # more than systemd allows unless told
        end(daemon, 3)
        wait(lambda times=times: systemd.status().restarts == times)
    wait(lambda: systemd.status().state == "active")

    assert "started anew 7 times" in kws("service", "status").out


def test_a_daemon_with_a_wrong_config_is_left_alone(daemon, kws):
    """It would only fail again: at once when it is installed, or later."""
    systemd.install(None)
    end(daemon, 2)
    wait(lambda: systemd.status().state == "failed")
    status = kws("service", "status")

    assert (status.code, systemd.status().restarts) == (1, 0)
    assert status.out.startswith("failed (failed) since ")
    assert "it last ended with: exit-code" in status.out

    (daemon / "broken").touch()
    with pytest.raises(ConfigError, match="does not start; see journalctl --user -u kws"):
        systemd.install(None)


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
NASTY = st.text(st.sampled_from("%$\\\"' \n\t\x7f;{}x41#hé"))


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(words=st.lists(TEXTS | NASTY, min_size=50, max_size=100))
@example(words=[*ODD, "\\x41", "\\", '"', "'", "", ";", "\udcff\udc80", "\x01", "${PATH}"])
def test_every_word_reaches_the_program_as_it_is(daemon, words):
    """Whatever a path holds."""
    out = daemon / "words"
    code = "import json, sys; json.dump(sys.argv[2:], open(sys.argv[1], 'w'))"
    line = " ".join(map(unit.quoted, [PYTHON, "-c", code, str(out), *words]))
    place = systemd.path().with_name("words.service")
    place.write_text(f"[Service]\nType=oneshot\nExecStart=:{line}\n", encoding="utf-8")
    systemd._systemctl("daemon-reload")
    systemd._systemctl("start", place.name)

    assert json.loads(out.read_text()) == words


# What users are told, with a stand-in for systemd


STAND_IN = """#!/bin/sh
echo "$*" >>"$0.asked"
if grep -q -x -e "$2" -e all "$0.fails"; then cat "$0.says" >&2; exit 1; fi
[ ! -e "$0.$2" ] || cat "$0.$2"
"""


class StandIn:
    """Programs in place of systemctl and loginctl: what they were asked, what they answer."""

    def __init__(self, folder):
        self._folder = folder
        for name in ("systemctl", "loginctl"):
            (folder / name).write_text(STAND_IN)
            (folder / name).chmod(0o755)
            self.says(name)

    def says(self, program, says="", fails="nothing"):
        """Let an action of a program fail, and say so."""
        (self._folder / f"{program}.fails").write_text(fails)
        (self._folder / f"{program}.says").write_text(says)

    def answers(self, program, action, answer):
        (self._folder / f"{program}.{action}").write_text(answer)

    @property
    def asked(self):
        asked = self._folder / "systemctl.asked"
        return asked.read_text().splitlines() if asked.exists() else []


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """No systemd, but what looks like one, and a home."""
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "configs"))
    monkeypatch.setattr(sys, "executable", "/opt/kws/bin/python")
    return StandIn(programs)


@pytest.fixture
def config(tmp_path):
    """A config in which nothing is wrong."""
    path = tmp_path / "kws.toml"
    path.write_text("")
    return path


def test_installing_asks_systemd_in_this_order(stand_in, kws, config):
    """And leaves no other file."""
    done = kws("service", "install", "--config", config)
    place = systemd.path()

    assert (done.code, done.err) == (0, "")
    assert stand_in.asked == [
        "--user show --property=Version",
        "--user daemon-reload",
        "--user enable kws.service",
        "--user restart kws.service",
    ]
    assert place.read_text() == unit.text(sys.executable, str(config))
    assert list(place.parent.iterdir()) == [place]
    assert done.out.splitlines() == [
        f"installed {place}; it runs", f"logs: {systemd.LOGS}", systemd.LINGER
    ]  # fmt: skip


def test_linger_is_only_spoken_of_where_it_is_off(stand_in, kws):
    """A service that runs without a login needs no advice."""
    stand_in.answers("loginctl", str(os.getuid()), "yes\n")

    assert systemd.LINGER not in kws("service", "install").out
    assert json.loads(kws("service", "status", "--json").out)["lingers"] is True


def test_printing_changes_nothing(stand_in, kws):
    """Nor does it ask systemd."""
    done = kws("service", "install", "--print", "--config", "my kws.toml")

    assert (done.code, done.err) == (0, "")
    assert done.out == unit.text(sys.executable, str(Path("my kws.toml").absolute()))
    assert (stand_in.asked, systemd.path().exists()) == ([], False)


@pytest.mark.parametrize("content", [None, "=", "[listen]\nwaek = []\n"])
def test_a_wrong_config_is_found_before_anything_is_done(stand_in, kws, config, content):
    """Missing, no TOML, an unknown key: as `kws serve` would tell it."""
    config.write_text(content) if content else config.unlink()
    done = kws("service", "install", "--config", config)

    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert done.err.startswith(f"kws: {config}")
    assert (stand_in.asked, systemd.path().exists()) == ([], False)


def test_the_default_config_is_looked_at_too(stand_in, kws, tmp_path):
    """It is what the service would read."""
    default = tmp_path / "configs" / "kws" / "kws.toml"
    default.parent.mkdir(parents=True)
    default.write_text("=")

    assert kws("service", "install").code == 2
    assert stand_in.asked == []


@pytest.mark.parametrize("action", ["install", "uninstall", "status"])
def test_without_systemd_it_says_what_to_do(stand_in, kws, monkeypatch, action):
    """No systemctl, as on macOS and Windows; a bus that is not there, as in a container."""
    put(systemd.path(), unit.text(sys.executable, None))
    before = systemd.path().read_text()
    stand_in.says("systemctl", "Failed to connect to bus:\nNo medium found", fails="all")
    container = kws("service", action)
    answers = {}
    monkeypatch.setenv("APPDATA", os.environ["XDG_CONFIG_HOME"])  # where Windows has its configs
    for platform in ("linux", "darwin", "win32"):
        monkeypatch.setattr(sys, "platform", platform)
        monkeypatch.setenv("PATH", "/nowhere")
        answers[platform] = kws("service", action)

    assert container.code == 2
    assert container.err.startswith(
        "kws: systemctl --user: Failed to connect to bus: No medium found; log in as this user"
    )
    assert {(each.code, each.out, each.err.count("\n")) for each in answers.values()} == {
        (2, "", 1)
    }
    assert "in a container, as its command" in answers["linux"].err
    assert "launchd" in answers["darwin"].err
    assert "Task Scheduler" in answers["win32"].err
    assert systemd.path().read_text() == before


@pytest.mark.parametrize("action", ["install", "uninstall"])
@pytest.mark.parametrize("foreign", ["[Service]\nExecStart=/bin/true\n", "", b"\xff"])
def test_a_unit_of_somebody_else_is_left_alone(stand_in, kws, action, foreign):
    """Written by hand, masked, or garbage."""
    put(systemd.path(), foreign)
    before = systemd.path().read_bytes()
    done = kws("service", action)

    assert (done.code, done.out) == (2, "")
    assert "was not written by `kws service install`; move it away first" in done.err
    assert systemd.path().read_bytes() == before


def test_a_unit_that_cannot_be_written_is_an_error(stand_in, kws, tmp_path):
    """In one line."""
    (tmp_path / "configs").write_text("a file where a folder should be")
    done = kws("service", "install")

    assert done.code == 2
    assert f"{systemd.path()}: can't be written (" in done.err


def test_a_service_that_does_not_start_is_told(stand_in, kws):
    """With where to look."""
    stand_in.says("systemctl", "Job for kws.service failed.", fails="restart")
    done = kws("service", "install")

    assert (done.code, done.out) == (2, "")
    assert done.err == (
        f"kws: {systemd.path()} is installed but does not start; see journalctl --user -u kws\n"
    )


def test_whatever_systemd_refuses_is_told_in_its_words(stand_in, kws):
    """Even what nobody thought of."""
    stand_in.says("systemctl", "Refusing\nto operate.", fails="enable")
    done = kws("service", "install")

    assert done.err == "kws: systemctl --user enable kws.service failed: Refusing to operate.\n"


def test_status_is_told_in_words(stand_in, kws):
    """Since when, what it says itself, where the logs are."""
    put(systemd.path(), unit.text(sys.executable, None))
    stand_in.answers("systemctl", "show", SHOWN)
    done = kws("service", "status")

    assert (done.code, done.err) == (1, "")
    lines = done.out.splitlines()
    assert lines[0].startswith("activating (auto-restart) since 2026-")
    assert lines[1:] == [
        "looks for the microphone = since 2 h",
        "started anew 7 times; it last ended with: watchdog",
        f"unit: {systemd.path()}",
        f"logs: {systemd.LOGS}",
        systemd.LINGER,
    ]
    assert systemd.status().since == 1795141800


SHOWN = """\
ActiveState=activating
SubState=auto-restart
ActiveEnterTimestamp=
StateChangeTimestamp=Fri 2026-11-20 02:30:00 UTC
StatusText=looks for the microphone = since 2 h
Result=watchdog
NRestarts=7
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["status", "--config", "kws.toml"],
        ["uninstall", "--print"],
        ["install", "--json"],
        ["restart"],
        [],
    ],
)
def test_options_that_belong_elsewhere_are_refused(stand_in, kws, arguments):
    """Rather than ignored."""
    done = kws("service", *arguments)

    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert stand_in.asked == []


def put(path, content):
    path.parent.mkdir(parents=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
