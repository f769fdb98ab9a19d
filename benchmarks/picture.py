"""The README's picture of `kws listen`: `python -m benchmarks.picture` -> benchmarks/listen.svg."""

from __future__ import annotations

import os
import re
from pathlib import Path

from rich.console import Console

import kws
from kws.sources.demo import RECORDING
from kws.sources.file import AudioFile
from kws.terminal.view import View

PATH = Path(__file__).with_name("listen.svg")
FROM_S = 17.0


def main() -> None:
    """Hear the demo recording, and keep what the terminal shows as a word is heard."""
    spotter = kws.Spotter()
    view = View(spotter)
    view.say("listening to the demo recording")
    for block in AudioFile(RECORDING, block_s=0.04):
        events = spotter.process(block)
        for event in events:
            view.show(event)
        if spotter.stats.audio_s > FROM_S and any(isinstance(e, kws.Detection) for e in events):
            break
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=76, file=nowhere, force_terminal=True)
        console.print(view._all())  # noqa: SLF001 - what a terminal would get
        picture = console.export_svg(title="kws listen")
    # The reader's own fixed-width font does: a picture fetches nothing.
    PATH.write_text(re.sub(r"@font-face \{.*?\}", "", picture, flags=re.DOTALL), encoding="utf-8")


if __name__ == "__main__":
    main()
