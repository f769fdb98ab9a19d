"""Levels in dBFS, against what the definition gives."""

import math
import re
from pathlib import Path

import numpy as np
import pytest

from kws.levels import frames_db, power_db, rms_db

ROOT = Path(__file__).parent.parent


def test_full_scale_is_0_and_a_tenth_of_it_20_below():
    square = np.tile(np.float32([1, -1]), 100)

    assert rms_db(square) == 0
    assert rms_db(square / 10) == pytest.approx(-20, abs=1e-4)
    assert power_db(0.5) == pytest.approx(-3.0103, abs=1e-4)


def test_silence_has_the_lowest_level():
    assert rms_db(np.zeros(10, np.float32)) == rms_db(np.zeros(0, np.float32)) == -120
    assert power_db(0.0, -math.inf) == -math.inf
    assert power_db(1e-30) == -120


def test_frames_have_a_level_each_and_the_rest_none():
    samples = np.repeat(np.float32([1, 0.1, 0]), 160)

    assert frames_db(samples[:-1], 160) == pytest.approx([0, -20], abs=1e-4)
    assert frames_db(samples, 160)[2] == pytest.approx(-100)


def test_each_is_written_once():
    """Who needs a level or a file that is whole or not at all takes what is there."""
    level, whole = re.compile(r"10 \* (np|math)\.log10"), re.compile(r"partial\.replace\(path\)")
    found = {
        (path.relative_to(ROOT).as_posix(), pattern.pattern)
        for folder in ("kws", "export", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
        for pattern in (level, whole)
        if pattern.search(path.read_text(encoding="utf-8"))
    }

    assert found == {
        ("kws/levels.py", level.pattern),
        ("kws/files.py", whole.pattern),
        ("export/packages.py", whole.pattern),  # out of a folder that holds more
    }
