"""The voices of espeak-ng, flite and festival that this computer has."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Voice:
    """Somebody who can speak: a program, and its name for the voice."""

    program: str
    name: str

    def __str__(self) -> str:
        return f"{self.program}-{self.name}"


PROGRAMS = {"flite": "flite", "espeak-ng": "espeak-ng", "festival": "text2wave"}
"""What is run to speak, by program."""

CAST = [
    Voice("flite", "awb"),
    Voice("flite", "kal16"),
    Voice("flite", "rms"),
    Voice("flite", "slt"),
    Voice("espeak-ng", "en-us"),
    Voice("espeak-ng", "en-us+f3"),
    Voice("espeak-ng", "en-gb-x-rp"),
    Voice("festival", "kal_diphone"),
]
"""Who says the demo, the default clips and the tests' words: English voices of Debian's packages
flite, espeak-ng and festival."""

_SEXES = [*(f"m{number}" for number in range(1, 9)), *(f"f{number}" for number in range(1, 6))]
_NAMED = ["Alex", "Andrea", "Andy", "Annie", "Denis", "Gene", "Lee", "Michael", "linda", "steph"]
"""Variants that a person's voice could pass for; robots, whispers and croaks are left out."""

_FLITE_LEFT_OUT = {"awb_time", "kal"}
"""awb_time says times of day only; kal is kal16 at 8 kHz."""


def installed() -> list[Voice]:
    """Return every English voice here, program by program; none: an empty list."""
    return [*_flite(), *_espeak(), *_festival()]


def _flite() -> list[Voice]:
    names = _printed("flite", "-lv").partition(":")[2].split()
    return [Voice("flite", name) for name in names if name not in _FLITE_LEFT_OUT]


def _espeak() -> list[Voice]:
    """Every accent as it is; every variant in the two main accents, two in each other one."""
    rows = [line.split() for line in _printed("espeak-ng", "--voices=en").splitlines()[1:]]
    # mb/ wants another program and its data.
    found = dict.fromkeys(row[1] for row in rows if not row[4].startswith(("mb/", "!v/")))
    # en-gb speaks, but ignores every variant; its own name, en, does not.
    accents = ["en" if accent == "en-gb" else accent for accent in found]
    listed = _printed("espeak-ng", "--voices=variant").split()
    variants = [name for name in [*_SEXES, *_NAMED] if f"!v/{name}" in listed]
    names = list(accents)
    for number, accent in enumerate(accents):
        widespread = accent in {"en-us", "en"}
        few = [f"m{number % 8 + 1}", f"f{number % 5 + 1}"]
        names += [f"{accent}+{name}" for name in variants if widespread or name in few]
    return [Voice("espeak-ng", name) for name in names]


def _festival() -> list[Voice]:
    if not shutil.which(PROGRAMS["festival"]):
        return []
    listed = _printed("festival", "-b", "(print (voice.list))").strip().strip("()")
    return [Voice("festival", name) for name in listed.split()]


def _printed(program: str, *arguments: str) -> str:
    """Return what a program prints; nothing, if it is not here or does not work."""
    try:
        return subprocess.run(
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
