"""Where the spotters live: each in a virtual environment of its own, with what it needs."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROGRAMS = Path(__file__).with_name("spotters")
TOOLS = ("pip", "setuptools", "pkg_resources", "_distutils_hack", "distutils-precedence.pth")
"""What every virtual environment brings."""
DEAF = {"__pycache__", "commands", "evaluate", "serve", "terminal"}
"""Parts of kws on which no score depends."""
WITH_MODELS = "pyopen-wakeword==1.1.0"


@dataclass(frozen=True)
class Peer:
    """A spotter: the module of benchmarks/spotters that runs it, what pip installs for it.

    options: of its program, one a run; the first is what ships. remark: how it came to run.
    """

    program: str
    requirements: tuple[str, ...]
    options: tuple[str, ...] = ("",)
    remark: str = ""


PEERS = {
    "kws": Peer("ours", (), remark="the bundled model, alexa alone armed, its gate on"),
    "pymicro-wakeword": Peer(
        "micro",
        ("pymicro-wakeword==2.5.0",),
        remark="64 ms a time; as shipped its model's cutoff 0.9, then two seconds of rest",
    ),
    "pyopen-wakeword": Peer(
        "pyopen",
        (WITH_MODELS,),
        remark="64 ms a time; as shipped its command's threshold 0.5, then two seconds of rest",
    ),
    "openwakeword": Peer(
        "openwake",
        ("openwakeword==0.6.0", "numpy<2"),
        remark="80 ms a time; as shipped threshold 0.5, then two seconds of rest; its wheel holds "
        "no models and its downloader asks GitHub, so it runs on the files of the same models in "
        "pyopen-wakeword's wheel; with numpy 2 its tflite-runtime fails, so numpy 1",
    ),
    "pocketsphinx": Peer(
        "sphinx",
        ("pocketsphinx==5.1.1",),
        options=("", "1e-20", "1e-10", "1e-5"),
        remark="64 ms a time; a keyphrase search without scores: a run for each of the thresholds "
        "1e-30 (as shipped), 1e-20, 1e-10, 1e-5",
    ),
}


class InstallError(Exception):
    """A peer can't be installed; the message says why."""


def installed(name: str, folder: Path) -> Path:
    """Make a peer's virtual environment below `folder`; return its Python.

    What is there already, with the same requirements, stays. Raises InstallError.
    """
    home, peer = folder / "venvs" / name, PEERS[name]
    python, stamp = home / "bin" / "python", home / "installed"
    state = " ".join(peer.requirements or [_tree()])
    if stamp.exists() and stamp.read_text(encoding="utf-8") == state:
        return python
    _run([sys.executable, "-m", "venv", "--clear", str(home)])
    wheels = folder / "wheels"
    if peer.requirements:
        _run([*_pip(python), "install", *peer.requirements])
    else:
        for old in wheels.glob("kws-*.whl"):
            old.unlink()
        _run([*_pip(python), "wheel", "--no-deps", "--wheel-dir", str(wheels), str(ROOT)])
        _run([*_pip(python), "install", str(next(wheels.glob("kws-*.whl")))])
    if name == "openwakeword":
        _give_models(python, wheels)
    stamp.write_text(state, encoding="utf-8")
    return python


def packages(python: Path) -> dict[str, str]:
    """Return what is installed there, with versions."""
    listed = _run([*_pip(python), "list", "--format", "json"])
    found = {one["name"]: one["version"] for one in json.loads(listed)}
    return {name: version for name, version in found.items() if name not in TOOLS}


def size_mib(python: Path) -> float:
    """Return what an installation takes on the disk without pip and setuptools, in MiB."""
    files = [file for file in site_packages(python).rglob("*") if file.is_file()]
    kept = [file for file in files if not _tool(file.relative_to(site_packages(python)))]
    return sum(file.stat().st_size for file in kept) / 2**20


def site_packages(python: Path) -> Path:
    """Return the folder that pip installs to."""
    return next((python.parent.parent / "lib").glob("python*/site-packages"))


def state(name: str) -> str:
    """Return a hash of all that a peer's scores depend on, but for the audio."""
    peer = PEERS[name]
    programs = [(PROGRAMS / f"{stem}.py").read_bytes() for stem in ("feed", peer.program)]
    parts = [*programs, " ".join(peer.requirements or [_tree()]).encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def _tool(path: Path) -> bool:
    return path.parts[0] in TOOLS or path.parts[0].startswith(("pip-", "setuptools-"))


@cache
def _tree() -> str:
    """Return a hash of what hears in this tree, as it was when first asked."""
    package = ROOT / "kws"
    found = [file.relative_to(package) for file in sorted(package.rglob("*")) if file.is_file()]
    kept = [file for file in found if not DEAF & set(file.parts)]
    parts = [part for file in kept for part in (bytes(file), (package / file).read_bytes())]
    parts.append((ROOT / "pyproject.toml").read_bytes())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _give_models(python: Path, wheels: Path) -> None:
    """Put another wheel's files of the same models where openwakeword's downloader would."""
    _run([*_pip(python), "download", "--no-deps", "--dest", str(wheels), WITH_MODELS])
    models = site_packages(python) / "openwakeword" / "resources" / "models"
    models.mkdir(parents=True, exist_ok=True)
    names = {
        "melspectrogram": "melspectrogram",
        "embedding_model": "embedding_model",
        "alexa": "alexa_v0.1",
    }
    with zipfile.ZipFile(next(wheels.glob("pyopen_wakeword-*.whl"))) as wheel:
        for theirs, ours in names.items():
            content = wheel.read(f"pyopen_wakeword/models/{theirs}.tflite")
            (models / f"{ours}.tflite").write_bytes(content)


def _pip(python: Path) -> list[str]:
    return [str(python), "-m", "pip", "--disable-pip-version-check"]


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        wrong = [line for line in done.stderr.splitlines() if line.strip()]
        raise InstallError(wrong[-1].strip() if wrong else f"{command[0]}: {done.returncode}")
    return done.stdout
