"""Unknown words that nobody taught: `python -m benchmarks.withheld` -> withheld.json.

The recipe is trained once more without a fixed list of words, neither their clips nor utterances
whose transcripts hold them; then V2-12 style accuracy is measured with `_unknown_` made of those
words alone, beside the bundled model's, which was taught them. The training takes as long as the
bundled model's and is kept in --work. Needs KWS_DATA.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.accuracy import MEASURED, evaluate, lay_out_all
from export.training.vocabulary import COMMANDS

RESULT = Path(__file__).with_suffix(".json")
WORDS = ["bed", "forward", "four", "happy", "house", "marvin", "three", "wow"]


def lay_out(work: Path) -> None:
    """Lay out the validation recordings; beside them the commands and the words left out."""
    work.mkdir(parents=True, exist_ok=True)
    lay_out_all(work, "validation")
    folder = work / "withheld"
    folder.mkdir(exist_ok=True)
    for label in [*COMMANDS, *WORDS]:
        link = folder / label
        link.unlink(missing_ok=True)
        link.symlink_to(Path("..", "words", label))


def main() -> None:
    """Train, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path(".withheld"), help="of the training")
    parser.add_argument("--material", type=Path, default=Path(".material"), help="the recordings")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULT)
    args = parser.parse_args()
    command = ["-m", "export.training", "--without", ",".join(WORDS), "--work", str(args.work)]
    subprocess.run([sys.executable, *command, "--threads", str(args.threads)], check=True)
    work = args.material / "validation"
    lay_out(work)
    options = MEASURED["v2_12_style"].replace("--clips words", "--clips withheld")
    models = {"never taught": ["--model", str((args.work / "model.onnx").absolute())], "taught": []}
    result: dict[str, Any] = {"command": "python -m benchmarks.withheld", "withheld": WORDS}
    for name, model in models.items():
        result[name] = evaluate(options, work, model)
        print(name, result[name]["clips"]["accuracy"])
    args.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
