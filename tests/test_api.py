"""The public functions: their options are written out, and their examples run."""

import doctest
import inspect
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import kws

ROOT = Path(__file__).parent.parent
MODELS = ROOT / "kws" / "models"
FUNCTIONS = [kws.classify, kws.devices, kws.listen, kws.load, kws.spot, kws.Spotter]


def options(function):
    return {
        name: (option.annotation, option.default, option.kind)
        for name, option in inspect.signature(function).parameters.items()
    }


def test_listen_and_spot_take_what_a_spotter_takes():
    """A file has no microphone; nothing else differs, nor hides behind **options."""
    expected = options(kws.Spotter)

    assert options(kws.listen) == expected
    del expected["device"]
    assert {name: it for name, it in options(kws.spot).items() if name != "path"} == expected


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_examples_run(function, monkeypatch):
    """Each has one, and what it prints is what it says."""
    monkeypatch.chdir(MODELS)  # where demo.flac lies
    found = doctest.DocTestFinder(recurse=False).find(function, globs={"kws": kws})
    examples = [example for test in found for example in test.examples]
    runner = doctest.DocTestRunner()
    for test in found:
        runner.run(test)

    assert examples
    assert runner.summarize(verbose=False).failed == 0


MISSPELT = """
import kws

kws.listen(treshold=0.5)
kws.spot("demo.flac", treshold=0.5)
kws.Spotter(treshold=0.5)
kws.classify("demo.flac", tpo=1)

source: kws.Source
stats: kws.Stats = kws.Spotter(keywords="yes", threshold={"yes": 0.5}).stats
words: list[str] = [each.keyword for each in kws.listen(device="kitchen", channel="mean")]
"""


def test_a_type_checker_catches_a_misspelt_option(tmp_path):
    """Each of the four, and nothing else."""
    pytest.importorskip("mypy")
    program = tmp_path / "program.py"
    program.write_text(MISSPELT)
    command = [sys.executable, "-m", "mypy", "--config-file", ROOT / "pyproject.toml", program]
    said = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT).stdout
    wrong = [line.partition(": error: ")[2] for line in said.splitlines() if ": error: " in line]

    assert Counter(line.partition(" for ")[0] for line in wrong) == {
        'Unexpected keyword argument "treshold"': 3,
        'Unexpected keyword argument "tpo"': 1,
    }, said
