"""Listening for long makes nothing grow: a short form of `make soak`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kws.serve.daemon import TICK_S

ROOT = Path(__file__).parent.parent
HOURS, WARM_UP = 2.0, 0.3
SINKS = ["jsonl on the full disk", "jsonl to stdout", "command sleep"]
"""Those that something keeps from telling all."""
GROWTH_MIB = 15
"""Blocks that are kept cost 250; where memory is short, what was given back comes and goes."""


@pytest.fixture(scope="module")
def soaked(tmp_path_factory):
    """What a daemon came to that has heard for two hours or so."""
    out = tmp_path_factory.mktemp("soaked") / "soak.json"
    options = ["--hours", str(HOURS), "--warm-up", str(WARM_UP), "--out", str(out)]
    command = [sys.executable, "-m", "benchmarks.soak", *options]
    subprocess.run(command, cwd=ROOT, check=True, timeout=600)
    return json.loads(out.read_text())


pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no SIGHUP, no resource")


def test_nothing_grows(soaked):
    warm, end = soaked["warm"], soaked["end"]

    assert end["hours"] > warm["hours"]
    assert soaked["growth_mib"] <= GROWTH_MIB
    assert (warm["threads"], warm["files"]) == (end["threads"], end["files"])
    assert soaked["threads_left"] == 0


def test_every_fact_is_accounted_for(soaked):
    """Also those of sinks that were replaced, and those that came too fast."""
    outlets = soaked["outlets"]
    for name, each in outlets.items():
        assert each["given"] == each["sent"] + each["failed"] + each["dropped"], name

    file = outlets["jsonl"]
    assert sum(soaked["told"].values()) == file["sent"] == file["given"]
    # Nobody takes them: how many of them were tried before they were dropped is a matter of time.
    webhook = outlets["webhook"]
    assert webhook["given"] == soaked["told"]["detection"] == webhook["failed"] + webhook["dropped"]
    assert webhook["failed"] > 0
    assert outlets["command true"]["failed"] == 0


def test_what_a_full_disk_and_readers_that_never_read_cost_is_counted(soaked):
    """Each line of the log too; and the other sinks take no notice."""
    outlets, printed = soaked["outlets"], soaked["printed"]
    disk, stdout, stuck = (outlets[name] for name in SINKS)

    assert soaked["facts_on_full_disk"] == disk["sent"]
    if soaked["full_disk"] == "tmpfs":
        assert disk["failed"] > 0
        assert outlets["recordings"]["failed"] > 0
    assert disk["sent"] > 0
    assert outlets["recordings"]["sent"] > 50
    assert printed["stdout"]["read"] == stdout["sent"]
    assert stdout["failed"] + stdout["dropped"] > 0
    assert (stuck["sent"], stuck["given"]) == (0, stuck["failed"] + stuck["dropped"])
    assert printed["stderr"]["unaccounted"] in {0, 1}  # one may have been half written
    assert printed["stderr"]["dropped"] > 0


def test_no_audio_is_lost_uncounted(soaked):
    """A microphone's first audio comes up to a tick late on this clock, and counts as lost."""
    seconds, lives = soaked["seconds"], soaked["losses"] + soaked["flaps"] + 1
    away = seconds["clock"] - seconds["delivered"]

    assert seconds["counted_heard"] == pytest.approx(seconds["delivered"], abs=0.1)
    assert away - 0.1 <= seconds["counted_lost"] <= away + lives * TICK_S
    assert soaked["words"]["heard"] >= 0.95 * soaked["words"]["expected"]
    assert soaked["flaps"] >= 16


def test_much_happened_meanwhile(soaked):
    assert soaked["told"]["detection"] > 100 * HOURS
    assert soaked["told"]["microphone_lost"] == soaked["told"]["microphone_returned"] > 0
    assert soaked["reloads"] + soaked["reloads_refused"] == soaked["losses"] == 8
    assert soaked["reloads_refused"] == soaked["losses"] / 4
    assert soaked["self_tests"] > 5 * HOURS
    assert soaked["watchdog_fed"] == soaked["ticks"]
    assert soaked["recordings"] == 50
