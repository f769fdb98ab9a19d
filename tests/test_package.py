"""The package: what the wheel holds, where it installs, and that it runs there."""

import json
import os
import subprocess
import sys
import venv
import zipfile
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from export import demo

ROOT = Path(__file__).parent.parent
PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
REQUIREMENTS = [
    requirement
    for requirement in map(Requirement, metadata.requires("kws"))
    if "extra" not in str(requirement.marker)
]
PLATFORMS = {
    "Linux x86-64": ["manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"],
    "Linux aarch64": ["manylinux_2_28_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64"],
    "macOS": ["macosx_14_0_arm64"],
    "Windows": ["win_amd64"],
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel that `pip install .` makes."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([*PIP, "wheel", "--no-deps", "--wheel-dir", folder, ROOT], check=True)
    return next(folder.glob("kws-*.whl"))


def install(folder, *what):
    """Return the scripts' folder of a new, empty virtual environment with `what` in it."""
    venv.create(folder)  # our own pip installs into it: to make it one takes as long as the rest
    scripts = folder / ("Scripts" if os.name == "nt" else "bin")
    install = ["--python", scripts / "python", "install", "--only-binary=:all:"]
    subprocess.run([*PIP, *install, *what], check=True)
    return scripts


def spotted(scripts, home):
    """Return the keywords that `kws spot` prints for the demo, run far from the project."""
    result = subprocess.run(
        [scripts / "kws", "spot", demo.PATH],
        cwd="/",
        env={"PATH": str(scripts), "HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return [json.loads(line)["keyword"] for line in result.stdout.splitlines()]


def test_the_wheel_holds_the_code_and_the_model(wheel):
    """Nothing but the two packages, the model files and the licence is shipped."""
    names = set(zipfile.ZipFile(wheel).namelist())
    code = {name for name in names if name.startswith(("kws/", "export/"))}
    rest = {name.split("/", 1)[1] for name in names - code}

    assert {"kws/py.typed", "kws/models/bundled.onnx", "kws/models/demo.flac"} <= code
    assert {f"kws/serve/http/page/{name}" for name in ("index.html", "page.js", "page.css")} <= code
    assert {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"} == rest
    assert {
        "kws/models",
        "kws/evaluate/report",
        "kws/serve",
        "kws/serve/http/page",
        "export/training",
        "export/training/own",
        "export/training/verifier",
        "export/clips",
        "export/synthesis",
    } >= {str(Path(name).parent) for name in code - {"kws/py.typed"} if not name.endswith(".py")}


def test_it_spots_from_anywhere_without_writing(wheel, tmp_path):
    """Installed without extras in an empty environment, it runs from / with a read-only home."""
    scripts = install(tmp_path / "environment", wheel)
    # Root may write anywhere but into the kernel's files.
    home = Path("/proc") if Path("/proc/self").exists() else tmp_path / "home"
    home.mkdir(mode=0o500, exist_ok=True)

    assert demo.expected() == spotted(scripts, home)


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="the oldest wheels know no newer Python")
def test_the_oldest_versions_do(wheel, tmp_path):
    """Every lower bound in pyproject.toml is true: all of them at once load the model and spot."""
    oldest = [
        f"{requirement.name}=={specifier.version}"
        for requirement in REQUIREMENTS
        for specifier in requirement.specifier
        if specifier.operator == ">="
    ]

    assert len(REQUIREMENTS) == len(oldest)
    assert demo.expected() == spotted(install(tmp_path / "old", wheel, *oldest), tmp_path)


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13"])
def test_nobody_compiles(python, tmp_path):
    """Every dependency, and theirs, has wheels for each platform and Python."""
    requirements = [str(requirement) for requirement in REQUIREMENTS]

    def ask(platform):
        tags = [f"--platform={tag}" for tag in PLATFORMS[platform]]
        target = ["--target", tmp_path / platform, f"--python-version={python}"]
        found = subprocess.run(
            [*PIP, "install", "--dry-run", "--only-binary=:all:", *tags, *target, *requirements],
            capture_output=True,
            text=True,
            check=False,
        )
        return found.stderr if found.returncode else ""

    with ThreadPoolExecutor(2) as pool:
        refusals = dict(zip(PLATFORMS, pool.map(ask, PLATFORMS), strict=True))

    assert dict.fromkeys(PLATFORMS, "") == refusals
