"""Every family at its published size, exported: `python -m benchmarks.families [NAME ...]`.

The weights are random: sizes and costs are those of the published ones, which this does not
download; how far int8 drifts is not. Results go to families.json, one family after the other.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
import torch

from benchmarks.checkpoints import MAKERS
from export import exporter
from export.families import Asked
from kws.card import Card

RESULTS = Path(__file__).with_name("families.json")
ZERO_SHOT = ("dog", "vacuum cleaner", "rain")


def main() -> None:
    """Export the families that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(MAKERS))
    parser.add_argument("--table", action="store_true", help="only print what was measured")
    asked = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if asked.table:
        print(table(results))
        return
    for name in asked.names or list(MAKERS):
        results[name] = measure(name)
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        print(f"{name}: {results[name]}", flush=True)


def table(results: dict[str, Any]) -> str:
    """Return the results as a table in Markdown."""
    rows = [
        "| network | int8 file | a window of | source / float32 / int8 | drift | same label |",
        "|---|---|---|---|---|---|",
    ]
    for name, found in results.items():
        forms = found["variants"]
        times = " / ".join(short(form["ms"]) for form in forms)
        megabytes = " of ".join(short(forms[at]["bytes"] / 1e6) for at in (-1, 1)) + " MB"
        rows.append(
            f"| {name} | {megabytes} | {found['window_s']:g} s | {times} ms | "
            f"{found['max_difference']:.0e} | {found['top1_agreement']:.0%} |"
        )
    return "\n".join(rows)


def short(value: float) -> str:
    """Return a number with two digits at least, and no exponent."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def measure(name: str) -> dict[str, Any]:
    """Make a checkpoint, export it, and return what its card says."""
    labels = ZERO_SHOT if name.startswith("CLAP") else None
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / "checkpoint", Path(folder) / "model.onnx"
        source.mkdir()
        torch.manual_seed(1)
        MAKERS[name](source)
        torch.set_num_threads(1)
        begun = time.perf_counter()
        asked = Asked(labels, kind="window" if name.endswith("window") else None)
        options = exporter.Options(asked=asked, force=True)
        read = next(iter(source.glob("*.pt")), source)  # one file, or the folder
        card = exporter.export(str(read), out, options, lambda text: print(text, file=sys.stderr))
        return {"seconds": round(time.perf_counter() - begun), **figures(card)}


def figures(card: Card) -> dict[str, Any]:
    """Return what the table in README shows."""
    if card.parity is None:
        raise SystemExit("the card has no parity")
    return {
        "window_s": round(card.window / card.sample_rate, 2),
        "way": card.source.way if card.source else "",
        "scheme": card.quantization.scheme if card.quantization else "",
        **msgspec.to_builtins(card.parity),
    }


if __name__ == "__main__":
    main()
