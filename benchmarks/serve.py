"""How many streams one core holds: `python -m benchmarks.serve --work DIR` -> serve.json.

Clients on one core stream to a Wyoming server on another, as Home Assistant does: 1,024 samples
at a time, people talking for 30 % of the time (benchmarks.serve_audio). First ours with its
bundled model, then wyoming-openwakeword from PyPI with its own model of the same word, which pip
installs below DIR; more streams a step until one is not held any more: the core is full, a score
comes late, or audio is left over at the end. Needs KWS_DATA, Linux, two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.cost import machine
from benchmarks.serve_audio import tape
from benchmarks.serve_clients import PIECE, RATE, SHIFT

RESULT = Path(__file__).with_suffix(".json")
HERE = Path(__file__).parent
PEER = ("wyoming-openwakeword==1.8.2", "numpy<2")
"""With numpy 2 its tflite-runtime fails."""
TAPE_S = 900.0
WARM_S = 8.0
"""So long they stream before anything is measured."""
HELD = {"cpu": 0.97, "p99_ms": 50.0, "lag_s": 0.25}
"""What a step may cost at most, for its streams to be held."""
TARGET = 200
HOP = 1_280
"""Samples between two scores, ours and theirs."""
SERVER, CLIENTS = 0, 1
"""Their cores."""
REMARKS = """\
cpu: of one core, all of the server, from the processor time that the kernel counts
ours, in ms: from when the client sent a hop's last sample to its score
a hop from before the gate opened counts from the sample that opened it
theirs: from when the client sent the newest samples that had come when the spectrogram was made
mib_per_stream: resident memory after the streams came, less that before
lag_s: the longest that a question took, sent after all audio
scores: of those that are due without a gate
""".splitlines()


def main() -> None:
    """Measure, print, write benchmarks/serve.json."""
    options = _options()
    options.work.mkdir(parents=True, exist_ok=True)
    with suppress(OSError):  # before all else that the machine does, where we may say so
        Path("/proc/self/autogroup").write_text("-20", encoding="ascii")
    path = options.work / "tape.pcm"
    if not path.exists():
        tape(TAPE_S).tofile(path)
    result: dict[str, Any] = {
        "command": " ".join(["python -m benchmarks.serve", *sys.argv[1:]]),
        "machine": machine(),
        "beside": options.beside,
        "seconds": options.seconds,
        "remarks": REMARKS,
    }
    python, version = _peer(options.work)
    ours = [sys.executable, "-m", "benchmarks.serve_ours"]
    theirs = [str(python), str(HERE / "serve_theirs.py")]
    for name, command in {"kws": ours, version: theirs}.items():
        if name in options.without:
            continue
        steps = options.steps if name == "kws" else options.peer_steps
        result[name] = _steps(name, command, steps, options)
    print(f"target: {TARGET} streams")
    options.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="How many Wyoming streams one core holds.")
    parser.add_argument("--work", type=Path, required=True, help="folder that keeps everything")
    parser.add_argument("--steps", type=int, nargs="+", default=[50, 100, 150, 200, 250, 300, 350])
    parser.add_argument("--peer-steps", type=int, nargs="+", default=[10, 20, 40, 60, 80, 100])
    parser.add_argument("--seconds", type=float, default=20.0, help="measured of each step")
    parser.add_argument("--tries", type=int, default=3, help="of each step")
    parser.add_argument("--beside", default="nothing", help="what else the machine was doing")
    parser.add_argument("--without", nargs="*", default=[], help="leave one of them out")
    parser.add_argument("--output", type=Path, default=RESULT)
    return parser.parse_args()


def _peer(work: Path) -> tuple[Path, str]:
    """Install the peer where it is not yet; return its Python, and its name with its version."""
    home = work / "venvs" / "wyoming-openwakeword"
    python = home / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *PEER], check=True)
    return python, PEER[0].replace("==", " ")


def _steps(
    name: str, command: list[str], counts: list[int], options: argparse.Namespace
) -> dict[str, Any]:
    """Take more and more streams, until not once they are held."""
    steps: list[dict[str, Any]] = []
    for count in counts:
        for _ in range(options.tries):
            steps.append(step(command, count, options.seconds, options.work, ours=name == "kws"))
            _report(name, steps[-1])
        if not any(each["held"] for each in steps[-options.tries :]):
            break
    held = [each["streams"] for each in steps if each["held"]]
    always = [count for count in held if held.count(count) == options.tries]
    return {"held": max(held, default=0), "always_held": max(always, default=0), "steps": steps}


def step(
    command: list[str], count: int, seconds: float, work: Path, *, ours: bool
) -> dict[str, Any]:
    """Let a server hear so many streams; return what that took."""
    log, out = work / "log.npy", work / "sent.npz"
    server, port = _served(command, log, ours=ours)
    before = _rss_mib(server.pid)
    arguments = [port, count, WARM_S + seconds, work / "tape.pcm", out, CLIENTS, int(ours)]
    clients = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.serve_clients", *map(str, arguments)],
        stdout=subprocess.PIPE,
    )
    time.sleep(WARM_S)
    used, began = _cpu_s(server.pid), time.monotonic()
    time.sleep(seconds - 1)
    used, took = _cpu_s(server.pid) - used, time.monotonic() - began
    after = _rss_mib(server.pid)
    told = json.loads(clients.communicate()[0])
    server.communicate()
    with np.load(out) as archive:
        late = (_ours if ours else _theirs)(log, archive["sent"], archive["ports"])
    found = {
        "streams": count,
        "cpu": round(used / took, 3),
        "cpu_ms_per_stream_second": round(1_000 * used / took / count, 2),
        "p50_ms": round(float(np.percentile(late, 50)), 1),
        "p99_ms": round(float(np.percentile(late, 99)), 1),
        "worst_ms": round(float(late.max()), 1),
        "scores": round(len(late) / (count * seconds * RATE / HOP), 3),
        "mib_per_stream": round((after - before) / count, 3),
        "rss_mib": round(after, 1),
        **told,
    }
    found["held"] = all((found[name] or 0) <= most for name, most in HELD.items())
    return found


def _served(command: list[str], log: Path, *, ours: bool) -> tuple[subprocess.Popen[bytes], int]:
    """Start a server; return it as soon as it listens, and its port."""
    asked = [] if ours else [str(_free_port())]
    server = subprocess.Popen(
        [*command, str(SERVER), str(log), *asked],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=None if ours else subprocess.DEVNULL,
    )
    assert server.stdout  # noqa: S101 - it is a pipe
    port = int(server.stdout.readline())
    _until_it_listens(port)
    time.sleep(1.0)
    return server, port


def _ours(log: Path, sent: NDArray[np.float64], ports: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return by how much each score was late, in ms."""
    noted = np.load(log)
    stream = {port: number for number, port in enumerate(ports.tolist())}
    rows = np.array([stream[int(port)] for port in noted[:, 0]])
    pieces = (noted[:, 1].astype(int) - 1) // PIECE
    return _late(noted[:, 2], sent[rows, pieces], sent)


def _theirs(log: Path, sent: NDArray[np.float64], _: NDArray[np.int64]) -> NDArray[np.float64]:
    noted = np.fromfile(log).reshape(-1, 2)
    stamps = noted[:, 0].astype(int)
    known = stamps >> SHIFT > 0
    rows, pieces = (stamps[known] >> SHIFT) - 1, stamps[known] & (1 << SHIFT) - 1
    return _late(noted[known, 1], sent[rows, pieces], sent)


def _late(
    known: NDArray[np.float64], sent: NDArray[np.float64], every: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return by how much scores were late, in ms, once all streams had begun."""
    measured = sent >= every.min() + WARM_S
    late: NDArray[np.float64] = 1_000 * (known - sent)[measured]
    return late


def _report(name: str, found: dict[str, Any]) -> None:
    print(
        f"{name}: {found['streams']} streams, {found['cpu']:.2f} of a core, "
        f"p50 {found['p50_ms']} ms, p99 {found['p99_ms']} ms, worst {found['worst_ms']} ms, "
        f"{found['mib_per_stream']} MiB a stream, lag {found['lag_s']} s, "
        f"scores {found['scores']}{'' if found['held'] else ': NOT HELD'}",
        flush=True,
    )


def _until_it_listens(port: int) -> None:
    for _ in range(600):
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError("the server does not listen")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
    return port


def _cpu_s(pid: int) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _rss_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    main()
