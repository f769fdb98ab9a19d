"""What own words cost and give: `python -m benchmarks.own_words` -> benchmarks/own_words.json.

Four words that neither the bundled models nor their teachers ever heard are a stranger's own. They
are learnt together from 0, 3, 5 and 20 recordings, with and without voices, with no speech or noise
of the user's own, for one false alarm an hour of all four; each time the file is measured on
recordings that chose nothing, alone in a quiet room and in the recipe `standard` (rooms, 10 dB),
and on the validation split's speech. Thresholds come from the training alone.

The recordings name no speakers: three of the words come from one small crowd, whose voices may
stand on both sides. Needs KWS_DATA and Kokoro's voices (`kws voices add kokoro`); goes on where it
was stopped. --plan and --seeds run a part.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import platform
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime
import soundfile
from numpy.typing import NDArray

from benchmarks import own_words_streams
from benchmarks.own_words_streams import Heard
from export.training import recordings
from export.training.own import own
from export.training.own.encoder import Encoder
from export.training.recordings import RATE, Clip, Pcm
from export.training.vocabulary import HELD_OUT
from kws.evaluate import peaks, results

RESULT = Path(__file__).with_suffix(".json")
TAUGHT, TESTED = 20, 98
"""Recordings of each word to choose from, and to measure with (of one word there are fewer)."""
PER_HOUR = 1.0
PLANS = {
    "text alone": (0, True),
    "3 and voices": (3, True),
    "5 and voices": (5, True),
    "20": (20, False),
    "20 and voices": (20, True),
}
"""Recordings of each word, whether voices join them."""


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


def _hash(name: str) -> str:
    return hashlib.sha1(name.encode()).hexdigest()  # noqa: S324 - it only shuffles


def lay_out(folder: Path, words: dict[str, list[Clip]], count: int, seed: int) -> Path:
    """Write the recordings that a user would have; return their folder."""
    for label, clips in words.items():
        order = np.random.default_rng(seed).permutation(TAUGHT)[:count]
        for number, pcm in enumerate(recordings.load_some([clips[place] for place in order])):
            path = folder / label / f"{number}.flac"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, pcm, RATE, subtype="PCM_16")
    return folder


def scores(path: Path, found: Heard) -> tuple[list[str], NDArray[np.float32]]:
    """Return a model file's labels, and its scores [hops, labels] of what was heard."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    card = json.loads(session.get_modelmeta().custom_metadata_map["kws.card"])
    parts = [
        session.run(["scores"], {"features": found.features[at : at + 512].astype(np.float32)})[0]
        for at in range(0, len(found.features), 512)
    ]
    return [label["name"] for label in card["labels"]], np.concatenate(parts)


def measure(path: Path, levels: dict[str, float], streams: dict[str, Heard]) -> dict[str, Any]:
    """Return misses and events at the thresholds of the file, and at those of the same events.

    at_events: at one threshold for all words with which validation speech has PER_HOUR events.
    """
    tracks = {name: scores(path, each) for name, each in streams.items()}
    labels, background = tracks["speech"]
    speech = streams["speech"]
    alarms = {n: peaks.alarm_peaks(background[:, labels.index(n)], speech.ends) for n in levels}
    events = sum(int((alarms[name] >= level).sum()) for name, level in levels.items())
    ranked = np.sort(np.concatenate(list(alarms.values())))[::-1]
    allowed = int(PER_HOUR * speech.hours)
    shared = float(ranked[allowed]) + 1e-6 if len(ranked) > allowed else 0.1
    found: dict[str, Any] = {
        "thresholds": levels,
        "false_alarms": msgspec.to_builtins(results.rate(events, speech.hours)),
    }
    for name in ("quiet", "standard"):
        said = {
            word: peaks.word_peaks(
                tracks[name][1][:, labels.index(word)],
                streams[name].ends,
                streams[name].words,
                word,
            )
            for word in levels
        }
        found[name] = _missed(said, levels)
        found[f"{name}_at_events"] = _missed(said, dict.fromkeys(levels, shared))
    return found


def _missed(said: dict[str, NDArray[np.float64]], levels: dict[str, float]) -> dict[str, Any]:
    rates = {name: float((each < levels[name]).mean()) for name, each in said.items()}
    lost = sum(int((each < levels[name]).sum()) for name, each in said.items())
    return {
        "mean": round(float(np.mean(list(rates.values()))), 4),
        "missed": f"{lost} of {sum(map(len, said.values()))}",
        "of": {name: round(rate, 4) for name, rate in rates.items()},
    }


def learn(plan: str, seed: int, words: dict[str, list[Clip]], work: Path) -> dict[str, Any]:
    """Train with one plan and one seed; return the figures and the model's path."""
    count, voices = PLANS[plan]
    phrases = [word.replace("_", " ") for word in sorted(HELD_OUT)] if voices else []
    options = own.Options(
        wake=sorted(HELD_OUT),
        phrases=phrases,
        synthesise=False,
        threads=1,
        seed=seed,
        false_alarms=PER_HOUR,
    )
    name = f"{plan.replace(' ', '-')}-{seed}"
    data = lay_out(work / "recorded" / name, words, count, seed) if count else None
    before = os.times()
    found = own.train(data, work / f"{name}.onnx", options, _say)
    after = os.times()
    cpu = sum(after[:4]) - sum(before[:4])
    return {
        "model": found.model,
        "levels": {name: word.threshold for name, word in found.words.items()},
        "cross_validated": {n: msgspec.to_builtins(w.misses) for n, w in found.words.items()},
        "cpu_seconds": round(cpu, 1),
    }


def summary(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return mean and range over the seeds."""
    rows: dict[str, Any] = {"seeds": len(runs)}
    for name in ("quiet", "standard", "quiet_at_events", "standard_at_events"):
        rows[name] = _spread([run[name]["mean"] for run in runs])
    rows["false_alarms_per_hour"] = _spread([run["false_alarms"]["per_hour"] for run in runs])
    rows["cpu_seconds"] = _spread([run["cpu_seconds"] for run in runs])
    return rows


def _spread(values: list[float]) -> dict[str, float]:
    return {
        "mean": round(float(np.mean(values)), 4),
        "low": min(values),
        "high": max(values),
    }


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def main() -> int:
    """Train, measure and write the result; skip runs that it already holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path(".material") / "own_words")
    parser.add_argument("--plan", action="append", choices=PLANS, help="else all")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULT)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    words, encoder = strangers(), Encoder()
    result: dict[str, Any] = {"command": "python -m benchmarks.own_words", "runs": {}}
    if args.out.is_file():
        result = json.loads(args.out.read_text(encoding="utf-8"))
    result["cpu"] = platform.processor() or platform.machine()
    streams: dict[str, Heard] = {}
    for plan in args.plan or PLANS:
        for seed in range(1, args.seeds + 1):
            key = f"{plan}, seed {seed}"
            if key in result["runs"]:
                continue
            told = learn(plan, seed, words, args.work)
            streams = streams or own_words_streams.streams(_aside(words), encoder, args.work)
            path, levels = Path(told.pop("model")), told.pop("levels")
            result["runs"][key] = {**told, **measure(path, levels, streams)}
            runs = {p: _runs(result["runs"], p) for p in PLANS}
            result["plans"] = {p: summary(each) for p, each in runs.items() if each}
            args.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
            print(f"{key}: {json.dumps(result['runs'][key]['quiet'])}", flush=True)
    return 0


def _aside(words: dict[str, list[Clip]]) -> dict[str, list[Pcm]]:
    """Return the recordings that are measured with."""
    return {n: recordings.load_some(c[TAUGHT : TAUGHT + TESTED]) for n, c in words.items()}


def _runs(runs: dict[str, Any], plan: str) -> list[dict[str, Any]]:
    return [run for key, run in runs.items() if key.startswith(f"{plan}, seed")]


if __name__ == "__main__":
    sys.exit(main())
