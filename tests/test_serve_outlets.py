"""Who is told: a sink's queue and thread, and all sinks together."""

import threading
import time
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving import PATIENCE_S, says
from telling import World, heard, living, until

from kws.errors import SinkError
from kws.serve import audience
from kws.serve.audience import Audience, Seat, seats
from kws.serve.config import Config, Sink
from kws.serve.ears import DiedError
from kws.serve.outlets import Outlet
from kws.sinks import Around, Heard, Lost, Playing


def test_a_sink_that_hangs_never_holds_who_tells():
    """Late news is no news: the oldest are dropped, counted, and told at 1, 2, 4 and 8."""
    (lines, say), hangs, taken = says(), threading.Event(), []

    def take(item):
        taken.append(item)
        hangs.wait()

    outlet = Outlet("bell", take, say, size=4)
    outlet.put(0)
    until(lambda: taken)
    for item in range(1, 14):
        outlet.put(item)

    assert outlet.dropped == 9
    told = [("warning", f"bell is too slow: {count} dropped so far") for count in (1, 2, 4, 8)]
    assert told == lines
    outlet.finish()
    assert outlet.join(0.01) == 5
    hangs.set()
    assert outlet.join(PATIENCE_S) == 0
    assert [0, 10, 11, 12, 13] == taken


def test_all_that_waits_is_told_before_the_end():
    order, (lines, say) = [], says()
    outlet = Outlet(
        "file",
        order.append,
        say,
        begin=lambda: order.append("begin"),
        end=lambda: order.append("end"),
        wants=lambda item: item != 2,
    )
    for item in range(4):
        outlet.put(item)
    outlet.finish()

    assert outlet.join(PATIENCE_S) == 0
    assert ["begin", 0, 1, 3, "end"] == order
    assert (3, 0, 0) == (outlet.sent, outlet.failed, outlet.dropped)
    assert not lines


def test_a_sink_that_fails_is_told_and_goes_on():
    lines, say = says()

    def take(item):
        if item != 1:
            raise SinkError(f"no {item}")

    def begin():
        raise ConnectionRefusedError("nobody there")

    outlet = Outlet("web", take, say, begin=begin)
    for item in range(3):
        outlet.put(item)
    outlet.finish()

    assert outlet.join(PATIENCE_S) == 0
    assert (1, 2) == (outlet.sent, outlet.failed)
    assert ["web: nobody there", "web: no 0", "web: no 2"] == [text for _, text in lines]
    assert outlet.failure is None


def test_what_a_sink_does_not_expect_kills_its_thread():
    def take(item):
        raise ValueError(item)

    outlet = Outlet("web", take, print)
    outlet.put(7)
    until(lambda: outlet.failure)

    assert isinstance(outlet.failure, ValueError)
    assert outlet.join(PATIENCE_S) == 0


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(st.sampled_from(["put", "put", "put", "allow"]), max_size=40),
    broken=st.sets(st.integers(0, 30)),
    size=st.integers(1, 5),
    hang=st.booleans(),
)
def test_every_item_has_one_fate(steps, broken, size, hang):
    """Sent, failed, dropped, or left in the end: each exactly once, in order."""
    changed, begun, seen, allowed, count = threading.Condition(), [], [], 0, 0

    def take(item):
        with changed:
            begun.append(item)
            changed.wait_for(lambda: allowed > len(seen))
            seen.append(item)
        if item in broken:
            raise OSError

    def allow(more):
        nonlocal allowed
        with changed:
            allowed += more
            changed.notify()

    def settled():
        """Return whether it has ended, or waits in an item for leave to go on."""
        with changed:
            waits = len(begun) > len(seen) == allowed
        return waits or not outlet.running

    outlet = Outlet("slow", take, lambda level, text: None, size=size)
    for step in steps:
        if step == "put":
            outlet.put(count)
            count += 1
        else:
            allow(1)
    allow(0 if hang else count + 1)
    outlet.finish()
    until(settled)
    left = outlet.join(0.0 if hang else PATIENCE_S)

    assert count == outlet.sent + outlet.failed + outlet.dropped + left
    assert outlet.sent + outlet.failed == len(seen)
    assert outlet.failed == len(broken & set(seen))
    assert sorted(set(seen)) == seen
    assert hang or left == 0
    allow(count + 1)


# -- all sinks --------------------------------------------------------------------------------


class Bell:
    """A sink by hand."""

    wants = frozenset({Heard, Lost})

    def __init__(self, name, order, *, error=None):
        self.name, self.order, self.error, self.hangs = name, order, error, threading.Event()
        self.hangs.set()

    def start(self):
        self.order.append((self.name, "opens"))

    def send(self, fact):
        self.hangs.wait(PATIENCE_S)
        if self.error is not None:
            raise self.error
        told = {Heard: "keyword", Lost: "reason"}.get(type(fact))
        self.order.append((self.name, getattr(fact, told) if told else "playback"))

    def close(self):
        self.order.append((self.name, "closes"))


def seat(bell, **wanted):
    settings = wanted.pop("settings", bell.name)
    around = Around((), ("kitchen",), print, print)
    return Seat(Sink(type="bell", settings=settings, **wanted), around, bell)


LOST = Lost(wall_time=1.0, microphone="kitchen", reason="unplugged")


def test_facts_go_to_who_wants_them():
    order, told = [], Audience()
    bells = [Bell(name, order) for name in ("all", "yes", "losses", "playing")]
    told.arrange(
        [
            seat(bells[0]),
            seat(bells[1], keywords=("yes",)),
            seat(bells[2], events=("microphone_lost",)),
            seat(bells[3], events=("playback",)),
        ]
    )
    for fact in (heard("yes"), heard("no"), LOST, Playing(wall_time=1.0, on=True)):
        told.tell(fact)
    told.close(PATIENCE_S)
    order = [entry for entry in order if entry[1] not in ("opens", "closes")]
    taken = {bell.name: [what for name, what in order if name == bell.name] for bell in bells}

    assert taken == {
        "all": ["yes", "no", "unplugged"],
        "yes": ["yes", "unplugged"],
        "losses": ["unplugged"],
        "playing": ["playback"],
    }


def test_a_sink_that_stays_is_left_alone_and_a_changed_one_is_closed_first():
    """Two with one name would get in each other's way; what is told meanwhile is not lost."""
    order, told = [], Audience()
    stays, old, new = (Bell(name, order) for name in ("stays", "old", "new"))
    told.arrange([seat(stays), seat(old)])
    old.hangs.clear()
    told.tell(heard("yes"))
    told.arrange([seat(Bell("stays", order)), seat(new)])
    told.tell(heard("no"))
    until(lambda: ("stays", "no") in order)
    old.hangs.set()
    until(lambda: ("new", "no") in order)
    told.close(PATIENCE_S)

    handed_over = [entry for entry in order if entry[0] != "stays"]
    assert handed_over == [
        *[("old", "opens"), ("old", "yes"), ("old", "closes")],
        *[("new", "opens"), ("new", "no"), ("new", "closes")],
    ]
    assert ["opens", "yes", "no", "closes"] == [what for name, what in order if name == "stays"]


class Poster(Bell):
    """A sink that leaves something behind."""

    def withdraw(self, others):
        self.order.append((self.name, "withdraws but for", [other.name for other in others]))


def test_a_sink_that_goes_is_told_who_stays():
    """So that it can take away what nobody else left there; at the daemon's end all stays."""
    order, told = [], Audience()
    told.arrange([seat(Poster("old", order)), seat(Poster("stays", order))])
    told.arrange([seat(Poster("stays", order)), seat(Poster("new", order))])
    told.close(PATIENCE_S)

    assert [("old", "withdraws but for", ["stays", "new"])] == [e for e in order if len(e) == 3]
    assert order.index(("old", "closes")) > order.index(
        ("old", "withdraws but for", ["stays", "new"])
    )


def test_a_file_that_settings_name_counts_as_they_do(tmp_path):
    """A password that was changed in its file is used from the next reload on."""
    file = tmp_path / "password"
    given = {"host": "x", "username": "kws", "password_file": str(file)}
    config = Config(sink=[{"type": "mqtt", **given}, {"type": "mqtt", "host": "y"}])
    built = SimpleNamespace(config=config, keywords=(), words={})

    def made(password):
        file.write_text(password)
        return seats(built, None, print)

    (old, plain), (same, _), (new, other) = made("a"), made("a"), made("b")
    assert old.same(same)
    assert not old.same(new)
    assert plain.same(other)


def test_a_sink_that_hangs_does_not_keep_its_heir_waiting_for_long(monkeypatch, caplog):
    monkeypatch.setattr(audience, "HANDOVER_S", 0.05)
    order, told = [], Audience()
    old, new = Bell("old", order), Bell("new", order)
    told.arrange([seat(old)])
    old.hangs.clear()
    told.tell(heard("yes"))
    told.arrange([seat(new)])
    told.tell(heard("no"))
    until(lambda: ("new", "no") in order)

    assert "bell: ended with 1 untold" in caplog.messages
    old.hangs.set()


def test_a_command_that_runs_is_ended(tmp_path):
    """And what it began; those that wait behind it are not run any more."""
    world, told, path = World(), Audience(), tmp_path / "pid"
    run = ["sh", "-c", 'sleep 600 & echo $! >> "$0"; wait', str(path)]
    sleeps = Seat(
        Sink("command", None), world.around, world.make("command", run=run, timeout_s=600)
    )
    told.arrange([sleeps])
    for _ in range(3):
        told.tell(heard())
    until(lambda: path.exists() and path.read_text())
    began = time.monotonic()
    told.close(0.2)
    took_s = time.monotonic() - began

    until(lambda: not living(path))
    assert took_s < PATIENCE_S / 2
    assert len(path.read_text().split()) == 1


def test_a_command_that_was_replaced_ends_with_the_others(tmp_path, monkeypatch):
    """Until then it may go on, though its heir works already."""
    monkeypatch.setattr(audience, "HANDOVER_S", 0.05)
    world, told, path = World(), Audience(), tmp_path / "pid"
    run = ["sh", "-c", 'echo $$ > "$0"; exec sleep 600', str(path)]
    told.arrange(
        [Seat(Sink("command", None), world.around, world.make("command", run=run, timeout_s=600))]
    )
    told.tell(heard())
    until(lambda: path.exists() and path.read_text())
    order = []
    told.arrange([seat(Bell("heir", order))])
    told.tell(heard("yes"))
    until(lambda: ("heir", "yes") in order)
    assert living(path)
    told.close(0.2)

    until(lambda: not living(path))


def test_a_sink_whose_thread_died_ends_the_daemon():
    told, bell = Audience(), Bell("one", [], error=ValueError("what?"))
    told.arrange([seat(bell)])
    told.check()
    told.tell(heard())
    until(lambda: told._seats[0][1].failure)

    with pytest.raises(
        DiedError, match=r"sink bell: its thread died \(ValueError: what\?\)"
    ) as died:
        told.check()
    assert died.value.exit_code == 4
