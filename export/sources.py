"""Sources: what the user named, as a checkpoint on this disk; the only place that downloads."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from export.checkpoint import Checkpoint
from kws.errors import ExportError
from kws.install_hint import install_hint

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
NEEDED = ("*.json", "*.yaml", "*.txt", "*.model", "README.md")
PICKLES = ("*.bin", "*.ckpt")


def locate(source: str, say: Callable[[str], None]) -> Checkpoint:
    """Return the folder or file that `source` names, or what the Hub has under that id.

    What the Hub gave once is taken from its cache when it can't be reached. Raises ExportError:
    there is no such thing, it can't be had, or the Hub's package is missing.
    """
    path = Path(source)
    if path.exists():
        if not (path.is_file() or path.is_dir()):
            raise ExportError(f"{source}: is no regular file; give a file or a folder")
        return Checkpoint(path, path.resolve().name)
    if not HUB_ID.fullmatch(source):
        raise ExportError(f"{source}: no such file or folder, and no Hub id such as owner/name")
    return Checkpoint(_from_hub(source, say), source)


def _from_hub(source: str, say: Callable[[str], None]) -> Path:
    try:
        import huggingface_hub as hub
        from huggingface_hub import errors
    except ImportError:
        raise ExportError(
            f"{source}: is no folder here, and a download needs more packages; "
            f"{install_hint('export')}"
        ) from None
    try:
        return _download(hub, source, say)
    except errors.GatedRepoError:
        raise ExportError(
            f"{source}: asks you to accept its terms; do so on its Hub page, then `hf auth login`"
        ) from None
    except errors.RepositoryNotFoundError:
        raise ExportError(
            f"{source}: neither a folder here nor a repository of the Hub (or a private one: "
            "`hf auth login`)"
        ) from None
    except Exception as error:  # noqa: BLE001 - each layer of the network has errors of its own
        return _cached(hub, source, error)


def _download(hub: Any, source: str, say: Callable[[str], None]) -> Path:
    info = hub.HfApi().model_info(source, timeout=10)
    names = [file.rfilename for file in info.siblings]
    safe = any(name.endswith(".safetensors") for name in names)
    weights = ("*.safetensors",) if safe else PICKLES
    say(f"downloading {source} from the Hub")
    # Without naming a revision, so that the cache knows which one is the newest.
    return Path(hub.snapshot_download(source, allow_patterns=[*NEEDED, *weights]))


def _cached(hub: Any, source: str, error: Exception) -> Path:
    try:
        return Path(hub.snapshot_download(source, local_files_only=True))
    except Exception:  # noqa: BLE001 - as above
        raise ExportError(
            f"{source}: is not on this computer, and the Hub can't be reached "
            f"({type(error).__name__}); where there is a network, run "
            f"`hf download {source} --local-dir DIR`, then export DIR"
        ) from None
