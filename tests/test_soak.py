"""Listening for long makes nothing grow: a short form of `make soak`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HOURS, WARM_UP = 1.0, 0.3
GROWTH_MIB = 5
"""Blocks that are kept cost 250."""


@pytest.fixture(scope="module")
def soaked(tmp_path_factory):
    """What a daemon came to that has heard for an hour or so."""
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

    assert sum(soaked["told"].values()) == outlets["jsonl"]["sent"] == outlets["jsonl"]["given"]
    # Nobody takes them: how many of them were tried before they were dropped is a matter of time.
    webhook = outlets["webhook"]
    assert webhook["given"] == soaked["told"]["detection"] == webhook["failed"] + webhook["dropped"]
    assert webhook["failed"] > 0
    assert outlets["recordings"]["failed"] == outlets["command"]["failed"] == 0


def test_much_happened_meanwhile(soaked):
    assert soaked["told"]["detection"] > 200 * HOURS
    assert soaked["told"]["microphone_lost"] == soaked["told"]["microphone_returned"] > 0
    assert soaked["reloads"] + soaked["reloads_refused"] == soaked["losses"] > 10
    assert soaked["reloads_refused"] == soaked["losses"] / 4
    assert soaked["self_tests"] > 5 * HOURS
    assert soaked["watchdog_fed"] == soaked["ticks"]
    assert soaked["recordings"] == 50
