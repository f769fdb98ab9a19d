"""Let the site hold files that lie elsewhere in the repository: pictures, CONTRIBUTING.md.

A page names them by their path, as in `../benchmarks/det.svg`, so that it also reads well in the
repository.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
PICTURE = re.compile(r"\.\./benchmarks/([\w-]+\.(?:svg|png))")
PAGES = {"contributing.md": "CONTRIBUTING.md"}


def on_files(files: Files, *, config: Any) -> Files:
    """Add the pictures that pages show, and the pages that lie elsewhere."""
    pages = [file.content_string for file in files.documentation_pages()]
    for name in sorted({name for page in pages for name in PICTURE.findall(page)}):
        path = str(ROOT / "benchmarks" / name)
        files.append(File.generated(config, f"images/{name}", abs_src_path=path))
    for name, source in PAGES.items():
        files.append(File.generated(config, name, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Point at pictures and pages where the site holds them."""
    return PICTURE.sub(r"images/\1", markdown).replace("](docs/", "](")
