"""What the gate saves, and what it costs in words: `python -m benchmarks.gate` -> gate.json.

All validation noise in which nobody speaks (`benchmarks.audio.NO_SPEECH`), each recording at
-40 dBFS, one after another: the share of it that the classifier hears, replayed pre-roll and all.
And the validation words, in a quiet room and with that noise 10 dB below: how many are missed
with the gate, and how many with none. Needs KWS_DATA.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import kws
from benchmarks.audio import NO_SPEECH, room_noise
from export.training import calibrate
from export.training.gate import noisy
from export.training.recordings import RATE
from kws.evaluate.match import Fired, Word, match
from kws.flow import Samples

RESULT = Path(__file__).with_suffix(".json")
GATES = ("learned", "webrtc", "none")
BLOCK = RATE // 50
ALL_S = 1e6
"""More noise than there is."""
TARGETS = {"classified": 0.15, "cpu_s_per_s": 0.0015, "more_missed_points": 0.3}


def in_noise(gate: str, noise: Samples) -> dict[str, float]:
    """Return how much of the noise is classified, and CPU seconds per second of it."""
    spotter = kws.Spotter(gate=gate)
    blocks = [noise[at : at + BLOCK] for at in range(0, len(noise) - BLOCK + 1, BLOCK)]
    began = time.process_time()
    for block in blocks:
        spotter.push(block, sample_rate=RATE)
    used = time.process_time() - began
    stats, hop = spotter.stats, spotter.models[0].card.hop
    return {
        "open": stats.open_s / stats.audio_s,
        "classified": stats.inferences * hop / RATE / stats.audio_s,
        "cpu_s_per_s": used / stats.audio_s,
        "events": stats.detections,
    }


def missed(gate: str, pieces: Iterable[Samples], truth: Sequence[Word]) -> int:
    """Return how many keywords go unheard."""
    spotter = kws.Spotter(gate=gate)
    found = [event for piece in pieces for event in spotter.push(piece, sample_rate=RATE)]
    found += [event for event in spotter.finish() if isinstance(event, kws.Detection)]
    ours = [word for word in truth if word.label in spotter.models[0].keywords]
    return len(match([Fired(event.keyword, event.time_s) for event in found], ours).missed)


def measure() -> dict[str, Any]:
    """Run everything."""
    noise = room_noise(ALL_S).astype(np.float32) / np.float32(32768)
    pieces, truth = calibrate.word_stream("validation")
    said = [word for word in truth if word.label in kws.load().keywords]
    streams = {"clean": pieces, "noise 10 dB below": [noisy(np.concatenate(pieces), truth, noise)]}
    lost = {
        name: {gate: missed(gate, stream, truth) for gate in GATES}
        for name, stream in streams.items()
    }
    return {
        "command": "python -m benchmarks.gate",
        "sources": sorted(NO_SPEECH),
        "noise_s": round(len(noise) / RATE, 1),
        "noise": {gate: in_noise(gate, noise) for gate in GATES},
        "words": len(said),
        "missed": lost,
        "more_missed_points": {
            name: 100 * (each["learned"] - each["none"]) / len(said) for name, each in lost.items()
        },
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULT)
    out = parser.parse_args().out
    result = measure()
    for gate, figures in result["noise"].items():
        print(f"{gate:8} " + ", ".join(f"{name} {value:.4f}" for name, value in figures.items()))
    print("missed", result["missed"], "of", result["words"], "each")
    print("targets", TARGETS)
    out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
