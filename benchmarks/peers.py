"""Beside the peers: `python -m benchmarks.peers --work DIR` -> benchmarks/peers.json, peers.svg.

Other keyword spotters from PyPI, each in a virtual environment of its own below DIR, and ours
from a wheel of this tree, hear the same streams of "alexa", the word they share: each recording
of the validation split once, clean and with speech or noise 10 dB below; false alarms are counted
over speech without it. What was heard before stays in DIR: when only our model has changed, only
ours runs again. `--cost` measures processor time, memory and start-up too, one spotter after
another: on an idle machine, please. `--quick` hears ten minutes without words and writes nothing.
Needs KWS_DATA.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.peer_figures import Said, figures
from benchmarks.peer_installs import PEERS, InstallError, installed, packages, state
from benchmarks.peer_runs import Job, RunError, cost, hear_all, kept
from benchmarks.peer_streams import WORD, Streams, mixed, shortened, streams
from benchmarks.peer_table import Cost, Entry, Result, plot, table

RESULT = Path(__file__).with_suffix(".json")
COST_S = 300.0
REMARKS = """\
ours was trained on other recordings of the same crowds; what the others heard is theirs to say
untranscribed speech lacks some 4 % of it, where a loose search suspected alexa, computer or jarvis
transcribed speech lacks the utterances with any of our words
all recordings once went through Opus, at 16 to 24 kbit/s
the words are few: read the 95 % intervals, not the last digit
matched: a score over the threshold is an event, a second at least after the last, alike for all
as shipped: events as the spotter's own client reports them, threshold and pauses included
delay: from the word's end to the event, at the lower of the matched rates, clean
CPU: over words in quiet and running speech, half and half, fed as fast as it goes
""".splitlines()


def main() -> int:
    """Install, hear, compare, print and write."""
    options = _options()
    wanted = options.only or list(PEERS)
    every = streams(options.work, options.split)
    if options.quick:
        every = shortened(every, options.work, 600)
    absent: dict[str, str] = {}
    pythons = _install(wanted, options.work, absent)
    jobs = [job for name in pythons for job in _jobs(name, every, options.quick)]
    for job, said in hear_all(jobs, pythons, options.work / "runs", options.workers).items():
        if isinstance(said, RunError):
            absent[job[0]] = str(said)
    if options.cost:
        _measure(pythons, options.work, mixed(every, options.work, COST_S), absent)
    result = _result(options.work, every, absent)
    print(table(result))
    if not options.quick:
        text = msgspec.json.format(msgspec.json.encode(result), indent=1)
        RESULT.write_bytes(text + b"\n")
        plot(result, RESULT.with_suffix(".svg"))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Keyword spotters side by side.")
    parser.add_argument("--work", type=Path, required=True, help="folder that keeps everything")
    parser.add_argument("--split", default="validation", choices=["calibration", "validation"])
    parser.add_argument(
        "--only", nargs="+", choices=list(PEERS), help="run these; the rest is kept"
    )
    parser.add_argument("--workers", type=int, default=1, help="spotters that run at a time")
    parser.add_argument("--cost", action="store_true", help="measure the costs too")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    options.work = options.work.resolve()
    options.work.mkdir(parents=True, exist_ok=True)
    return options


def _install(names: list[str], work: Path, absent: dict[str, str]) -> dict[str, Path]:
    pythons = {}
    for name in names:
        try:
            pythons[name] = installed(name, work)
        except InstallError as error:  # noqa: PERF203 - one that can't be had spoils no other
            absent[name] = str(error)
    return pythons


def _jobs(name: str, every: Streams, quick: bool) -> list[Job]:
    options = PEERS[name].options[: 1 if quick else None]
    return [(name, option, path) for option in options for path in every.files.values()]


def _measure(pythons: dict[str, Path], work: Path, audio: Path, absent: dict[str, str]) -> None:
    """Measure what each costs, one after another; keep it."""
    for name, python in pythons.items():
        try:
            taken = {"state": state(name), "cost": cost(name, python, audio, repeats=3)}
        except RunError as error:
            absent[name] = str(error)
            continue
        (work / f"cost-{name}.json").write_text(json.dumps(taken), encoding="utf-8")


def _result(work: Path, every: Streams, absent: dict[str, str]) -> Result:
    """Put together what is known of every spotter, heard now or before."""
    spotters = {}
    for name in PEERS:
        runs = _runs(name, every, work)
        if runs:
            version = packages(work / "venvs" / name / "bin" / "python")[name]
            figured = figures(runs, every)
            spotters[name] = Entry(version, PEERS[name].remark, figured, _cost(name, work))
        else:
            absent.setdefault(name, "not run yet")
    return Result(
        command=f"python -m benchmarks.peers {' '.join(_shown(sys.argv[1:]))}",
        date=time.strftime("%Y-%m-%d"),
        machine=_machine(),
        word=WORD,
        said={name: len(words) for name, (_, words) in every.words.items()},
        negative_hours={part: round(every.hours[part], 3) for part in every.parts},
        remarks=REMARKS,
        spotters=spotters,
        absent={name: reason for name, reason in absent.items() if name not in spotters},
    )


def _runs(name: str, every: Streams, work: Path) -> dict[str, Said]:
    """Return a spotter's complete runs by option; none without the one that ships."""
    runs: dict[str, Said] = {}
    for option in PEERS[name].options:
        files = {s: kept((name, option, path), work / "runs") for s, path in every.files.items()}
        if all(file.exists() for file in files.values()):
            texts = {stream: file.read_text(encoding="utf-8") for stream, file in files.items()}
            runs[option] = {stream: json.loads(text) for stream, text in texts.items()}
    return runs if PEERS[name].options[0] in runs else {}


def _cost(name: str, work: Path) -> Cost | None:
    file = work / f"cost-{name}.json"
    if not file.exists():
        return None
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return msgspec.convert(found["cost"], Cost) if found["state"] == state(name) else None


def _shown(arguments: list[str]) -> list[str]:
    """Return the command line without the name of anybody's folder."""
    at = arguments.index("--work") + 1 if "--work" in arguments else None
    return [
        "DIR" if number == at else "--work=DIR" if one.startswith("--work=") else one
        for number, one in enumerate(arguments)
    ]


def _machine() -> str:
    cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    models = [line.split(":")[1].strip() for line in cpuinfo if line.startswith("model name")]
    return f"{models[0] if models else platform.processor()}, Python {platform.python_version()}"


if __name__ == "__main__":
    sys.exit(main())
