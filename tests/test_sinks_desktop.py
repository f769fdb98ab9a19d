"""Desktop notifications: a real notify-send, a real session bus, and a server of ours on it."""

import html
import subprocess
import threading

import pytest
from telling import FACTS, World, find, heard, need

from kws.errors import ConfigError, SinkError
from kws.sinks import desktop

NAME = "org.freedesktop.Notifications"
EVIL = r"-h <b>x</b> & \n é" + "\n"
"""A word that would be an option, markup and an escape, if it were let."""


class Bus:
    """A session bus of its own. shown: what its notification server, if it has one, was told."""

    def __init__(self):
        options = ["--session", "--nofork", "--nopidfile", "--print-address=1"]
        self._daemon = subprocess.Popen(
            [find("dbus-daemon"), *options], stdout=subprocess.PIPE, text=True
        )
        self.address = self._daemon.stdout.readline().strip()
        self.shown = []

    def serve(self):
        """Take notifications from now on."""
        from jeepney.bus_messages import message_bus
        from jeepney.io.blocking import Proxy, open_dbus_connection

        self._connection = open_dbus_connection(bus=self.address)
        Proxy(message_bus, self._connection).RequestName(NAME)
        threading.Thread(target=self._answer, daemon=True).start()

    def _answer(self):
        from jeepney import HeaderFields, MessageType, new_method_return

        answers = {
            "Notify": ("u", (7,)),
            "GetCapabilities": ("as", (["body", "body-markup"],)),
            "GetServerInformation": ("ssss", ("ours", "kws", "1", "1.2")),
        }
        with self._connection as connection:
            while True:
                try:
                    message = connection.receive()
                except OSError:
                    return  # the bus has ended
                if message.header.message_type is MessageType.method_call:
                    member = message.header.fields[HeaderFields.member]
                    if member == "Notify":
                        self.shown.append(message.body)
                    connection.send(new_method_return(message, *answers[member]))

    def close(self):
        self._daemon.kill()
        self._daemon.communicate()


@pytest.fixture
def bus(request, monkeypatch):
    need(request, "libnotify-bin dbus", "notify-send", "dbus-daemon")
    made = Bus()
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", made.address)
    yield made
    made.close()


def test_a_word_is_shown(bus):
    bus.serve()
    sink = World().make("desktop", urgency="critical", timeout_s=2.5)
    sink.start()
    sink.send(heard())
    sink.close()

    [(app, _, _, summary, body, _, hints, expires)] = bus.shown
    assert ("kws", "kws", "heard jarvis (0.93), kitchen") == (app, summary, body)
    assert (2, 2_500) == (hints["urgency"][1], expires)


def test_a_word_is_nothing_but_text(bus):
    """Neither an option, nor markup, nor an escape of notify-send."""
    bus.serve()
    World().make("desktop").send(heard(EVIL))

    [(_, _, _, summary, body, *_)] = bus.shown
    assert "kws" == summary
    assert "<" not in body
    assert f"heard {EVIL.replace(chr(10), ' ')} (0.93), kitchen" == html.unescape(body)


def test_other_facts_can_be_shown(bus):
    bus.serve()
    sink = World().make("desktop")
    for fact in FACTS[1:]:
        sink.send(fact)

    assert [
        "hears nothing any more: unplugged, kitchen",
        "hears again, after 2 s, kitchen",
        "hearing is deaf: silence; for a minute, kitchen",
        "playback begins",
    ] == [body for *_, body, _, _, _ in bus.shown]


def test_a_bus_that_shows_nothing_is_a_sinks_error(bus):
    with pytest.raises(SinkError, match=f"notify-send: ended with 1: .*{NAME}"):
        World().make("desktop").send(heard())


def test_no_bus_is_a_sinks_error(bus, monkeypatch):
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere")
    with pytest.raises(SinkError, match=r"notify-send: ended with 1: .*No such file"):
        World().make("desktop").send(heard())


def test_a_missing_program_is_said_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="notify-send is not there; apt install libnotify-bin"):
        World().make("desktop")


@pytest.mark.parametrize(("platform", "at"), [("darwin", 3), ("win32", None)])
def test_elsewhere_a_word_is_never_part_of_a_script(platform, at):
    """As far as that can be said without these systems: it is an argument or in a variable."""
    settings = desktop.Settings()
    text = desktop.said(heard('" & (do shell script "x") & $(x) `x'))
    line = desktop.command(platform, settings, text)

    assert at == (line.index(text) if text in line else None)
    assert not [part for part in line if "do shell" in part and part != text]
    assert not text.startswith("-")
