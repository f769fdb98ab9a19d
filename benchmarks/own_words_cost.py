"""What own words cost: `python -m benchmarks.own_words_cost [HEAD ...]` -> own_words_cost.json.

CPU seconds per second of audio, 20 ms int16 blocks, one stream, gate on, and the peak memory, of a
process that hears one own word and of one that hears ten: over speech without pauses and over
silence (noise at -60 dBFS), with the stride that a file asks for and with a call at every hop.
Beside them the bundled model, alone and with the ten. HEAD: files of own words, up to ten, as
`kws train` writes them; those that are missing are made, of random weights that hear nothing: what
a head costs does not depend on them. Speech comes from the recordings that KWS_DATA names.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

RESULT = Path(__file__).with_suffix(".json")
RATE, HOP = 16_000, 2_560
WIDTH = 48
"""Of a head that is made."""
HEADS = 10
TARGETS = {
    "one.speech.cpu_s_per_s": 0.015,
    "one.silence.cpu_s_per_s": 0.0006,
    "ten over one.speech": 1.5,
    "ten over one.more_mib": 20,
}
"""What we want, at most, on two cores of a server of 2023."""


def made(folder: Path, number: int) -> Path:
    """Write a head whose scores stay low."""
    import torch

    from export.training.verifier.graph import head_graph
    from export.training.verifier.network import Config, Head
    from export.write import write
    from kws.card import Card, Label, Stride
    from kws.encoder import packaged
    from kws.session import load

    encoder, config, bundled = packaged(), Config(3, head_width=WIDTH), load().card
    torch.manual_seed(number)
    head = Head(config).eval()
    with torch.no_grad():
        head.classify.bias[0] -= 5
    name = f"word {number}"
    card = Card(
        version=1,
        kind="window",
        family="kws-head",
        sample_rate=RATE,
        window=encoder.window,
        hop=HOP,
        labels=[Label(name, "keyword"), Label("_unknown_"), Label("_silence_")],
        activation="softmax",
        producer="benchmark",
        date=time.strftime("%Y-%m-%d"),
        gate=bundled.gate,
        gate_model=bundled.gate_model,
        encoder=encoder.id,
        stride=Stride(2, 0.1),
    )
    path = folder / f"{number}.onnx"
    write(head_graph(head, config), card, path)
    return path


def hear(audio: Path, files: Sequence[str], *, strided: bool) -> dict[str, float]:
    """Push audio into a Spotter; return what that cost this process, and the calls a second."""
    import kws
    from benchmarks.push import BLOCK_S, blocks, peak_mib
    from kws.classifiers import at_every_hop

    models = [kws.load(None if name == "bundled" else name) for name in files]
    if not strided:
        models = [at_every_hop(model) for model in models]
    spotter = kws.Spotter(models)
    heard = 0.0
    before = time.process_time()
    for block in blocks(str(audio), RATE):
        spotter.push(block, sample_rate=RATE)
        heard += BLOCK_S
    used, stats = time.process_time() - before, spotter.stats
    return {
        "cpu_s_per_s": used / heard,
        "peak_mib": peak_mib(),
        "gate_open": stats.open_s / stats.audio_s,
        "calls_per_s": stats.inferences / heard,
        "detections": stats.detections,
    }


def apart(audio: Path, files: Sequence[str], *, strided: bool, repeats: int) -> dict[str, float]:
    """Do so in processes of their own; return the one that used least CPU."""
    command = [sys.executable, "-m", "benchmarks.own_words_cost", "--hear", str(audio), *files]
    command += [] if strided else ["--every-hop"]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    runs = []
    for _ in range(repeats):
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
        runs.append(json.loads(done.stdout))
    found: dict[str, float] = min(runs, key=lambda run: run["cpu_s_per_s"])
    return found


def measure(given: Sequence[str], seconds: float, repeats: int) -> dict[str, Any]:
    """Run everything."""
    from benchmarks.audio import KINDS
    from benchmarks.cost import machine

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        audio = {}
        for kind in ("speech", "silence"):
            audio[kind] = folder / kind
            KINDS[kind](seconds).tofile(audio[kind])
        heads = [*given[:HEADS]]
        heads += [str(made(folder, number)) for number in range(len(heads), HEADS)]
        cases = {
            "bundled": (["bundled"], True),
            "one": (heads[:1], True),
            "one, every hop": (heads[:1], False),
            "ten": (heads, True),
            "ten, every hop": (heads, False),
            "bundled and ten": (["bundled", *heads], True),
        }
        found: dict[str, Any] = {
            name: {
                kind: apart(path, files, strided=strided, repeats=repeats)
                for kind, path in audio.items()
            }
            for name, (files, strided) in cases.items()
        }
    found["ten over one"] = {
        kind: found["ten"][kind]["cpu_s_per_s"] / found["one"][kind]["cpu_s_per_s"]
        for kind in audio
    }
    found["ten over one"]["more_mib"] = (
        found["ten"]["speech"]["peak_mib"] - found["one"]["speech"]["peak_mib"]
    )
    return {"machine": machine(), "seconds": seconds, "given": len(given), **found}


def main() -> None:
    """Measure, say what misses its target, write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", metavar="HEAD")
    parser.add_argument("--hear", type=Path, help="push this audio, print the cost")
    parser.add_argument("--every-hop", action="store_true")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    if args.hear is not None:
        print(json.dumps(hear(args.hear, args.files, strided=not args.every_hop)))
        return
    found = measure(args.files, args.seconds, args.repeats)
    found["targets"] = {}
    for name, most in TARGETS.items():
        value: Any = found
        for part in name.split("."):
            value = value[part]
        found["targets"][name] = {"value": value, "target": most}
        print(f"{'ok' if value <= most else '!!'}  {name}: {value:.4g}, target {most:g}")
    RESULT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
