"""What int8 costs on trained weights: `python -m benchmarks.trained` -> benchmarks/trained.json.

Trains a small AST and SpeechBrain's x-vector on Speech Commands' train split, the calibration
split telling which epoch is best; exports both as `kws export` does; and counts, over the whole
validation split, clips as they come, what the source, float32 and int8 name right. Only the last
figures use that split. Trains about an hour; what is trained stays in --work. Needs KWS_DATA.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.checkpoints import COMMANDS
from benchmarks.material import write_clips
from benchmarks.pupils import PUPILS
from benchmarks.teaching import SEED, Lessons
from export import exporter
from export.families import find
from export.sources import locate
from export.training import recordings
from export.training.recordings import Clip
from kws.card import Card
from kws.evaluate.intervals import Z, wilson
from kws.flow import Samples
from kws.session import load

RESULT = Path(__file__).with_suffix(".json")
EACH = 8
"""Recordings of each word in the folder that exports are calibrated with."""
SYNTHESISED = "int8, default recordings"
Named = NDArray[np.int64]


def train(name: str, work: Path) -> tuple[Path, dict[str, Any]]:
    """Train a pupil unless it is; return the folder of its checkpoint, and the figures."""
    torch.manual_seed(SEED)
    pupil = PUPILS[name]()
    folder = work / name.split(maxsplit=1)[0].strip(",").lower()
    checkpoint = folder / "checkpoint"
    checkpoint.mkdir(parents=True, exist_ok=True)
    figures = Lessons(pupil, folder / "state.pt").run()
    pupil.save(checkpoint)
    parameters = sum(each.numel() for each in pupil.network.parameters())
    return checkpoint, {"parameters": parameters, "training": figures}


def calibration(folder: Path) -> Path:
    """Lay out some recordings of each word, of the calibration split, in label folders."""
    if not folder.exists():
        some: dict[str, list[Clip]] = defaultdict(list)
        for clip in recordings.table("speech_commands", "calibration"):
            some[clip.label].append(clip)
        write_clips(folder, [clip for clips in some.values() for clip in clips[:EACH]])
    return folder


def export(checkpoint: Path, folder: Path) -> dict[str, tuple[Path, Card]]:
    """Export a checkpoint in each form; return the files and their cards."""
    spoken = exporter.Options(calibration=folder, overwrite=True)
    ways = {
        "float32": replace(spoken, quantize="none"),
        "int8": spoken,
        SYNTHESISED: replace(spoken, calibration=None),
    }
    made = {}
    for name, options in ways.items():
        out = checkpoint.parent / f"{name.replace(', ', '-').replace(' ', '-')}.onnx"
        made[name] = out, exporter.export(str(checkpoint), out, options, _tell)
    return made


def named(score: Callable[[Samples], Samples], clips: list[Samples]) -> Named:
    """Return the number of the best label of each clip."""
    return np.array([int(score(samples).argmax()) for samples in clips])


def accuracy(right: NDArray[np.bool_]) -> dict[str, Any]:
    """Return a share with its 95 % interval."""
    hits, count = int(right.sum()), len(right)
    low, high = wilson(hits, count)
    return {"hits": hits, "count": count, "accuracy": hits / count, "low": low, "high": high}


def against(source: Named, other: Named, truth: Named) -> dict[str, Any]:
    """Return what `other` names differently: a paired comparison of the same clips.

    lost_points: percentage points that `other` is worse, with the 95 % interval of a difference
    of paired shares. labels: of each label that changed, clips and right ones before and after.
    """
    was, now = source == truth, other == truth
    lost, won, count = int((was & ~now).sum()), int((now & ~was).sum()), len(truth)
    half = Z * math.sqrt(lost + won - (lost - won) ** 2 / count)
    labels = {}
    for number, label in enumerate(COMMANDS):
        of = truth == number
        before, after = int((was & of).sum()), int((now & of).sum())
        if before != after:
            labels[label] = [int(of.sum()), before, after]
    return {
        "named_differently": int((source != other).sum()),
        "became_wrong": lost,
        "became_right": won,
        "lost_points": 100 * (lost - won) / count,
        "low": 100 * (lost - won - half) / count,
        "high": 100 * (lost - won + half) / count,
        "labels": labels,
    }


def measure(checkpoint: Path, files: dict[str, tuple[Path, Card]]) -> dict[str, Any]:
    """Hear the validation split with the source and with every file."""
    clips = recordings.table("speech_commands", "validation")
    truth = np.array([COMMANDS.index(clip.label) for clip in clips])
    heard = [(pcm / 32768).astype(np.float32) for pcm in recordings.load(clips)]
    found = locate(str(checkpoint), _tell)
    original = find(found).read(found, exporter.Options().asked)
    if original.labels != COMMANDS:
        raise SystemExit(f"{checkpoint}: labels in another order")
    source = named(original.reference, heard)
    result: dict[str, Any] = {
        "source": {**accuracy(source == truth), "bytes": found.weight_bytes()}
    }
    for name, (path, card) in files.items():
        ours = named(load(path).scores, heard)
        result[name] = {
            **accuracy(ours == truth),
            "bytes": path.stat().st_size,
            "scheme": card.quantization.scheme if card.quantization else "none",
            "parity": msgspec.to_builtins(card.parity),
            "against_source": against(source, ours, truth),
        }
        _tell(f"{name}: {result[name]['accuracy']:.4f}")
    return result


def main() -> None:
    """Train, export, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PUPILS))
    parser.add_argument("--work", type=Path, default=Path(".trained"), help="for weights and files")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULT)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    for name in asked.names or PUPILS:
        checkpoint, told = train(name, asked.work)
        torch.set_num_threads(1)  # for the times
        files = export(checkpoint, calibration(asked.work / "recordings"))
        told["forms"] = measure(checkpoint, files)
        results = json.loads(asked.out.read_text()) if asked.out.exists() else {}
        results[name] = told
        asked.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        torch.set_num_threads(asked.threads)


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
