"""What own words cost and give: `python -m benchmarks.own_words` -> benchmarks/own_words.json.

Four words that neither the bundled model nor its teachers ever heard are a stranger's own. They
are learnt from 0, 5 and 20 recordings, with and without synthesised ones, and an hour each of
the training split's speech and noise; each time the exported file is measured on recordings that
chose nothing, and on the validation split's speech.

The recipe was chosen on one half of the recordings and on the calibration split's speech; what is
learnt here comes from that half, what is reported from the other (`--half` and `--split` swap
that). The recordings name no speakers: three of the words come from one small crowd, whose voices
may stand on both sides. Needs KWS_DATA; goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import platform
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import soundfile

import kws
from export import exporter
from export.training import recordings
from export.training.own import heldout, own
from export.training.recordings import RATE, Clip, Pcm
from export.training.vocabulary import HELD_OUT

RESULT = Path(__file__).with_suffix(".json")
HOURS = 1.0
LONGEST_S = 120
"""Of one recording of background."""
PLANS = {
    "5": (5, False, True),
    "20": (20, False, True),
    "synthesised": (0, True, True),
    "5 + synthesised": (5, True, True),
    "20 + synthesised": (20, True, True),
    "20, no background given": (20, False, False),
}
"""Recordings of each word, whether synthesised ones join them, whether background is given."""


def strangers() -> dict[str, list[Clip]]:
    """Return the held-out words' clips, in an order of their own: no other table lists them."""
    with open(recordings.folder() / "index.tsv", newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE, escapechar="\\")
        clips = [
            msgspec.convert(row, Clip, strict=False)
            for row in rows
            if row["label"] in HELD_OUT and row["shard"].startswith("wake/")
        ]
    found: dict[str, list[Clip]] = defaultdict(list)
    for clip in sorted(clips, key=lambda clip: _hash(clip.name)):
        found[clip.label].append(clip)
    return dict(sorted(found.items()))


def in_half(clip: Clip, half: str) -> bool:
    """Tell whether a clip is in half `A` or `B`: by the hash of its name."""
    return (int(_hash(clip.name), 16) % 2 == 1) == (half == "A")


def _hash(name: str) -> str:
    return hashlib.sha1(name.encode()).hexdigest()  # noqa: S324 - it only shuffles


def lay_out(work: Path, words: dict[str, list[Clip]]) -> None:
    """Write what a user would have: words by count, speech, noise, rooms."""
    for count in {plan[0] for plan in PLANS.values()} - {0}:
        for label, clips in words.items():
            chosen = clips[:count]
            for clip, pcm in zip(chosen, recordings.load(chosen), strict=True):
                name = f"{Path(clip.name).stem.replace(':', '-')}.flac"
                _write(work / str(count) / label / name, pcm)
    rng = np.random.default_rng(1)
    for kind, clips in {
        "speech": recordings.keyword_free("train"),
        "noise": recordings.table("noise", "train"),
    }.items():
        taken, seconds = [], 0.0
        for place in rng.permutation(len(clips)):
            if seconds < HOURS * 3600:
                taken.append(clips[place])
                seconds += min(LONGEST_S, clips[place].samples / RATE)
        for number, (clip, pcm) in enumerate(zip(taken, recordings.load(taken), strict=True)):
            speaker = clip.speaker or f"unnamed-{number}"
            _write(work / kind / speaker / f"{number}.flac", pcm[: LONGEST_S * RATE])
    (work / "rooms").mkdir(exist_ok=True)
    rooms = {f"room {n}": room for n, room in enumerate(recordings.rooms("train"))}
    np.savez(work / "rooms" / "rooms.npz", **rooms)  # type: ignore[arg-type]


def _write(path: Path, pcm: Pcm) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        soundfile.write(path, pcm, RATE, subtype="PCM_16")


def measure(model: kws.Model, aside: dict[str, list[Pcm]], speech: list[Pcm]) -> dict[str, Any]:
    """Return misses and events at the thresholds that were found, through the live chain."""
    missed = heldout.misses(model, aside)
    alarms, events = heldout.false_alarms(model, speech)
    hits, count = (sum(getattr(s, part) for s in missed.values()) for part in ("hits", "count"))
    return {
        "misses": {name: msgspec.to_builtins(share) for name, share in missed.items()},
        "mean_miss_rate": round(sum(s.value for s in missed.values()) / len(missed), 4),
        "missed": f"{hits} of {count}",
        "events": msgspec.to_builtins(alarms),
        "events_of": events,
        "thresholds": {name: level.value for name, level in model.card.thresholds.items()},
    }


def learn(name: str, work: Path, threads: int) -> tuple[kws.Model, dict[str, Any]]:
    """Train by one plan and export; return the model, and what the training itself told."""
    count, synthesised, given = PLANS[name]
    begun, used = time.monotonic(), time.process_time()
    options = own.Options(
        wake=sorted(HELD_OUT),
        speech=work / "speech" if given else None,
        noise=work / "noise" if given else None,
        rooms=work / "rooms" if given else None,
        phrases=[word.replace("_", " ") for word in sorted(HELD_OUT)] if synthesised else (),
        threads=threads,
        aside=0,
    )
    out = work / "trained" / name.replace(" ", "-")
    found = own.train(work / str(count) if count else None, out, options, _say)
    file = out / "mine.onnx"
    exporter.export(str(found.checkpoint), file, exporter.Options(overwrite=True), _say)
    told = {
        "recordings": count,
        "synthesised": {word: each.synthesised for word, each in found.words.items()},
        "background": msgspec.to_builtins(found.background),
        "seconds": round(time.monotonic() - begun),
        "cpu_seconds": round(time.process_time() - used),
    }
    return kws.load(file), told


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def main() -> int:
    """Lay out, learn, measure, write; what is in the result already is left alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path(".material") / "own_words")
    parser.add_argument("--half", choices=["A", "B"], default="B", help="what is reported")
    parser.add_argument("--split", choices=["calibration", "validation"], default="validation")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULT)
    args = parser.parse_args()
    words = strangers()
    lay_out(args.work, {name: [c for c in each if in_half(c, "A")] for name, each in words.items()})
    taught = max(plan[0] for plan in PLANS.values())
    aside = {
        name: [c for c in each if in_half(c, args.half)][taught if args.half == "A" else 0 :]
        for name, each in words.items()
    }
    speech = recordings.load(recordings.keyword_free(args.split))
    result: dict[str, Any] = {
        "command": "python -m benchmarks.own_words",
        "cpu": platform.processor() or platform.machine(),
        "split": args.split,
        "aside": {name: len(clips) for name, clips in aside.items()},
        "plans": {},
    }
    if args.out.is_file():
        result["plans"] = json.loads(args.out.read_text(encoding="utf-8"))["plans"]
    loaded = {name: recordings.load(clips) for name, clips in aside.items()}
    for name in [plan for plan in PLANS if plan not in result["plans"]]:
        model, told = learn(name, args.work, args.threads)
        result["plans"][name] = {**told, **measure(model, loaded, speech)}
        result["plans"] = {plan: result["plans"][plan] for plan in PLANS if plan in result["plans"]}
        args.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        print(f"{name}: {result['plans'][name]['missed']} missed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
