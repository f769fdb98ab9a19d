"""How well a model hears: `python -m benchmarks.accuracy` -> benchmarks/accuracy.json.

Lays out the validation recordings as files, simulates streams of them, and measures with
`kws eval`; the commands stand in the result, to be run by hand in the folder given as --work.
Needs KWS_DATA.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.material import lay_out, write_clips
from export.training import recordings
from export.training.vocabulary import COMMANDS, WAKE_WORDS
from kws.session import load
from kws.verification import BUNDLED_VERIFIER

RESULT = Path(__file__).with_suffix(".json")
ROOT = Path(__file__).parent.parent
NEWER = "xJuliee"
"""Source whose clips are Speech Commands v0.02's: closer to the official test archive."""
SHOWN = 10
"""So many of the worst errors are kept in the result."""
FOR_STANDARD = "--speech speech --noise noise --rooms rooms"
SIMULATED = {
    "clean": "--clips all --recipe clean",
    "commands": f"--clips words {FOR_STANDARD}",
    "wake_clean": "--clips wake_words --recipe clean",
    "wake": f"--clips wake_words {FOR_STANDARD}",
}
_COMMANDS = f"--keywords {','.join(COMMANDS)}"
_WAKE = f"--negatives untranscribed --keywords {','.join(WAKE_WORDS)}"
VERIFIER = "verifier.onnx"
"""A link to the bundled verifier, in the folder of the material."""
MEASURED = {
    "v2_12_style": "--clips words --protocol v2-12-style --noise noise",
    "v2_12_style, verifier": "--clips words --protocol v2-12-style --noise noise "
    f"--model {VERIFIER}",
    "v0.02_clips": "--clips newer --protocol labels",
    "v0.02_clips, verifier": f"--clips newer --protocol labels --model {VERIFIER}",
    "clean, commands": f"--stream clean.flac --truth clean.json --negatives speech {_COMMANDS}",
    "standard, commands": "--stream commands.flac --truth commands.json --negatives speech "
    f"{_COMMANDS}",
    "clean, wake words": "--stream wake_clean.flac --truth wake_clean.json --negatives speech "
    f"{_WAKE}",
    "standard, wake words": f"--stream wake.flac --truth wake.json --negatives speech {_WAKE}",
    "clean, commands, first stage alone": "--stream clean.flac --truth clean.json "
    f"--negatives speech {_COMMANDS} --verify none",
    "standard, commands, first stage alone": "--stream commands.flac --truth commands.json "
    f"--negatives speech {_COMMANDS} --verify none",
}
"""What is simulated and measured: options of `kws eval`, in the folder of the material."""


def lay_out_all(folder: Path, split: str) -> None:
    """Lay out a split; beside it the newer clips, our wake words, and all words together."""
    lay_out(folder, split)
    table = recordings.table("speech_commands", split)
    if not (folder / "newer").exists():
        write_clips(folder / "newer", [clip for clip in table if clip.source.startswith(NEWER)])
    for group, parts in {"wake_words": ["wake"], "all": ["words", "wake"]}.items():
        (folder / group).mkdir(exist_ok=True)
        for part in parts:
            for label in (folder / part).iterdir():
                link = folder / group / label.name
                if label.is_dir() and (part == "words" or label.name in WAKE_WORDS):
                    link.unlink(missing_ok=True)
                    link.symlink_to(Path("..", part, label.name))


def evaluate(options: str, work: Path, more: list[str]) -> dict[str, Any]:
    """Run `kws eval` with these options; return its JSON, the command with it."""
    command = ["kws", "eval", *options.split()]
    print("$", shlex.join(command), file=sys.stderr)
    done = subprocess.run(
        [sys.executable, "-m", *command, *more, "--json"],
        cwd=work,
        env={**os.environ, "PYTHONPATH": str(ROOT)},  # this clone's kws, whichever is installed
        stdout=subprocess.PIPE,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    if "streams" in found:
        for name in ("missed", "false_alarms"):
            found["streams"][name] = found["streams"][name][:SHOWN]
    return {"command": shlex.join(command), **found}


def main() -> int:
    """Lay out, simulate, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="another model file than the bundled one")
    parser.add_argument("--verifier", type=Path, default=BUNDLED_VERIFIER)
    parser.add_argument("--split", default="validation", choices=["calibration", "validation"])
    parser.add_argument("--work", type=Path, default=Path(".material"), help="the recordings")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, default=RESULT)
    args = parser.parse_args()
    work = args.work / args.split
    work.mkdir(parents=True, exist_ok=True)
    lay_out_all(work, args.split)
    for name, options in SIMULATED.items():
        if not (work / f"{name}.json").exists():
            evaluate(f"--simulate {name}.flac {options}", work, [])
    more = ["--resume", "scores"]
    link = work / VERIFIER
    link.unlink(missing_ok=True)
    link.symlink_to(args.verifier.absolute())
    first = ["--model", str(args.model.absolute())] if args.model else []
    model = load(args.model)

    def measured(options: str) -> dict[str, Any]:
        return evaluate(options, work, more + ([] if "--model" in options else first))

    with ThreadPoolExecutor(args.workers) as pool:
        found = dict(zip(MEASURED, pool.map(measured, MEASURED.values()), strict=True))
    result = {
        "command": f"python -m benchmarks.accuracy --split {args.split}",
        "model": model.card.source and model.card.source.sha256,
        "verifier": load(args.verifier).sha256,
        **found,
    }
    args.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
