"""Accuracy of a model file: `python -m benchmarks.accuracy` -> benchmarks/accuracy.json.

People's recordings, through the live chain: clips, V2-12 style; a stream of isolated words
(recipe `clean`), with the shipped thresholds and at each operating point; keyword-free speech
for false alarms. Needs KWS_DATA.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

import kws
from export.training import recordings
from export.training.calibrate import float_audio, speech_stream, word_stream
from export.training.recordings import RATE
from kws.classifiers import classify_clip
from kws.evaluate.intervals import poisson, wilson
from kws.evaluate.match import Fired, Word, match
from kws.evaluate.protocols import COMMANDS, SILENCE, UNKNOWN, v2_12
from kws.flow import Block, Detection, Samples

RESULT = Path(__file__).with_suffix(".json")
NEWER = "xJuliee"
"""Source whose clips are Speech Commands v0.02's: closer to the official test archive."""


def label_of(model: kws.Model, clip: Samples) -> str:
    """Return the most probable of the twelve labels; wake words count as unknown."""
    best = model.labels[int(classify_clip(model, clip).argmax())]
    return best if best in {*COMMANDS, UNKNOWN, SILENCE} else UNKNOWN


def clips(model: kws.Model, split: str) -> dict[str, Any]:
    """Return V2-12 style accuracy and recalls."""
    rows = recordings.table("speech_commands", split)
    words: dict[str, list[Samples]] = defaultdict(list)
    newer = []
    for row, pcm in zip(rows, recordings.load(rows), strict=True):
        words[row.label].append(float_audio(pcm))
        if row.source.startswith(NEWER):
            newer.append((row.label if row.label in COMMANDS else UNKNOWN, float_audio(pcm)))
    noise = [
        float_audio(pcm)
        for row, pcm in _loaded(recordings.table("noise", split))
        if row.label == "noise"
    ]
    return {
        "v2_12_style": _recalls(model, v2_12(words, noise, rate=RATE)),
        "v0.02_clips": _recalls(model, newer),
    }


def _loaded(rows: list[recordings.Clip]) -> Iterable[tuple[recordings.Clip, recordings.Pcm]]:
    return zip(rows, recordings.load(rows), strict=True)


def _recalls(model: kws.Model, labelled: list[tuple[str, Samples]]) -> dict[str, Any]:
    hits, counts = Counter[str](), Counter[str]()
    for label, clip in labelled:
        counts[label] += 1
        hits[label] += label_of(model, clip) == label
    right, count = hits.total(), counts.total()
    recall = {label: round(hits[label] / n, 4) for label, n in counts.items()}
    return {
        "accuracy": round(right / count, 4),
        "interval": [round(bound, 4) for bound in wilson(right, count)],
        "mean_recall": round(float(np.mean(list(recall.values()))), 4),
        "clips": count,
        "recall": recall,
    }


def spotted(model: kws.Model, pieces: Iterable[Samples], **options: Any) -> list[Detection]:
    """Return what a new spotter hears in pieces of one stream."""
    spotter, at, found = kws.Spotter(model, **options), 0, []
    for piece in pieces:
        found += [e for e in spotter.process(Block(piece, at, RATE)) if isinstance(e, Detection)]
        at += len(piece)
    return found + [e for e in spotter.finish() if isinstance(e, Detection)]


def stream(
    model: kws.Model,
    pieces: list[Samples],
    words: list[Word],
    speech: list[Samples],
    **options: Any,
) -> dict[str, Any]:
    """Return misses over the words and false alarms over the speech, one set of thresholds."""
    said = [word for word in words if word.label in model.keywords]
    events = [Fired(d.keyword, d.time_s) for d in spotted(model, pieces, **options)]
    result = match(events, said)
    alarms = spotted(model, speech, **options)
    hours = sum(map(len, speech)) / RATE / 3600
    counts = Counter(word.label for word in said)
    missed = Counter(word.label for word in result.missed)
    delays = np.array(result.delays) * 1000
    low, high = (bound / hours for bound in poisson(len(alarms)))
    misses = len(result.missed)
    return {
        "words": len(said),
        "misses": misses,
        "miss_rate": round(result.miss_rate, 4),
        "interval": [round(bound, 4) for bound in wilson(misses, len(said))],
        "missed_share": {k: round(missed[k] / n, 3) for k, n in sorted(counts.items())},
        "duplicates": len(result.duplicates),
        "events_on_other_words": len(result.false_alarms),
        "delay_ms_p50_p95": [round(float(np.percentile(delays, p))) for p in (50, 95)],
        "speech_hours": round(hours, 2),
        "false_alarms": len(alarms),
        "per_hour": round(len(alarms) / hours, 2),
        "per_hour_interval": [round(low, 2), round(high, 2)],
        "by_keyword": dict(Counter(d.keyword for d in alarms)),
    }


def main() -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=None)
    parser.add_argument("--split", default="validation", choices=["calibration", "validation"])
    parser.add_argument("--out", type=Path, default=RESULT)
    args = parser.parse_args()
    model = kws.load(args.model)
    pieces, words = word_stream(args.split)
    speech = speech_stream(args.split)
    rates = sorted({point.false_alarms_per_hour for point in model.card.operating_points})
    result = {
        "command": f"python -m benchmarks.accuracy --split {args.split}",
        "split": args.split,
        "model": model.card.source and model.card.source.sha256,
        "clips": clips(model, args.split),
        "shipped": stream(model, pieces, words, speech),
        "shipped_gate_none": stream(model, pieces, words, speech, gate="none"),
        "operating_points": {
            str(rate): stream(model, pieces, words, speech, false_alarms=rate) for rate in rates
        },
    }
    text = json.dumps(result, indent=2)
    print(text)
    args.out.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
