"""Say how an optional part of kws is installed, as a command that works on this computer.

kws is on no package index yet, so that `pip install 'kws[export]'` would find nothing. This is the
only place that knows where this copy of kws came from; every message that names an extra asks here.
"""

from __future__ import annotations

import json
import shlex
import sys
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

PROJECT = Path(__file__).parent.parent
"""The folder that holds the package: a checkout, or a folder of installed packages."""


def install_hint(extra: str) -> str:
    """Return the command that installs kws with an extra, such as `export`, for this Python.

    It names the checkout, repository or file that this copy of kws was installed from.
    """
    source = _source(extra)
    if source is None:
        return f"in a checkout of kws, run: {_command(f'.[{extra}]')}"
    return f"run: {_command(source)}"


def missing_packages(names: list[str], extra: str) -> str:
    """Return the line that says which packages are missing, and how to install them."""
    verb = "is" if len(names) == 1 else "are"
    return f"{' and '.join(names)} {verb} missing; {install_hint(extra)}"


def _source(extra: str) -> str | None:
    """Return what pip is to install, None where nobody knows where this copy came from."""
    if (PROJECT / "pyproject.toml").is_file():
        return f"{PROJECT}[{extra}]"
    try:
        # Written by pip (PEP 610) unless the package came from an index.
        origin = json.loads(metadata.distribution("kws").read_text("direct_url.json") or "")
    except (metadata.PackageNotFoundError, OSError, ValueError):
        return None
    address = str(origin["url"])
    if "vcs_info" in origin:
        vcs = origin["vcs_info"]
        return f"kws[{extra}] @ {vcs['vcs']}+{address}@{vcs['commit_id']}"
    if urlsplit(address).scheme != "file":
        return f"kws[{extra}] @ {address}"
    path = url2pathname(urlsplit(address).path)
    return f"{path}[{extra}]" if Path(path).exists() else None


def _command(requirement: str) -> str:
    """Return a line for a shell: this Python's own pip, for the system's may be another one."""
    if sys.platform == "win32":
        return f'"{sys.executable}" -m pip install "{requirement}"'
    return shlex.join([sys.executable, "-m", "pip", "install", requirement])
